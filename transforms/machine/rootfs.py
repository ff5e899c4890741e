"""Reads files below a root directory, and never outside it.

A root is ``/`` or another whole file system: an image, a container, or the fixture of a test. Its symbolic links mean
what they would mean if it were ``/``, so this module follows every link itself. It only reads regular files of bounded
size: a pipe, a device or a huge file raises `OSError` and does not block the program.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

LIMIT = 1 << 20
"""The size limit in bytes; files with facts or units are always smaller."""
_LINKS = 40  # the kernel follows no more
_ACL = "system.posix_acl_access"
_ACL_HEADER_BYTES = 4
_ACL_USER, _ACL_GROUP_OF_FILE, _ACL_GROUP, _ACL_WRITE = 0x02, 0x04, 0x08, 0x02
_ACL_WORDS = "(by an access control list)"


def chase(root: Path, path: str) -> Path:
    """Return ``path`` below ``root`` with every link followed as if ``root`` were ``/``; it need not exist.

    Raises `OSError` (``ELOOP``) for a circle of links.
    """
    return Path(resolve(os.fspath(root), path))


def resolve(root: str, path: str, passed: set[str] | None = None) -> str:
    """Return the same as `chase`, as text: for callers that follow thousands of links.

    ``passed`` gets the directories on the way, also those in which the links are.
    """
    todo = path.split("/")[::-1]
    top = root if root != "/" else ""
    done = [top]  # each with the directories above it
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if passed is not None:
            passed.add(done[-1] or "/")
        if part == "..":
            del done[max(1, len(done) - 1) :]
            continue
        place = f"{done[-1]}/{part}"
        try:
            target = os.readlink(place)  # noqa: PTH115 -- hot: pathlib triples it
        except (OSError, ValueError):
            done.append(place)
            continue
        links += 1
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if target.startswith("/"):
            done = [top]
        todo += target.split("/")[::-1]
    return done[-1] or root


def read(root: Path, path: str, *, limit: int = LIMIT) -> bytes | None:
    """Return the content of the regular file ``path`` below ``root``, None if it is missing.

    Raises `OSError` if it exists but cannot be read, is not a regular file, or is larger than ``limit``.
    """
    try:
        return read_resolved(chase(root, path), limit=limit)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_resolved(path: str | os.PathLike[str], *, limit: int = LIMIT) -> bytes:
    """Return the content of ``path``, which has no links. Raises `OSError` as `read` does, or if it is missing."""
    data = first_bytes(path, limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", os.fspath(path))
    return data


def head(root: Path, path: str, size: int) -> bytes | None:
    """Return the first ``size`` bytes of a file of any length, else the same as `read`."""
    try:
        return first_bytes(chase(root, path), size)
    except (FileNotFoundError, NotADirectoryError):
        return None


def first_bytes(path: str | os.PathLike[str], size: int) -> bytes:
    """Return the first ``size`` bytes of the regular file ``path``. Raises `OSError` as `read_resolved` does."""
    with open_regular(path) as file:
        return file.read(size)


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open the regular file ``path``, which has no links. Raises `OSError`, also for a pipe or a device."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def exists(root: Path, path: str) -> bool:
    """Return whether ``path`` exists below ``root``, as a file of any type."""
    try:
        chase(root, path).lstat()
    except (OSError, ValueError):
        return False
    return True


def names(root: Path, path: str) -> tuple[str, ...]:
    """Return the names in the directory ``path`` below ``root``, sorted; none if it is missing or unreadable."""
    try:
        return tuple(sorted(entry.name for entry in os.scandir(chase(root, path))))
    except OSError:
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherWriter:
    """A user other than root and ourselves, ``who`` in words, and the ``place`` that this user may write."""

    place: str
    who: str

    @property
    def remedy(self) -> str:
        """Return the commands that mend it."""
        acl = f"; setfacl --remove-all {self.place}" if _ACL_WORDS in self.who else ""
        return f"chown root:root {self.place}; chmod go-w {self.place}{acl}"


class UnsafeFile(OSError):
    """A file that users other than root could have written; ``hint`` has the commands that mend it."""

    def __init__(self, other: OtherWriter) -> None:
        super().__init__(errno.EPERM, f"{other.who}, who could decide for root", other.place)
        self.hint = other.remedy

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}; {self.hint}"


def require_own(path: Path, *, above: bool = True) -> None:
    """Raise `UnsafeFile` if anybody but root and ourselves may write ``path``, see `other_writer`."""
    if other := other_writer(path, above=above):
        raise UnsafeFile(other)


def other_writer(path: Path, *, above: bool = True) -> OtherWriter | None:
    """Return who besides root and ourselves may write ``path``, None if nobody may.

    With ``above``, whoever may put another file in its place counts as well: by a link on the way to it, or by a
    directory above it. Only root is asked about those, since a user works in directories that others may share.
    A missing path has no writers.
    """
    try:
        if who := _writer(path.stat(), path):
            return OtherWriter(place=os.fspath(path), who=who)
        if above and os.geteuid() == 0:
            return _replacer(path)
    except OSError:
        pass
    return None


def _replacer(path: Path) -> OtherWriter | None:
    """Return who may put another file in the place of ``path``, by the directories above it or above its links."""
    passed: set[str] = set()
    resolve("/", os.fspath(path.absolute()), passed)
    for place in sorted(passed):
        status = os.stat(place)  # noqa: PTH116 -- a text, as below
        # In a directory such as /tmp, nobody can rename or remove what belongs to somebody else.
        is_safe = status.st_mode & stat.S_ISVTX and status.st_uid == 0
        if not is_safe and (who := _writer(status, place)):
            return OtherWriter(place=place, who=who)
    return None


def _writer(status: os.stat_result, place: str | Path) -> str:
    if status.st_uid not in (0, os.geteuid()):
        return f"it belongs to user {status.st_uid}"
    if status.st_mode & stat.S_IWOTH:
        return "every user may write it"
    if not status.st_mode & stat.S_IWGRP:
        return ""
    groups = (0, os.getegid())
    try:
        acl = os.getxattr(place, _ACL)
    except OSError:  # there is none
        return "" if status.st_gid in groups else f"group {status.st_gid} may write it"
    # The bits of the group are the mask of an ACL. Source: linux/posix_acl_xattr.h
    for tag, bits, number in struct.iter_unpack("<HHI", acl[_ACL_HEADER_BYTES:]):
        if bits & _ACL_WRITE and tag == _ACL_USER and number not in (0, os.geteuid()):
            return f"user {number} may write it {_ACL_WORDS}"
        if bits & _ACL_WRITE and tag == _ACL_GROUP and number not in groups:
            return f"group {number} may write it {_ACL_WORDS}"
        if bits & _ACL_WRITE and tag == _ACL_GROUP_OF_FILE and status.st_gid not in groups:
            return f"group {status.st_gid} may write it"
    return ""
