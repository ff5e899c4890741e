"""Reads files below a root directory, and never outside it.

A root is ``/`` or another whole file system: an image, a container, or the fixture of a test. Its symbolic links mean
what they would mean if it were ``/``, so this module follows every link itself. It only reads regular files of bounded
size: a pipe, a device or a huge file raises `OSError` and does not block the program.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LIMIT = 1 << 20
"""The size limit in bytes; files with facts or units are always smaller."""
_LINKS = 40  # the kernel follows no more


def chase(root: Path, path: str) -> Path:
    """Return ``path`` below ``root`` with every link followed as if ``root`` were ``/``; it need not exist.

    Raises `OSError` (``ELOOP``) for a circle of links.
    """
    return Path(resolve(os.fspath(root), path))


def resolve(root: str, path: str) -> str:
    """Return the same as `chase`, as text: for callers that follow thousands of links."""
    todo = path.split("/")[::-1]
    top = root if root != "/" else ""
    done = [top]  # each with the directories above it
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
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
    data = _first(path, limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", os.fspath(path))
    return data


def head(root: Path, path: str, size: int) -> bytes | None:
    """Return the first ``size`` bytes of a file of any length, else the same as `read`."""
    try:
        return _first(chase(root, path), size)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _first(path: str | os.PathLike[str], size: int) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        return file.read(size)


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


def other_writers(path: Path) -> str:
    """Return which users other than root and ourselves may write ``path``, as words; "" if there are none.

    A missing path has no writers.
    """
    try:
        status = path.stat()
    except OSError:
        return ""
    if status.st_uid not in (0, os.geteuid()):
        return f"it belongs to user {status.st_uid}"
    if status.st_mode & stat.S_IWOTH:
        return "every user may write it"
    if status.st_mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid()):
        return f"group {status.st_gid} may write it"
    return ""
