"""Files below a root, looked at and replaced without following any link on the way; effect.

A directory that belongs to a user may hold a link to anywhere, so a path is walked name by name, and where a name turns
out to be a link it is refused, not followed. The last name itself is replaced, whatever it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PlacementError(Exception):
    """A file that cannot be placed, and why."""


@dataclass(frozen=True, slots=True)
class PathState:
    """What is, was or shall be at a path.

    ``kind``: nothing, file, link, directory or other. ``digest`` is the SHA-256 of a file's bytes or a link's target.
    The bytes are no part of what is compared.
    """

    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    digest: str = ""
    data: bytes = field(default=b"", compare=False)

    @classmethod
    def of(cls, kind: str, data: bytes, *, mode: int, uid: int, gid: int) -> PathState:
        """A file or link with these bytes."""
        return cls(kind, mode, uid, gid, hashlib.sha256(data).hexdigest(), data)

    def record(self) -> dict[str, str | int]:
        """All but the bytes."""
        return {"kind": self.kind, "mode": self.mode, "uid": self.uid, "gid": self.gid, "digest": self.digest}


def read_state(root: Path, path: str) -> tuple[PathState, list[str]]:
    """What is at ``path``, and the directories above it that are not there. Raises `PlacementError`, `OSError`."""
    missing = _missing(root, path)
    if missing:
        return PathState("nothing"), missing
    with _parent(root, path) as (folder, name):
        return _found(folder, name), []


def write_state(root: Path, path: str, wanted: PathState) -> None:
    """Make ``path`` what is ``wanted``, with the directories above it. Raises `PlacementError`, `OSError`."""
    for above in _missing(root, path):
        with _parent(root, above) as (folder, name):
            os.mkdir(name, 0o755, dir_fd=folder)
            _own(folder, name, PathState("directory", 0o755))
            os.fsync(folder)
    with _parent(root, path) as (folder, name):
        there = _found(folder, name)
        if wanted.kind == "nothing":
            if there.kind == "directory":
                os.rmdir(name, dir_fd=folder)
            elif there.kind != "nothing":
                os.unlink(name, dir_fd=folder)
        elif wanted.kind == "directory":
            if there.kind == "nothing":
                os.mkdir(name, 0o700, dir_fd=folder)
            _own(folder, name, wanted)
        else:
            _replace(folder, name, wanted)
        os.fsync(folder)


def is_empty(root: Path, path: str) -> bool:
    """Whether the directory ``path`` holds nothing. Raises `PlacementError`, `OSError`."""
    with _parent(root, f"{path}/.") as (folder, _):
        return not os.listdir(folder)


def account_number(root: Path, database: str, name: str) -> int:
    """The number of a user (``passwd``) or group (``group``); not by NSS, which may wait for the network.

    Raises `PlacementError`.
    """
    if not name:
        return 0
    if name.isascii() and name.isdecimal():
        return int(name)
    with contextlib.suppress(FileNotFoundError):
        for line in (root / "etc" / database).read_text("utf-8", "surrogateescape").splitlines():
            fields = line.split(":")
            if fields[0] == name and len(fields) > 2 and fields[2].isdecimal():
                return int(fields[2])
    raise PlacementError(f"there is no {'user' if database == 'passwd' else 'group'} {name}")


def home_of(root: Path, user: str) -> str:
    """The home directory of ``user``, "" if there is none."""
    with contextlib.suppress(FileNotFoundError):
        for line in (root / "etc/passwd").read_text("utf-8", "surrogateescape").splitlines():
            fields = line.split(":")
            if fields[0] == user and len(fields) > 5:
                return fields[5]
    return ""


def _missing(root: Path, path: str) -> list[str]:
    """The directories above ``path`` that are not there, from the top."""
    folder = os.open(root, _FOLDER)
    names = path.strip("/").split("/")[:-1]
    try:
        for depth, name in enumerate(names):
            try:
                below = _enter(folder, name, "/" + "/".join(names[: depth + 1]))
            except FileNotFoundError:
                return ["/" + "/".join(names[: at + 1]) for at in range(depth, len(names))]
            os.close(folder)
            folder = below
    finally:
        os.close(folder)
    return []


@contextlib.contextmanager
def _parent(root: Path, path: str) -> Iterator[tuple[int, str]]:
    """The directory of ``path``, open, and its last name."""
    *names, last = path.strip("/").split("/")
    folder = os.open(root, _FOLDER)
    try:
        for depth, name in enumerate(names):
            below = _enter(folder, name, "/" + "/".join(names[: depth + 1]))
            os.close(folder)
            folder = below
        yield folder, last
    finally:
        os.close(folder)


def _enter(folder: int, name: str, path: str) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            target = os.readlink(name, dir_fd=folder)
            raise PlacementError(
                f"{path} is a link to {target}, and links are not followed: name the place itself"
            ) from None
        raise PlacementError(f"{path} is no directory") from None


def _found(folder: int, name: str) -> PathState:
    try:
        seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return PathState("nothing")
    mode, uid, gid = stat.S_IMODE(seen.st_mode), seen.st_uid, seen.st_gid
    if stat.S_ISDIR(seen.st_mode):
        return PathState("directory", mode, uid, gid)
    if stat.S_ISLNK(seen.st_mode):
        return PathState.of("link", os.fsencode(os.readlink(name, dir_fd=folder)), mode=0o777, uid=uid, gid=gid)
    if not stat.S_ISREG(seen.st_mode):
        return PathState("other", mode, uid, gid)
    with os.fdopen(os.open(name, _READ, dir_fd=folder), "rb") as file:
        return PathState.of("file", file.read(), mode=mode, uid=uid, gid=gid)


def _replace(folder: int, name: str, wanted: PathState) -> None:
    """A file or link in one step; hidden until it is whole, under a name that a killed run may have left."""
    beside = f".ordain-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=folder)
    try:
        if wanted.kind == "link":
            os.symlink(wanted.data, beside, dir_fd=folder)
            os.chown(beside, wanted.uid, wanted.gid, dir_fd=folder, follow_symlinks=False)
        else:
            with os.fdopen(os.open(beside, _NEW, 0o600, dir_fd=folder), "wb") as file:
                file.write(wanted.data)
                file.flush()
                os.fchown(file.fileno(), wanted.uid, wanted.gid)
                os.fchmod(file.fileno(), wanted.mode)
                os.fsync(file.fileno())
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):  # a full disk gets its space back
            os.unlink(beside, dir_fd=folder)
        raise


def _own(folder: int, name: str, wanted: PathState) -> None:
    fd = os.open(name, _FOLDER, dir_fd=folder)
    try:
        os.fchown(fd, wanted.uid, wanted.gid)
        os.fchmod(fd, wanted.mode)
    finally:
        os.close(fd)
