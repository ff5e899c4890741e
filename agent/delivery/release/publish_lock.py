"""The lock that everybody who changes the releases of a store holds: a publisher and `prune` take turns.

A publisher does not write a document that the store has already, and names it a moment later. If somebody removed the
document in between, the release would be incomplete. So both hold one slot (`database.semaphore`), and check before
each step that they still do. The slot of a process that was killed expires after `TTL_SEC`.

releases/_lock/0     the slot: below releases/, where machines cannot write
locks/releases_/0    the slot of earlier versions, which is waited for, and not taken
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.database.semaphore import LOCKS, Semaphore
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.errors import Failure

RELEASES = "releases/"
INTERNAL = f"{RELEASES}_"
"""The prefix of keys that are not those of a channel: no channel has such a name."""
LOCK = f"{INTERNAL}lock/"
OLD_LOCK = f"{LOCKS}releases_/"
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
    semaphore = Semaphore(database=database, prefix=LOCK, count=1, holder=holder, ttl_sec=TTL_SEC)
    deadline = time.monotonic() + patience_sec
    began = time.monotonic()
    await _wait_for_earlier_versions(database, deadline)
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


async def _wait_for_earlier_versions(database: Database, deadline: float) -> None:
    """Wait while an earlier version of Ordain publishes: until its slot is given back, or stays as it is for too long.

    Machines can write that slot, too. So it delays a publisher until ``deadline`` at most, and then does not count.
    """
    version, since = "", time.monotonic()
    while time.monotonic() <= deadline:
        try:
            entries = (await database.list(OLD_LOCK)).entries
        except SourceError as error:
            if error.code is SourceFault.FORBIDDEN:  # whoever publishes need not be allowed to read what machines write
                return
            raise
        if not entries:
            return
        if entries[0].version != version:
            version, since = entries[0].version, time.monotonic()
        elif time.monotonic() - since > TTL_SEC:
            return
        await asyncio.sleep(RETRY_SEC)
