"""The lock that everybody who changes the releases of a store holds: a publisher and `prune` take turns.

A publisher does not write a document that the store has already, and names it a moment later. If somebody removed the
document in between, the release would be incomplete. So both hold one slot (`database.semaphore`), and check before
each step that they still do. The slot of a process that was killed expires after `TTL_SEC`.
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
"""The name of the semaphore; no channel can have this name."""
TTL_SEC = 60
PATIENCE_SEC = 90.0
"""The wait for the lock: longer than a process that was killed can hold it."""
RETRY_SEC = 0.5


@dataclass(slots=True, kw_only=True)
class PublishLock:
    """The lock while it is held."""

    semaphore: Semaphore
    _renewed: float = field(default_factory=time.monotonic)

    async def ensure_held(self) -> None:
        """Renew the lock when that is due. Raises `Failure` if it was lost."""
        if time.monotonic() - self._renewed < self.semaphore.ttl_sec / 3:
            return
        if not await self.semaphore.renew():
            message = "this took so long that the lock expired, and somebody else may change the releases now"
            raise Failure(f"{message}; run the command again")
        self._renewed = time.monotonic()


@asynccontextmanager
async def hold_publish_lock(database: Database, patience_sec: float = PATIENCE_SEC) -> AsyncIterator[PublishLock]:
    """Wait for the lock and hold it. Raises `Failure` if it does not become free within ``patience_sec``."""
    holder = secrets.token_hex(16)
    semaphore = Semaphore(database=database, name=NAME, count=1, holder=holder, ttl_sec=TTL_SEC)
    deadline = time.monotonic() + patience_sec
    began = time.monotonic()
    while not await semaphore.acquire():
        if time.monotonic() > deadline:
            message = f"{database.location}: somebody else is publishing or pruning there (lock {semaphore.prefix}0)"
            raise Failure(f"{message}; try again later")
        await asyncio.sleep(RETRY_SEC)
        began = time.monotonic()
    try:
        yield PublishLock(semaphore=semaphore, _renewed=began)
    finally:
        with suppress(SourceError):  # then the slot expires
            await semaphore.release()
