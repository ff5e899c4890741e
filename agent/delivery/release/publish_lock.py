"""Who changes what releases a store holds is alone at it: a publisher and `prune` take turns; effect.

A publisher leaves out a document that is there already, and names it a moment later; to remove it in between would
leave a release that is not complete. So both hold one slot (`fleet.slots`), and make sure of it before each step. Who
was killed gives it back after `TTL_SEC`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.database.semaphore import Semaphore
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.errors import Failure

NAME = "releases_"
"""No channel can be called so."""
TTL_SEC = 60
PATIENCE_SEC = 90.0
"""For longer than one that was killed holds its slot."""
ASK_SEC = 0.5


@dataclass(slots=True, kw_only=True)
class PublishLock:
    """The slot that is held."""

    slots: Semaphore
    _renewed: float = field(default_factory=time.monotonic)

    async def keep(self) -> None:
        """Go on only while it is held. Raises `Failure`."""
        if time.monotonic() - self._renewed < self.slots.ttl_sec / 3:
            return
        if not await self.slots.renew():
            raise Failure("this took so long that somebody else changes the releases now: do it again")
        self._renewed = time.monotonic()


@asynccontextmanager
async def hold_publish_lock(database: Database, patience_sec: float = PATIENCE_SEC) -> AsyncIterator[PublishLock]:
    """A turn at changing releases in ``database``. Raises `Failure` if nobody gives it back in time."""
    slots = Semaphore(database=database, name=NAME, count=1, holder=secrets.token_hex(16), ttl_sec=TTL_SEC)
    until = time.monotonic() + patience_sec
    began = time.monotonic()
    while not await slots.acquire():
        if time.monotonic() > until:
            raise Failure(f"{database.location}: somebody else publishes or prunes there: {slots.prefix}0")
        await asyncio.sleep(ASK_SEC)
        began = time.monotonic()
    try:
        yield PublishLock(slots=slots, _renewed=began)
    finally:
        with suppress(SourceError):  # it expires
            await slots.release()
