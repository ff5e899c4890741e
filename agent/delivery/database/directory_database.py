"""A store in a directory, with a file for each key: for one machine, for a lab, and for a boot server to serve."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from pathlib import Path

from ordain.agent.delivery.database.database import ANY, Conflict, Listing, StoredEntry, Unchanged, Write
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.system import inotify

QUIET_SEC = 0.05
"""Changes that arrive within this time are reported once."""
_EVENTS = (
    inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE
    | inotify.DELETE | inotify.DELETE_SELF | inotify.MOVE_SELF
)  # fmt: skip
_LOCK = ".lock"


class DirectoryDatabase:
    """The files below ``root``, without hidden ones; a version is a hash of the content. See `Database`.

    Writers take turns with flock(2), and replace files in one step.
    """

    type = "directory"
    settle_sec = 0.0
    compares_ranges = True

    def __init__(self, root: Path) -> None:
        self.root = root
        self.location = str(root)

    async def list(self, *prefixes: str) -> Listing:
        """See `Database.list`; the lock keeps other writers of ours away."""
        with self._locked(fcntl.LOCK_SH):
            return self._listing(prefixes)

    def _listing(self, prefixes: tuple[str, ...]) -> Listing:
        entries = tuple(sorted(self._entries(prefixes), key=lambda entry: entry.key))
        text = "\n".join(f"{entry.key} {entry.version}" for entry in entries)
        digest = hashlib.sha256(os.fsencode(text))  # names of files are any bytes
        return Listing(entries=entries, revision=digest.hexdigest()[:12])

    async def get(self, key: str) -> StoredEntry | None:
        """See `Database.get`."""
        return self._entry(key)

    async def history(self, key: str, most: int, *, latest: str = "") -> tuple[StoredEntry, ...]:
        """See `Database.history`; a directory keeps no old versions."""
        return ()

    async def write(self, writes: Iterable[Write]) -> None:
        """See `Database.write`; after a power cut, only some of the writes may be there."""
        self._write(tuple(writes))

    def _write(self, writes: tuple[Write, ...], provided: Unchanged | None = None) -> None:
        with self._locked(fcntl.LOCK_EX):
            if provided and self._listing(provided.prefixes).revision != provided.revision:
                raise Conflict(writes[0].key)
            for write in writes:
                current = self._entry(write.key)
                if write.expect not in (ANY, current.version if current else None):
                    raise Conflict(write.key)
            with _os_error_as_source_error():
                for write in writes:
                    self._write_file(self._path(write.key), write.data)

    async def put(
        self, key: str, data: bytes, *, expect: str | None, ttl_sec: int = 0, provided: Unchanged | None = None
    ) -> str:
        """See `Database.put`."""
        self._write((Write(key=key, data=data, expect=expect),), provided)
        return content_version(data)

    async def delete(self, key: str, *, expect: str) -> None:
        """See `Database.delete`."""
        await self.write([Write(key=key, data=None, expect=expect)])

    async def watch(self, prefixes: tuple[str, ...], revision: str) -> AsyncGenerator[None, None]:
        """See `Database.watch`: all directories below the root are watched, also new ones."""
        notify = inotify.Inotify()
        try:
            self._watch_directories(notify)
            if (await self.list(*prefixes)).revision != revision:
                yield
            while True:
                await notify.pending.wait()
                await asyncio.sleep(QUIET_SEC)
                for _ in notify.events():
                    pass
                self._watch_directories(notify)
                yield
        finally:
            notify.close()

    async def ask_replaced_servers(self) -> Mapping[str, SourceError]:
        """See `Database.ask_replaced_servers`: a directory has no servers."""
        return {}

    async def close(self) -> None:
        """See `Database.close`."""

    def _watch_directories(self, notify: inotify.Inotify) -> None:
        for directory, names, _ in os.walk(self.root):
            names[:] = [name for name in names if not name.startswith(".")]
            with contextlib.suppress(OSError):  # it may have been removed in the meantime
                notify.watch(directory, _EVENTS)

    def _entries(self, prefixes: tuple[str, ...]) -> Iterator[StoredEntry]:
        if not self.root.is_dir():
            raise SourceError(f"{self.root}: no such directory")
        for directory, names, files in os.walk(self.root):
            names[:] = [name for name in names if not name.startswith(".")]
            for name in files:
                key = str((Path(directory) / name).relative_to(self.root))
                if name.startswith(".") or not key.startswith(prefixes):
                    continue
                if entry := self._entry(key):
                    yield entry

    def _entry(self, key: str) -> StoredEntry | None:
        with _os_error_as_source_error():
            try:
                data = self._path(key).read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
        return StoredEntry(key=key, data=data, version=content_version(data))

    def _path(self, key: str) -> Path:
        try:
            return file_of_key(self.root, key)
        except ValueError as error:
            raise SourceError(str(error)) from None

    def _write_file(self, path: Path, data: bytes | None) -> None:
        """Replace the file at ``path`` in one step, or remove it."""
        if data is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        """Hold the lock for a writer (LOCK_EX) or a reader (LOCK_SH).

        A reader goes without it if nobody has written yet, or if it may not open the lock.
        """
        with _os_error_as_source_error(), contextlib.ExitStack() as stack:
            if kind == fcntl.LOCK_EX:
                fcntl.flock(stack.enter_context((self.root / _LOCK).open("a")), kind)
            else:
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    fcntl.flock(stack.enter_context((self.root / _LOCK).open()), kind)
            yield


def file_of_key(folder: Path, key: str) -> Path:
    """Return the file of a key below ``folder``. Raises ValueError for a key that would lie elsewhere or be hidden."""
    parts = key.split("/")
    if any(not part or part.startswith(".") or "\0" in part for part in parts):
        raise ValueError(f"{key!r} is not a valid key of a directory")
    return folder.joinpath(*parts)


def content_version(data: bytes) -> str:
    """Return the version of a file with this content."""
    return hashlib.sha256(data).hexdigest()[:16]


@contextlib.contextmanager
def _os_error_as_source_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}") from error
