"""Files that a power cut leaves whole: written under a temporary name, synced, and renamed."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from ordain.transforms.machine import rootfs

PRIVATE, PUBLIC = 0o600, 0o644
"""The mode of a file. Most of ours hold values of documents, and a document may hold a secret."""


SIZE_MAX = 64 << 20
"""The most bytes of a file of ours."""


def read(path: Path, limit: int = SIZE_MAX) -> bytes:
    """Return the content of one of our files, ``limit`` bytes at most. Raises `OSError`, also for a pipe or a device.

    To open a pipe would wait for a writer, and hold up the whole agent.
    """
    return rootfs.read_resolved(path, limit=limit)


def make_way(path: Path) -> None:
    """Move a directory away that has the name of one of our files: nothing of ours makes one. Raises `OSError`."""
    if path.is_dir() and not path.is_symlink():
        aside = path.with_name(f"{path.name}.in-the-way-{os.getpid()}")
        path.rename(aside)
        import logging  # which a first boot does without

        log = logging.getLogger(__name__)
        log.warning("%s was a directory, where a file of ours belongs; it is %s now", path, aside)


def write(path: Path, data: bytes, mode: int = PRIVATE, group: int = -1) -> None:
    """Make the new file ``path`` and sync its content, but not its name (`sync_folder`). Raises `OSError`.

    With ``group``, the file belongs to the group of that number.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        if group >= 0:
            os.fchown(descriptor, -1, group)
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    except OSError as error:  # of a descriptor, which has no name
        error.filename = os.fspath(path)
        raise
    finally:
        os.close(descriptor)


def replace(path: Path, data: bytes, mode: int = PRIVATE, group: int = -1) -> None:
    """Replace the file at ``path`` by ``data``, see `write`. Raises `OSError`.

    At every moment it is the old file or the new one.
    """
    beside = path.with_name(f".{path.name}.new")
    make_way(beside)
    make_way(path)
    try:
        beside.unlink(missing_ok=True)  # an overlay refuses that when it is read-only, also without the file
        write(beside, data, mode, group)
    except OSError as error:
        error.filename = os.fspath(path)
        with contextlib.suppress(OSError):  # frees the space on a full disk
            beside.unlink()
        raise
    beside.rename(path)
    sync_folder(path.parent)


def link_equal(old: Path, new: Path, data: bytes) -> bool:
    """Make ``new`` a hard link to ``old`` if ``old`` holds ``data``; return whether it did."""
    try:
        if read(old) != data:
            return False
        os.link(old, new, follow_symlinks=False)
    except OSError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Sync the names in ``folder``. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, mode: int = 0o755) -> None:
    """Make ``folder`` and the missing folders above it, and sync each into its parent. Raises `OSError`.

    ``mode`` is that of ``folder``; those above it are readable by all.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=mode, exist_ok=True)
        sync_folder(folder.parent)


REMEDIES = {
    errno.ENOSPC: "free some space there: `df` shows how much is left",
    errno.EDQUOT: "free some space there, or raise the quota",
    errno.EROFS: "make the file system writable",
}
"""By the number of an error, what an administrator can do about it."""


def describe_error(error: OSError, path: Path) -> str:
    """Return the error as ``PATH: Read-only file system``."""
    return f"{error.filename or path}: {os.strerror(error.errno or errno.EIO)}"
