"""What the watches of all stores have in common: a stream that wakes, and a check that trusts no stream.

A stream can be silent because nothing changes or because it is dead: half-open connections, frozen servers and lost
events look the same. So the store is asked now and then whether it still holds what was listed last.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

CHECK_SEC = 60.0
QUIET_SEC = 0.02
"""What a burst brings within so long wakes once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTiming:
    """``check_sec``: the mean time between two checks; ``answer_sec``: without a byte for so long, a server is dead."""

    check_sec: float = CHECK_SEC
    answer_sec: float = 10.0


async def hints(
    follow: Callable[[asyncio.Event], Awaitable[None]], check: Callable[[], Awaitable[bool]], pace: WatchTiming
) -> AsyncGenerator[None, None]:
    """Yields when ``follow`` sets its event, and when ``check`` says that something else is there than was listed.

    Ends when ``follow`` does; raises what either raises.
    """
    woken = asyncio.Event()
    following = asyncio.ensure_future(follow(woken))
    waiting = asyncio.ensure_future(woken.wait())
    try:
        while True:
            # All machines of a site start together; they are not to ask together for ever.
            patience = pace.check_sec * random.uniform(0.75, 1.25)
            done, _ = await asyncio.wait({following, waiting}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if waiting in done:
                await asyncio.sleep(QUIET_SEC)
                woken.clear()
                waiting = asyncio.ensure_future(woken.wait())
                yield
            elif following in done:
                await following
                return
            elif await check():
                yield
    finally:
        for task in (following, waiting):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
