"""The clocks of the machine, and systemd's word on whether the time of day is synchronized."""

from __future__ import annotations

import time

from ordain.agent.errors import Unavailable
from ordain.agent.instruction import ClockReading
from ordain.agent.system.bus import Bus, get

TIMEDATED = "org.freedesktop.timedate1"


async def read_clock(bus: Bus, boot: str) -> ClockReading:
    """Return the clocks of the boot with this id; without systemd-timedated, they count as not synchronized."""
    return clock_now(boot, synchronized=await is_synchronized(bus))


def clock_now(boot: str, *, synchronized: bool) -> ClockReading:
    """Return the clocks now."""
    return ClockReading(
        wall_sec=time.time(),
        boot_sec=time.clock_gettime(time.CLOCK_BOOTTIME),
        boot=boot,
        synchronized=synchronized,
    )


async def is_synchronized(bus: Bus) -> bool:
    """Return whether the kernel's clock is synchronized (NTPSynchronized, org.freedesktop.timedate1(5))."""
    try:
        return bool(await get(bus, TIMEDATED, "/org/freedesktop/timedate1", TIMEDATED, "NTPSynchronized"))
    except Unavailable:
        return False
