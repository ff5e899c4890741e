"""The frame of a daemon's event loop: stop signals, the watchdog of PID 1, and a group of tasks that ends as one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from ordain.agent.system.systemd.sd_notify import notify


async def wait_for_stop_signal() -> None:
    """Return when the process gets SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    notify("STOPPING=1")


async def ping_watchdog() -> None:
    """Tell PID 1 twice in each WatchdogSec= that the event loop still runs; never return."""
    usec = int(os.environ.get("WATCHDOG_USEC", "0"))
    while usec:
        notify("WATCHDOG=1")
        await asyncio.sleep(usec / 2_000_000)
    await asyncio.Event().wait()


async def run_until_first_ends(
    *coroutines: Coroutine[Any, Any, None], when_started: Callable[[], None] = lambda: None
) -> None:
    """Run all ``coroutines`` until one returns or fails; then cancel the others, and raise its error, if any.

    ``when_started`` is called when each of them has run to its first wait, and so has installed its signal handlers.
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.sleep(0)
        when_started()
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
