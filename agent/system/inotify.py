"""inotify(7) for asyncio, by calls into libc, because the standard library has no binding."""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

ATTRIB = 0x4
CLOSE_WRITE = 0x8
MOVED_FROM = 0x40
MOVED_TO = 0x80
CREATE = 0x100
DELETE = 0x200
DELETE_SELF = 0x400
MOVE_SELF = 0x800
IGNORED = 0x8000
ONLYDIR = 0x1000000
ISDIR = 0x40000000

_EVENT = struct.Struct("iIII")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Event:
    """An event in the watch ``watch``; ``name`` is ``""`` for the directory itself."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One inotify descriptor; ``pending`` is set while there are events to read."""

    def __init__(self) -> None:
        self._fd = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            raise _error("inotify")
        self.pending = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._fd, self.pending.set)

    def watch(self, directory: str, mask: int) -> int:
        """Watch a directory. Raises OSError if it does not exist or is not a directory."""
        watch: int = _libc.inotify_add_watch(self._fd, os.fsencode(directory), mask | ONLYDIR)
        if watch < 0:
            raise _error(directory)
        return watch

    def events(self) -> Iterator[Event]:
        """Yield the events since the last call, and clear ``pending``."""
        self.pending.clear()
        while True:
            try:
                buffer = os.read(self._fd, 65536)
            except BlockingIOError:
                return
            at = 0
            while at < len(buffer):
                watch, mask, _, length = _EVENT.unpack_from(buffer, at)
                at += _EVENT.size
                yield Event(watch, mask, os.fsdecode(buffer[at : at + length].rstrip(b"\0")))
                at += length

    def close(self) -> None:
        """Stop watching."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1  # a thread that a mount held up (`bounded_reads`) may still want to add a watch


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
