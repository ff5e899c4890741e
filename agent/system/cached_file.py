"""What a file said, for as long as it is that file; effect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")


class CachedFile(Generic[T]):
    """What ``read`` makes of the file at ``path``, which is read again when it is another one.

    For files that are replaced and never written in place, as `atomic_files` does it.
    """

    def __init__(self, path: Path, read: Callable[[bytes], T]) -> None:
        self._path = path
        self._read = read
        self._kept: tuple[tuple[int, ...], T] | None = None

    def __call__(self) -> T:
        """Raises `OSError`, and whatever ``read`` raises."""
        found = self._path.stat()
        stamp = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
        if self._kept is None or self._kept[0] != stamp:
            self._kept = None
            self._kept = stamp, self._read(self._path.read_bytes())
        return self._kept[1]
