"""The priority of this process among those that compute at the same time."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

FIRST = -10
"""A nice value, which `LimitNICE=` of ordain-agent.service allows. Users can only have 0 to 19."""
NORMAL = 0


AUTOGROUP = Path("/proc/self/autogroup")


def set_nice(value: int) -> None:
    """Set the nice value of all threads of this process, and of its session, where the kernel allows it.

    In Linux, each thread has its own, which the threads and processes that it makes inherit: setpriority(2). Without
    control groups for the processor, the kernel shares it among sessions, and a nice value only counts between the
    threads of one; between sessions, that of the session counts (`The autogroup feature` in sched(7)).
    """
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended, or a container may not have this priority
            os.setpriority(os.PRIO_PROCESS, int(thread.name), value)
    with contextlib.suppress(OSError):  # the kernel has no such groups, or this is not allowed
        AUTOGROUP.write_text(f"{value}\n")


def leave_session() -> None:
    """Make a session of this process alone, so that `set_nice` is not about the one that started it."""
    with contextlib.suppress(PermissionError):  # it leads a session or a process group already
        os.setsid()
