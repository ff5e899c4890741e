"""Two applies never overlap: a lock that the kernel takes back when its holder dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ordain.agent.failure import Busy

PATH = "run/ordain/lock"
POLL_SEC = 0.05


@asynccontextmanager
async def locked(root: Path, patience_sec: float) -> AsyncIterator[None]:
    """Hold the lock of the machine below ``root``; raises `Busy` when it is not to be had in time."""
    path = root / PATH
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        await _take(descriptor, patience_sec)
        yield
    finally:
        os.close(descriptor)


async def _take(descriptor: int, patience_sec: float) -> None:
    for _ in range(1 + int(patience_sec / POLL_SEC)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            await asyncio.sleep(POLL_SEC)
    raise Busy("another apply is under way")
