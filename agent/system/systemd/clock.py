"""The clocks of the machine, and systemd's word on whether the time of day is synchronized."""

from __future__ import annotations

import time

from ordain.agent.errors import Unavailable
from ordain.agent.instruction import ClockReading, Terms
from ordain.agent.system.dbus.bus import Bus, get
from ordain.agent.system.systemd.systemd1 import MANAGER, NAME, PATH

TIMEDATED, TIMEDATED_PATH = "org.freedesktop.timedate1", "/org/freedesktop/timedate1"


async def read_clock(bus: Bus, boot: str, terms: Terms) -> ClockReading:
    """Return the clocks in the boot with this id, for an instruction with these terms. Raises `Unavailable`.

    Without an end, only the time of day matters, and nobody is asked.
    """
    if not terms.has_end:
        return clock_now(boot, started_sec=0.0, synchronized=False)
    return clock_now(boot, started_sec=await pid_1_started_sec(bus), synchronized=await is_synchronized(bus))


def clock_now(boot: str, *, started_sec: float, synchronized: bool) -> ClockReading:
    """Return the clocks in a boot whose PID 1 started at ``started_sec`` of CLOCK_MONOTONIC."""
    return ClockReading(
        wall_sec=time.time(),
        boot_sec=time.clock_gettime(time.CLOCK_BOOTTIME),
        up_sec=time.clock_gettime(time.CLOCK_MONOTONIC) - started_sec,
        boot=boot,
        synchronized=synchronized,
    )


async def pid_1_started_sec(bus: Bus) -> float:
    """Return when PID 1 started, by CLOCK_MONOTONIC. In a container, that clock is older than the boot.

    Raises `Unavailable`.
    """
    return int(await get(bus, NAME, PATH, MANAGER, "UserspaceTimestampMonotonic")) / 1e6


async def is_synchronized(bus: Bus) -> bool:
    """Return whether the kernel's clock is synchronized (NTPSynchronized, org.freedesktop.timedate1(5)).

    Without systemd-timedated, it counts as not synchronized.
    """
    try:
        return bool(await get(bus, TIMEDATED, TIMEDATED_PATH, TIMEDATED, "NTPSynchronized"))
    except Unavailable:
        return False
