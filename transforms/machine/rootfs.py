"""Reading below a root directory, never beside it.

A root is ``/`` or a whole file system somewhere else: an image, a container, a test's fixture. Its
symbolic links mean what they would mean if it were ``/``, so every link is followed by hand.
What is read is a regular file of bounded size: a pipe, a device or a huge file is an `OSError`, not a hang.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

LIMIT = 1 << 20
"""No file the facts or units come from has a reason to be larger (bytes)."""
_LINKS = 40  # as many as the kernel follows


def chase(root: Path, path: str) -> Path:
    """``path`` below ``root`` with every link followed, as if ``root`` were ``/``; it need not exist.

    Raises `OSError` (``ELOOP``) for a circle of links.
    """
    todo = path.split("/")[::-1]
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        try:
            target = os.readlink(os.path.join(root, *done, part))  # noqa: PTH115, PTH118 -- hot: pathlib triples it
        except (OSError, ValueError):
            done.append(part)
            continue
        links += 1
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if target.startswith("/"):
            done.clear()
        todo += target.split("/")[::-1]
    return root.joinpath(*done)


def read(root: Path, path: str, *, limit: int = LIMIT) -> bytes | None:
    """The content of the regular file ``path`` below ``root``; ``None`` if there is none.

    Raises `OSError` if it is there and cannot be read, is not a regular file, or is larger than ``limit``.
    """
    try:
        return read_resolved(chase(root, path), limit=limit)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_resolved(path: str | os.PathLike[str], *, limit: int = LIMIT) -> bytes:
    """The content of ``path``, which holds no link; `OSError` as from `read`, or if there is none."""
    data = _first(path, limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", os.fspath(path))
    return data


def head(root: Path, path: str, size: int) -> bytes | None:
    """The first ``size`` bytes of a file of any length, else as `read`."""
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
    """Whether ``path`` is there below ``root``, whatever it is."""
    try:
        chase(root, path).lstat()
    except (OSError, ValueError):
        return False
    return True


def names(root: Path, path: str) -> tuple[str, ...]:
    """The names in the directory ``path`` below ``root``, sorted; none if it is missing or unreadable."""
    try:
        return tuple(sorted(entry.name for entry in os.scandir(chase(root, path))))
    except OSError:
        return ()
