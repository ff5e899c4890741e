"""A database in a directory: a file for each key. For one machine, a lab, and what a boot server serves."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import AsyncGenerator, Iterable, Iterator
from pathlib import Path

from ordain.agent.delivery.database.database import ANY, Conflict, Listing, StoredEntry, Write
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.system import inotify

QUIET_SEC = 0.05
_CHANGES = (
    inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE
    | inotify.DELETE | inotify.DELETE_SELF | inotify.MOVE_SELF
)  # fmt: skip
_LOCK = ".lock"


class DirectoryDatabase:
    """Keys are paths below ``root``; hidden files are none. A version is a hash of the content.

    Writers take turns with flock(2); every file is whole at every moment.
    """

    type = "directory"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.location = str(root)

    async def list(self, *prefixes: str) -> Listing:
        """See `Database.list`: no writer of ours is at work meanwhile."""
        with self._locked(fcntl.LOCK_SH):
            entries = tuple(sorted(self._entries(prefixes), key=lambda entry: entry.key))
        digest = hashlib.sha256("\n".join(f"{e.key} {e.version}" for e in entries).encode())
        return Listing(entries=entries, revision=digest.hexdigest()[:12])

    async def get(self, key: str) -> StoredEntry | None:
        """See `Database.get`."""
        return self._entry(key)

    async def history(self, key: str, most: int) -> tuple[StoredEntry, ...]:
        """See `Database.history`: none is kept."""
        return ()

    async def write(self, changes: Iterable[Write]) -> None:
        """See `Database.write`; a power cut may leave the first of several."""
        changes = tuple(changes)
        with self._locked(fcntl.LOCK_EX):
            for change in changes:
                found = self._entry(change.key)
                if change.expect != ANY and change.expect != (found.version if found else None):
                    raise Conflict(change.key)
            with _as_source_error():
                for change in changes:
                    self._write(self._path(change.key), change.data)

    async def put(self, key: str, data: bytes, *, expect: str | None, ttl_sec: int = 0) -> str:
        """See `Database.put`."""
        await self.write([Write(key=key, data=data, expect=expect)])
        return _version(data)

    async def delete(self, key: str, *, expect: str) -> None:
        """See `Database.delete`."""
        await self.write([Write(key=key, data=None, expect=expect)])

    async def watch(self, prefixes: tuple[str, ...], revision: str) -> AsyncGenerator[None, None]:
        """See `Database.watch`: every directory below the root, those that come later too."""
        notify = inotify.Inotify()
        try:
            self._arm(notify)
            if (await self.list(*prefixes)).revision != revision:
                yield
            while True:
                await notify.pending.wait()
                await asyncio.sleep(QUIET_SEC)
                for _ in notify.events():
                    pass
                self._arm(notify)
                yield
        finally:
            notify.close()

    async def close(self) -> None:
        """See `Database.close`."""

    def _arm(self, notify: inotify.Inotify) -> None:
        for directory, names, _ in os.walk(self.root):
            names[:] = [name for name in names if not name.startswith(".")]
            with contextlib.suppress(OSError):  # gone meanwhile
                notify.watch(directory, _CHANGES)

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
        with _as_source_error():
            try:
                data = self._path(key).read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
        return StoredEntry(key=key, data=data, version=_version(data))

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(not part or part.startswith(".") or "\0" in part for part in parts):
            raise SourceError(f"{key!r} is no key")
        return self.root.joinpath(*parts)

    def _write(self, path: Path, data: bytes | None) -> None:
        if data is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        with _as_source_error(), contextlib.ExitStack() as stack:
            if how == fcntl.LOCK_EX:
                fcntl.flock(stack.enter_context((self.root / _LOCK).open("a")), how)
            else:  # nobody has written yet, or who reads may not write here
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    fcntl.flock(stack.enter_context((self.root / _LOCK).open()), how)
            yield


def _version(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@contextlib.contextmanager
def _as_source_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(f"{error.filename}: {error.strerror}") from error
