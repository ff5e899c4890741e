"""Reads of files on mounts that may not answer: a dying disk, or the server of a network file system that is away.

A call that such a mount holds up ends only with the mount, and cannot be interrupted. So it runs in a thread of its
own, is waited for a few seconds, and the mount gets no other one until it has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import TypeVar

from ordain.agent.errors import OrdainError
from ordain.transforms.lazy_patterns import lazy_pattern

T = TypeVar("T")
HINT = "check the disk or the server of this mount, and the journal of the kernel (journalctl -k)"
ANSWER_SEC = 5.0
"""A mount that needs longer for a few small files is not waited for: everything else of the agent waits, too."""
MOUNTS = Path("/proc/self/mountinfo")
IN_MEMORY = frozenset({"tmpfs", "ramfs", "rootfs", "proc", "sysfs", "devtmpfs", "cgroup", "cgroup2", "overlay"})
"""Types of file systems that need no disk and no server, or are those of the whole machine."""


_OCTAL = lazy_pattern(r"\\([0-7]{3})")


class NotAnswering(OrdainError, TimeoutError):
    """The mount of ``place`` does not answer in time."""

    def __init__(self, place: str) -> None:
        super().__init__(f"{place} does not answer")


class BoundedReads:
    """The threads that read, one for each mount, or other place, that does not answer."""

    def __init__(self) -> None:
        self._pending: dict[str, asyncio.Future[None]] = {}
        self._silent: set[str] = set()

    async def run(self, mount: str, work: Callable[[], T], answer_sec: float | None = None) -> T:
        """Return the result of ``work``, which reads below ``mount`` only; for ``""``, the root, there is no limit.

        Raises `NotAnswering`, and the error of ``work``.
        """
        if not mount:
            return work()
        timeout_sec = ANSWER_SEC if answer_sec is None else answer_sec
        while (before := self._pending.get(mount)) is not None:
            if mount in self._silent or not (await asyncio.wait({before}, timeout=timeout_sec))[0]:
                raise NotAnswering(mount)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        result: list[T] = []
        errors: list[Exception] = []

        def read() -> None:
            try:
                result.append(work())
            except Exception as error:
                errors.append(error)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._end, mount, ended)

        self._pending[mount] = ended
        threading.Thread(target=read, daemon=True).start()  # asyncio's own threads would keep the agent from ending
        if not (await asyncio.wait({ended}, timeout=timeout_sec))[0]:
            self._silent.add(mount)
            raise NotAnswering(mount)
        if errors:
            raise errors[0]
        return result[0]

    async def wait_for_end(self, mount: str) -> None:
        """Return when nothing reads below ``mount`` any more: after `NotAnswering`, it is worth another attempt."""
        while (pending := self._pending.get(mount)) is not None:
            await asyncio.wait({pending})

    def _end(self, mount: str, ended: asyncio.Future[None]) -> None:
        self._pending.pop(mount, None)
        self._silent.discard(mount)
        if not ended.done():
            ended.set_result(None)


def read_in_time(place: str, work: Callable[[], T]) -> T:
    """Return the result of ``work``, which reads ``place``, as `BoundedReads.run` does, for programs without a loop."""
    result: Future[T] = Future()

    def read() -> None:
        try:
            result.set_result(work())
        except Exception as error:
            result.set_exception(error)

    threading.Thread(target=read, daemon=True).start()
    if not wait([result], ANSWER_SEC).done:
        raise NotAnswering(place)
    return result.result()


def mount_points() -> tuple[str, ...]:
    """Return the mounts that may not answer, the longest path first. Source: proc_pid_mountinfo(5)."""
    points = set()
    try:
        lines = MOUNTS.read_bytes().decode("utf-8", "surrogateescape").split("\n")  # names have other line ends
    except OSError:
        return ()
    for line in lines:
        before, _, after = line.partition(" - ")
        if len(fields := before.split(" ")) > 4 and after.split(" ")[0] not in IN_MEMORY:
            points.add(_OCTAL.sub(lambda code: chr(int(code[1], 8)), fields[4]))
    return tuple(sorted(points - {"/"}, key=len, reverse=True))


def mount_of(path: str, points: tuple[str, ...]) -> str:
    """Return the mount of ``points`` that holds ``path``, "" if none does.

    >>> mount_of("/srv/a/b", ("/srv/a", "/srv")), mount_of("/srv/ab", ("/srv/a",))
    ('/srv/a', '')
    """
    return next((point for point in points if path == point or path.startswith(f"{point}/")), "")
