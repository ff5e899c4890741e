"""The takeover: in each boot one program starts the services, either an agent or ordain-fallback.service.

A program claims the record before it starts them, and writes ``started`` afterwards. So two programs that come at the
same time start them once, and the next agent finishes the work of one that was killed in between.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from ordain.agent.system import atomic_files
from ordain.agent.system.systemd.systemd1 import Systemd

RECORD = "run/ordain/takeover"
TARGET = "ordain-services.target"
CLAIMED = "claimed"
STARTED = "started"
POLL_SEC = 0.1
SETTLE_SEC = 120.0
"""The time that members have to start before documents are applied nevertheless."""


def read_takeover(root: Path) -> tuple[str, str]:
    """Return who took over in this boot, and `CLAIMED` or `STARTED`; two empty texts if nobody has."""
    try:
        who, _, step = atomic_files.read(root / RECORD).decode().strip().partition(" ")
    except FileNotFoundError:
        return "", ""
    except (OSError, UnicodeDecodeError):  # something else is in its place: nobody knows who claimed it
        return "", CLAIMED
    return who, step or STARTED


async def take_over(systemd: Systemd, root: Path, who: str) -> bool:
    """Queue the start of `TARGET` unless somebody else has. Return whether this call did. Raises `Unavailable`.

    It does not wait for the start: a member After=multi-user.target would wait for the agent.
    """
    path = root / RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    if not _claim(path, who) and (read_takeover(root)[1] != CLAIMED or await _begun(systemd)):
        return False
    await systemd.start(TARGET)
    atomic_files.replace(path, f"{who} {STARTED}\n".encode())
    return True


def _claim(path: Path, who: str) -> bool:
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, f"{who} {CLAIMED}\n".encode())
    finally:
        os.close(descriptor)
    return True


async def _begun(systemd: Systemd) -> bool:
    state = (await systemd.list_units([TARGET]))[TARGET]
    return state.active_state != "inactive" or await systemd.has_job(TARGET)


async def wait_until_settled(systemd: Systemd) -> None:
    """Wait until the start of the target has ended, well or not, for at most `SETTLE_SEC`."""
    for _ in range(int(SETTLE_SEC / POLL_SEC)):
        if not await systemd.has_job(TARGET):
            return
        await asyncio.sleep(POLL_SEC)
