"""A cache of the value that was read from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ordain.agent.system import atomic_files

T = TypeVar("T")


class CachedFile(Generic[T]):
    """The result of ``read`` for the file at ``path``; the file is read again only after it was replaced.

    ``load`` reads the bytes. For files that are replaced and never written in place, as `atomic_files` does it.
    """

    def __init__(
        self, path: Path, read: Callable[[bytes], T], load: Callable[[Path], bytes] = atomic_files.read
    ) -> None:
        self._path = path
        self._read = read
        self._load = load
        self._kept: tuple[tuple[int, ...], T] | None = None

    def __call__(self) -> T:
        """Return the value. Raises `OSError`, and the errors of ``read``."""
        stat = self._path.stat()
        stamp = stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
        if self._kept is None or self._kept[0] != stamp:
            self._kept = None
            self._kept = stamp, self._read(self._load(self._path))
        return self._kept[1]
