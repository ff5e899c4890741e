"""The placement of the files of the chosen generation; those that it no longer has are restored.

    boot cache ─▶ wanted files, files that were placed before ─▶ files, a record, a report, exit status

Three units run it. ``early`` places files below /run before other programs read them, ``main`` the others once the
local file systems are mounted, and ``remote`` those on remote file systems. Sealed secrets are a phase of their own,
``secrets``, which `ordain.agent.secrets` runs: it needs a library to open them. The agent, which may not write files,
starts the units again after it has changed the generation.

A file is written under a temporary name, synced and renamed. The previous file is kept in ``backup/`` of the record. It
is restored when no document has the file any more, unless somebody else has changed our file. The record is on disk
before the first file is changed, so that after a power cut, a later run knows which files are ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ordain.generator import safe_tree, sysctl_restore
from ordain.generator.cache import Cache, CacheError
from ordain.generator.phases import RECORDS, REPORTS
from ordain.generator.safe_tree import Obstructed, PathState, PlacementError
from ordain.transforms.artifacts import (
    SEALED,
    AbsentFile,
    CredentialFile,
    OnFileRemove,
    PlacedDirectory,
    PlacedFile,
    RegularFile,
    SymbolicLink,
    from_row,
    short_row,
)
from ordain.transforms.forbidden_paths import why_forbidden

TYPE_CHECKING = False  # the import of typing would cost every boot 10 ms
if TYPE_CHECKING:
    from typing import Any

HELD = "etc/ordain/boot/held-files"
"""The paths of files that held units use: they stay as an administrator has changed them."""
CREDENTIALS = (
    *("run/credentials/@system", "run/ordain/credentials/@system"),
    *("etc/credstore", "run/credstore", "usr/lib/credstore"),
)
ENCRYPTED = (
    *("run/credentials/@encrypted", "run/ordain/credentials/@encrypted"),
    *("etc/credstore.encrypted", "run/credstore.encrypted"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedRecord:
    """A file that is ours: its state, the state ``before`` it, and the directories that were ``made`` for it.

    ``keep``: the file stays when no document has it any more.
    """

    ours: PathState
    before: PathState
    made: tuple[str, ...] = ()
    keep: bool = False


@dataclass(slots=True)
class PlacementReport:
    """The result of a run: problems and notes, by path.

    ``users`` has the user whose directory a path with a problem lies in, because that user can cause the problem.
    """

    hash: str = ""
    problems: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    users: dict[str, str] = field(default_factory=dict)


def write(files: Iterable[PlacedFile]) -> bytes:
    """Return the files of a generation as a boot cache carries them, ``b""`` for none."""
    rows = [short_row(file) for file in sorted(files, key=_path)]
    return json.dumps(rows, sort_keys=True, separators=(",", ":")).encode("ascii") if rows else b""


def read(data: bytes) -> tuple[PlacedFile, ...]:
    """Return the files that `write` made ``data`` of. Raises `CacheError`."""
    try:
        return tuple(map(_placed_file, json.loads(data))) if data else ()
    except (ValueError, TypeError, AttributeError) as error:
        raise CacheError("BadEntry", f"files: {error}") from None


def _placed_file(fields: Mapping[str, Any]) -> PlacedFile:
    file = from_row(fields)
    if not isinstance(file, PlacedFile):
        raise ValueError(f"{file.path} is not an absolute path")
    return file


def _path(file: PlacedFile) -> str:
    return file.path


def place(top: str, phase: str, cache: Cache) -> int:
    """Place the files of ``cache`` in a phase below ``top``. Return 1 if a file is not as the documents want it."""
    root = Path(top)
    try:
        wanted = [file for file in read(cache.files) if file.phase == phase]
        report = FilePlacement(root, phase).run(wanted)
        if phase == "early":
            # No failure: the documents do not ask for the previous value, and a reboot brings it.
            report.notes |= sysctl_restore.save_and_restore(root)
        report.hash = cache.hash
        target = root / REPORTS[phase]
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_synced(target, json.dumps(asdict(report)).encode())
    except CacheError as error:
        print(f"ordain-files: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # the report cannot be written
        print(f"ordain-files: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    for path, what in (*report.problems.items(), *report.notes.items()):
        print(f"{path}: {what}", file=sys.stderr)
    return 1 if report.problems else 0


def _cannot_unseal(text: str) -> bytes:
    raise ValueError("this program cannot open a sealed secret")


class FilePlacement:
    """One run below ``root``. ``unseal`` opens sealed secrets: it raises ValueError."""

    def __init__(self, root: Path, phase: str, unseal: Callable[[str], bytes] = _cannot_unseal) -> None:
        self.root, self.phase, self.unseal = root, phase, unseal
        self.folder = root / RECORDS[phase]
        self.report = PlacementReport()
        self.placed: dict[str, PlacedRecord] = {}
        self.held = _held_files(root)

    def run(self, wanted: Iterable[PlacedFile]) -> PlacementReport:
        """Place ``wanted``, in the order of their paths, and restore the other paths that we have placed.

        If the record cannot be read or written, all files have this problem: without it, none could be restored later.
        """
        wanted = sorted(wanted, key=_path)
        try:
            self.placed = dict(self._read())
            if wanted or self.placed:
                self._place(wanted)
        except OSError as error:
            what = f"its previous state cannot be kept: {error.filename}: {error.strerror}"
            paths = {file.path for file in wanted} | self.placed.keys()
            self.report.problems |= {path: what for path in sorted(paths - self.report.problems.keys())}
        return self.report

    def _place(self, wanted: Collection[PlacedFile]) -> None:
        ready = [(file, ours) for file in wanted if (ours := self._prepare(file)) is not None]
        self._write()
        for file, ours in ready:
            self._put(file, ours)
        paths = {file.path for file in wanted}
        for path in sorted(self.placed.keys() - paths, reverse=True):
            self._restore(path, self.placed[path])
        self._write()

    def _prepare(self, file: PlacedFile) -> PathState | None:
        """Return the wanted state of a file, or None if it cannot be placed. Record the previous state once."""
        try:
            self._refuse(file)
            ours = self._ours(file)
            current, missing = safe_tree.read_state(self.root, file.path)
            above = safe_tree.user_above(self.root, file.path)
            if above and ours.kind != "nothing" and ours.uid != above:
                user = safe_tree.account_name(self.root, above)
                raise PlacementError(
                    f"{user} could replace it, and it would belong to another user; set `owner: {user}`"
                )
            was = self.placed.get(file.path)
            if file.home and self._left_to_user(file, current, ours if was and not above else None):
                return None
            if was is None:
                if current.kind == "directory" and ours.kind not in ("directory", "nothing"):
                    raise PlacementError("a directory is at this path")
                if current.kind == "directory" and ours.kind == "nothing":
                    raise PlacementError("a directory is at this path, and only files are removed")
                if current.kind not in ("directory", "nothing") and ours.kind == "directory":
                    raise PlacementError(f"a {current.kind} is at this path")
                if current.kind == "other":
                    raise PlacementError("a device, socket or pipe is at this path")
                self._backup(current)
                was = PlacedRecord(ours=ours, before=replace(current, data=b""), made=tuple(missing))
            elif file.path in self.held and current not in (was.ours, ours):
                self.report.notes[file.path] = "was changed by an administrator, and a held service uses it; kept"
                return None
            elif current not in (was.ours, was.before, ours):
                self.report.notes[file.path] = "was changed by somebody else; replaced by the file of the documents"
            self.placed[file.path] = replace(
                was, ours=replace(ours, data=b""), keep=file.on_remove is OnFileRemove.KEEP
            )
        except (PlacementError, OSError) as error:
            self._fail(file.path, error)
            return None
        return ours

    def _fail(self, path: str, error: PlacementError | OSError) -> None:
        self.report.problems[path] = _why(error)
        with contextlib.suppress(OSError):
            if uid := safe_tree.user_above(self.root, path):
                user = safe_tree.account_name(self.root, uid)
                self.report.users[path] = user
                self.report.problems[path] += f"; user {user} can change the directories above it"

    def _refuse(self, file: PlacedFile) -> None:
        what, _ = why_forbidden(file.path, by_section=True)
        if what:
            raise PlacementError(what)
        if file.mount and not os.path.ismount(self.root / file.mount.lstrip("/")):
            raise PlacementError(f"{file.mount} is not mounted")

    def _left_to_user(self, file: PlacedFile, current: PathState, ours: PathState | None) -> bool:
        """Return whether a directory in a home is left as it is: it exists, or the account has another home.

        ``ours`` is the state to correct it to, None if that is not safe: in a directory of a user, that user could put
        another directory at this path meanwhile, and would get it.
        """
        home = safe_tree.home_of(self.root, file.owner or "root")
        if file.home == home:
            if not isinstance(file, PlacedDirectory) or current.kind != "directory":
                return False
            return ours is None or safe_tree.serves_user(current, ours)
        if not isinstance(file, PlacedDirectory):
            raise PlacementError(f"the home of {file.owner} is {home}, not {file.home}; set `home` of the user")
        return True

    def _ours(self, file: PlacedFile) -> PathState:
        if isinstance(file, AbsentFile):
            return PathState(kind="nothing")
        uid, gid = (
            safe_tree.account_number(self.root, "passwd", file.owner),
            safe_tree.account_number(self.root, "group", file.group),
        )
        match file:
            case PlacedDirectory():
                return PathState(kind="directory", mode=file.mode, uid=uid, gid=gid)
            case SymbolicLink():
                return PathState.of(
                    "link", file.target.encode("utf-8", "surrogateescape"), uid=uid, gid=gid, mode=0o777
                )
            case CredentialFile():
                return PathState.of("file", self._credential(file.credential), mode=file.mode, uid=uid, gid=gid)
            case RegularFile():
                return PathState.of("file", file.content.encode(), mode=file.mode, uid=uid, gid=gid)

    def _credential(self, name: str) -> bytes:
        """Return a secret: a credential of the machine (systemd.exec(5), LoadCredential=), or one with a `KIND:`."""
        kind, colon, value = name.partition(":")
        if colon:
            return self._secret(kind, value)
        for folder in CREDENTIALS:
            with contextlib.suppress(FileNotFoundError):
                return (self.root / folder / name).read_bytes()
        for folder in ENCRYPTED:
            path = self.root / folder / name
            if path.exists():
                return _decrypted(name, path.read_bytes())
        raise PlacementError(f"this machine has no credential {name}; put it into /etc/credstore, for example")

    def _secret(self, kind: str, value: str) -> bytes:
        if kind == "ciphertext":
            return _decrypted("", value.encode())
        if f"{kind}:" == SEALED:
            try:
                return self.unseal(value)
            except ValueError as error:
                raise PlacementError(str(error)) from None
        try:
            data = (self.root / value.lstrip("/")).read_bytes()
        except OSError as error:
            raise PlacementError(f"{value}: {error.strerror}") from None
        return _decrypted("", data) if kind == "encrypted" else data

    def _put(self, file: PlacedFile, ours: PathState) -> None:
        try:
            if safe_tree.read_state(self.root, file.path)[0] != ours:
                safe_tree.write_state(self.root, file.path, ours)
        except (PlacementError, OSError) as error:
            self._fail(file.path, error)

    def _restore(self, path: str, was: PlacedRecord) -> None:
        """Restore the previous state of a path, unless our file is to be kept or was changed by somebody else."""
        try:
            current = self._current(path)
            if was.keep:
                pass
            elif current == was.before:
                self._remove_made(was)
            elif current != was.ours:
                self.report.notes[path] = "was changed after it was placed, so it is kept"
            elif was.before.kind == "file" and not self._has_backup(was.before):
                raise PlacementError("the backup of the previous file is missing, so this file is kept")
            elif (
                current.kind == "directory" and was.before.kind == "nothing" and not safe_tree.is_empty(self.root, path)
            ):
                self.report.notes[path] = "is not empty, so it is kept"
            else:
                before = replace(was.before, data=self._backed_up(was.before))
                safe_tree.write_state(self.root, path, before, restores=True)
                self._remove_made(was)
        except (PlacementError, OSError) as error:
            self._fail(path, error)
            return
        del self.placed[path]

    def _current(self, path: str) -> PathState:
        """Return the state of a path that we have placed: nothing, if a file or link of others is above it now.

        Raises `PlacementError`, `OSError`.
        """
        try:
            return safe_tree.read_state(self.root, path)[0]
        except Obstructed:
            return PathState(kind="nothing")

    def _remove_made(self, was: PlacedRecord) -> None:
        """Remove the directories that were made above a path, except those that the documents place themselves."""
        for folder in sorted(set(was.made) - self.placed.keys(), reverse=True):
            with contextlib.suppress(OSError, PlacementError):  # it contains files of others
                if safe_tree.read_state(self.root, folder)[0].kind == "directory":
                    safe_tree.write_state(self.root, folder, PathState(kind="nothing"))

    # The record: placed.json, and the content of previous files by SHA-256

    def _backup(self, current: PathState) -> None:
        if current.kind in ("file", "link") and not self._has_backup(current):
            backup = self.folder / "backup"
            backup.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_synced(backup / current.digest, current.data)

    def _has_backup(self, state: PathState) -> bool:
        return (self.folder / "backup" / state.digest).exists()

    def _backed_up(self, state: PathState) -> bytes:
        return (self.folder / "backup" / state.digest).read_bytes() if state.kind in ("file", "link") else b""

    def _read(self) -> Iterator[tuple[str, PlacedRecord]]:
        try:
            rows = json.loads((self.folder / "placed.json").read_bytes())
            for path, row in rows.items():
                ours, before = PathState(**row["ours"]), PathState(**row["before"])
                yield path, PlacedRecord(ours=ours, before=before, made=tuple(row["made"]), keep=row["keep"])
        except FileNotFoundError:
            return
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self.report.notes[str(self.folder)] = (
                f"the record is damaged ({error}), so existing files count as files of others"
            )

    def _write(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        rows = {path: _row(placed) for path, placed in sorted(self.placed.items())}
        replace_synced(self.folder / "placed.json", json.dumps(rows).encode())
        named = {placed.before.digest for placed in self.placed.values()}
        with contextlib.suppress(FileNotFoundError):
            for backup in (self.folder / "backup").iterdir():
                if backup.name not in named:
                    backup.unlink()


def _held_files(root: Path) -> frozenset[str]:
    try:
        return frozenset(map(str, json.loads((root / HELD).read_bytes())))
    except (OSError, ValueError, TypeError):
        return frozenset()


def _row(placed: PlacedRecord) -> Mapping[str, object]:
    return {
        "ours": placed.ours.record(),
        "before": placed.before.record(),
        "made": list(placed.made),
        "keep": placed.keep,
    }


def _decrypted(name: str, data: bytes) -> bytes:
    # Few machines have encrypted files, but all load this module at boot.
    import subprocess

    argv = ["systemd-creds", "decrypt", f"--name={name}", "-", "-"]
    done = subprocess.run(argv, input=data, capture_output=True, check=False, timeout=20)
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = lines[-1] if lines else f"exit status {done.returncode}"
        raise PlacementError(f"cannot decrypt the credential {name or 'of this file'}: {reason}")
    return done.stdout


def _why(error: PlacementError | OSError) -> str:
    return str(error) if isinstance(error, PlacementError) else os.strerror(error.errno or 0)


def replace_synced(path: Path, data: bytes) -> None:
    """Replace the file at ``path``, in a directory that only root may write; a power cut leaves the old or the new.

    Raises `OSError`, which names ``path``: the error of a write on a full disk names none.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        beside.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # frees the space on a full disk
            beside.unlink()
        raise OSError(error.errno, error.strerror, str(path)) from None
