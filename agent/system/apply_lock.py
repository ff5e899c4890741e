"""The lock that keeps two applies from running at once; the kernel releases it when its holder dies."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ordain.agent.errors import Busy
from ordain.agent.system import atomic_files

PATH = "run/ordain/lock"
POLL_SEC = 0.05


@asynccontextmanager
async def locked(root: Path, patience_sec: float) -> AsyncIterator[None]:
    """Hold the lock of the machine below ``root``. Raises `Busy` if another process holds it for too long."""
    path = root / PATH
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    atomic_files.make_way(path)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        await _take(descriptor, patience_sec)
        with contextlib.suppress(OSError):  # the lock also works on a full disk
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def lock_holder(root: Path) -> int:
    """Return the process that holds the lock, or held it last; 0 if it is unknown.

    The answer is certain while `locked` raises `Busy`.
    """
    try:
        return int(atomic_files.read(root / PATH).decode())
    except (OSError, ValueError):
        return 0


async def _take(descriptor: int, patience_sec: float) -> None:
    for _ in range(1 + int(patience_sec / POLL_SEC)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            await asyncio.sleep(POLL_SEC)
    raise Busy("another apply is running")
