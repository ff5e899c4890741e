"""The watch that etcd and CouchDB have in common: a stream that reports changes, and a check that trusts no stream.

A stream is silent when nothing changes, and also when it is dead: half-open connections, frozen servers and lost events
look the same. So the store is asked from time to time whether its content still equals the last listing.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

CHECK_SEC = 60.0
QUIET_SEC = 0.02
"""Changes that arrive within this time are reported once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTiming:
    """The mean time between two checks of the content, and the silence after which a server counts as dead."""

    check_sec: float = CHECK_SEC
    answer_sec: float = 10.0


async def possible_changes(
    follow: Callable[[asyncio.Event], Awaitable[None]],
    has_changed: Callable[[], Awaitable[bool]],
    timing: WatchTiming,
) -> AsyncGenerator[None, None]:
    """Yield when ``follow`` sets its event, and when ``has_changed`` finds that the content differs.

    Ends when ``follow`` ends; raises the errors of both.
    """
    changed = asyncio.Event()
    following = asyncio.ensure_future(follow(changed))
    waiting = asyncio.ensure_future(changed.wait())
    try:
        while True:
            # All machines of a site start together; the random part keeps them from asking together for ever.
            wait_sec = timing.check_sec * random.uniform(0.75, 1.25)
            done, _ = await asyncio.wait({following, waiting}, timeout=wait_sec, return_when=asyncio.FIRST_COMPLETED)
            if waiting in done:
                await asyncio.sleep(QUIET_SEC)
                changed.clear()
                waiting = asyncio.ensure_future(changed.wait())
                yield
            elif following in done:
                await following
                return
            elif await has_changed():
                yield
    finally:
        for task in (following, waiting):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
