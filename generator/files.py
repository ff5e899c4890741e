"""Places the files of the chosen generation, and takes back those of which it no longer speaks.

    argv ─▶ choose ─▶ what is wanted, what we placed before ─▶ files, a record of them, a report, exit status

Three units run it: ``early`` places what lies below /run, before anything reads there, ``main`` the rest, once the
local file systems are mounted, ``remote`` what lies on others. The agent, which may write nothing, starts them anew
after it has changed the generation.

A file is written beside its place, synced and renamed. What was there before is kept in ``backup/`` of the record, be
it nothing, and put back in the end unless someone has changed what we placed. The record is on disk before the first
file is touched: whenever power fails, a later run knows what is ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ordain.generator import kernel_parameters, safe_tree
from ordain.generator.cache import CacheError
from ordain.generator.choose import choose
from ordain.generator.safe_tree import PathState, PlacementError
from ordain.transforms.artifacts import (
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

RECORDS = {"early": "run/ordain/files", "main": "var/lib/ordain/files", "remote": "var/lib/ordain/files-remote"}
REPORTS = {
    "early": "run/ordain/files-early.json",
    "main": "run/ordain/files-main.json",
    "remote": "run/ordain/files-remote.json",
    "users": "run/ordain/accounts.json",
}
CREDENTIALS = ("run/credentials/@system", "etc/credstore", "run/credstore", "usr/lib/credstore")
ENCRYPTED = ("run/credentials/@encrypted", "etc/credstore.encrypted", "run/credstore.encrypted")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedRecord:
    """One file that is ours: ``ours`` is what we put there, ``before`` what was there, ``made`` the directories on the
    way that there were not; ``keep``: it stays when no document speaks of it."""

    ours: PathState
    before: PathState
    made: tuple[str, ...] = ()
    keep: bool = False


@dataclass(slots=True)
class PlacementReport:
    """What a run came to: by path what is wrong, and what a person may want to know."""

    hash: str = ""
    problems: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


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


def main(argv: list[str]) -> int:
    """``PHASE [ROOT]``; the exit status is 1 if a file is not as it should be."""
    phase, root = argv[1], Path(argv[2] if len(argv) > 2 else "/")
    choice = choose("" if str(root) == "/" else str(root))
    if choice.cache is None:
        return 0  # nothing says what is wanted, so nothing that is there goes
    try:
        wanted = [file for file in read(choice.cache.files) if file.phase == phase]
        report = FilePlacement(root, phase).run(wanted)
        if phase == "early":
            report.problems |= kernel_parameters.save_and_restore(root)
        report.hash = choice.cache.hash
        target = root / REPORTS[phase]
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_synced(target, json.dumps(asdict(report)).encode())
    except CacheError as error:
        print(f"ordain-files: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # of its record: without one, nothing could be taken back
        print(f"ordain-files: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    for path, what in (*report.problems.items(), *report.notes.items()):
        print(f"{path}: {what}", file=sys.stderr)
    return 1 if report.problems else 0


class FilePlacement:
    """One run below ``root``."""

    def __init__(self, root: Path, phase: str) -> None:
        self.root, self.phase = root, phase
        self.folder = root / RECORDS[phase]
        self.report = PlacementReport()
        self.placed: dict[str, PlacedRecord] = {}

    def run(self, wanted: Iterable[PlacedFile]) -> PlacementReport:
        """Place ``wanted``, in the order of their paths, and take back what is ours besides."""
        wanted = sorted(wanted, key=_path)
        self.placed = dict(self._read())
        if not wanted and not self.placed:
            return self.report
        ready = [(file, found) for file in wanted if (found := self._prepare(file)) is not None]
        self._write()
        for file, ours in ready:
            self._put(file, ours)
        paths = {file.path for file in wanted}
        for path in sorted(self.placed.keys() - paths, reverse=True):
            self._take_back(path, self.placed[path])
        self._write()
        return self.report

    def _prepare(self, file: PlacedFile) -> PathState | None:
        """What is to be at its place; what is there now is recorded, the first time. None: it cannot be."""
        try:
            self._refuse(file)
            ours = self._ours(file)
            there, missing = safe_tree.read_state(self.root, file.path)
            was = self.placed.get(file.path)
            if file.home and self._is_the_users(file, there):
                return None
            if was is None:
                if there.kind == "directory" and ours.kind not in ("directory", "nothing"):
                    raise PlacementError("there is a directory")
                if there.kind == "directory" and ours.kind == "nothing":
                    raise PlacementError("it is a directory, and only files are taken away")
                if there.kind not in ("directory", "nothing") and ours.kind == "directory":
                    raise PlacementError(f"there is a {there.kind}")
                if there.kind == "other":
                    raise PlacementError("there is a device, socket or pipe")
                self._backup(there)
                was = PlacedRecord(ours=ours, before=replace(there, data=b""), made=tuple(missing))
            elif there not in (was.ours, was.before, ours):
                self.report.notes[file.path] = "was changed by hand; the documents' again"
            self.placed[file.path] = replace(
                was, ours=replace(ours, data=b""), keep=file.on_remove is OnFileRemove.KEEP
            )
        except (PlacementError, OSError) as error:
            self.report.problems[file.path] = _why(error)
            return None
        return ours

    def _refuse(self, file: PlacedFile) -> None:
        what, _ = why_forbidden(file.path)
        if what:
            raise PlacementError(what)
        if file.mount and not os.path.ismount(self.root / file.mount.lstrip("/")):
            raise PlacementError(f"{file.mount} is not mounted")

    def _is_the_users(self, file: PlacedFile, there: PathState) -> bool:
        """Whether a directory below a home is there, or the home is another: then it is as its user has it."""
        elsewhere = safe_tree.home_of(self.root, file.owner or "root")
        if file.home == elsewhere:
            return isinstance(file, PlacedDirectory) and there.kind == "directory"
        if not isinstance(file, PlacedDirectory):
            raise PlacementError(f"the home of {file.owner} is {elsewhere}: say so, as `home`")
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

    def _credential(self, said: str) -> bytes:
        """The bytes of a secret: a credential of the machine (systemd.exec(5), LoadCredential=), or as `KIND:` says."""
        kind, colon, what = said.partition(":")
        if colon:
            return self._secret(kind, what)
        for folder in CREDENTIALS:
            with contextlib.suppress(FileNotFoundError):
                return (self.root / folder / said).read_bytes()
        for folder in ENCRYPTED:
            path = self.root / folder / said
            if path.exists():
                return _decrypted(said, path.read_bytes())
        raise PlacementError(f"this machine has no credential {said} (/etc/credstore is one place for it)")

    def _secret(self, kind: str, what: str) -> bytes:
        if kind == "ciphertext":
            return _decrypted("", what.encode())
        try:
            data = (self.root / what.lstrip("/")).read_bytes()
        except OSError as error:
            raise PlacementError(f"{what}: {error.strerror}") from None
        return _decrypted("", data) if kind == "encrypted" else data

    def _put(self, file: PlacedFile, ours: PathState) -> None:
        try:
            if safe_tree.read_state(self.root, file.path)[0] != ours:
                safe_tree.write_state(self.root, file.path, ours)
        except (PlacementError, OSError) as error:
            self.report.problems[file.path] = _why(error)

    def _take_back(self, path: str, was: PlacedRecord) -> None:
        """Put back what was there before ours, unless ours is to stay or is no longer ours."""
        try:
            there, _ = safe_tree.read_state(self.root, path)
            if was.keep:
                pass
            elif there == was.before:
                self._remove_made(was)
            elif there != was.ours:
                self.report.notes[path] = "was changed by hand since it was placed, so it stays"
            elif was.before.kind == "file" and not self._has_backup(was.before):
                raise PlacementError("what was there before is lost, so ours stays")
            elif there.kind == "directory" and was.before.kind == "nothing" and not safe_tree.is_empty(self.root, path):
                self.report.notes[path] = "is not empty, so it stays"
            else:
                safe_tree.write_state(self.root, path, replace(was.before, data=self._backed_up(was.before)))
                self._remove_made(was)
        except (PlacementError, OSError) as error:
            self.report.problems[path] = _why(error)
            return
        del self.placed[path]

    def _remove_made(self, was: PlacedRecord) -> None:
        for folder in sorted(was.made, reverse=True):
            with contextlib.suppress(OSError, PlacementError):  # others lie in it by now
                safe_tree.write_state(self.root, folder, PathState(kind="nothing"))

    # The record: placed.json, and the bytes of what was there by their SHA-256

    def _backup(self, there: PathState) -> None:
        if there.kind in ("file", "link") and not self._has_backup(there):
            backup = self.folder / "backup"
            backup.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_synced(backup / there.digest, there.data)

    def _has_backup(self, found: PathState) -> bool:
        return (self.folder / "backup" / found.digest).exists()

    def _backed_up(self, found: PathState) -> bytes:
        return (self.folder / "backup" / found.digest).read_bytes() if found.kind in ("file", "link") else b""

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
                f"the record is damaged ({error}), so what is there is taken for not ours"
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


def _row(placed: PlacedRecord) -> Mapping[str, object]:
    return {
        "ours": placed.ours.record(),
        "before": placed.before.record(),
        "made": list(placed.made),
        "keep": placed.keep,
    }


def _decrypted(name: str, data: bytes) -> bytes:
    argv = ["systemd-creds", "decrypt", f"--name={name}", "-", "-"]
    done = subprocess.run(argv, input=data, capture_output=True, check=False, timeout=20)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise PlacementError(
            f"the credential {name or 'of it'} cannot be decrypted: {said[-1] if said else 'no reason'}"
        )
    return done.stdout


def _why(error: PlacementError | OSError) -> str:
    return str(error) if isinstance(error, PlacementError) else os.strerror(error.errno or 0)


def replace_synced(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path``, which lies where only root writes; the old or the new after a power cut."""
    beside = path.with_name(f".{path.name}.new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)
    beside.rename(path)
