"""A semaphore in the store: so many machines at a time, each with a slot that a crash gives back; effect.

locks/NAME/I    {"holder": MACHINE-ID, "beat": N}, written by compare-and-set

A slot lives as long as its holder renews it. In etcd it goes with its lease; elsewhere whoever wants it takes it over
once it has not changed for `TTL_SEC` of his own clock, so that no two clocks are compared.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ordain.agent.delivery.database.database import Conflict, Database, StoredEntry
from ordain.agent.delivery.spread import position

LOCKS = "locks/"
TTL_SEC = 300
"""A holder renews after a third of it."""


@dataclass(slots=True, kw_only=True)
class Semaphore:
    """``count`` slots called ``name``, for ``holder``. Calls raise `SourceError` where the store cannot be used."""

    database: Database
    name: str
    count: int
    holder: str
    ttl_sec: int = TTL_SEC
    clock: Callable[[], float] = time.monotonic
    _held: str = ""
    _version: str = ""
    _beat: int = 0
    _since: dict[str, tuple[str, float]] = field(default_factory=dict)

    async def mine(self) -> bool:
        """Whether a slot is held now that an earlier life of the holder took."""
        listing = await self.database.list(self.prefix)
        for entry in listing.entries:
            if _holder(entry) == self.holder:
                return await self._take(entry.key, entry)
        return False

    async def acquire(self) -> bool:
        """Whether a slot is held now; one that an earlier life of the holder left is its own."""
        listing = await self.database.list(self.prefix)
        there = {entry.key: entry for entry in listing.entries}
        for entry in listing.entries:
            if _holder(entry) == self.holder:
                return await self._take(entry.key, entry)
        keys = [f"{self.prefix}{number}" for number in range(self.count)]
        begin = int(position(self.holder, self.name) * self.count)  # not all at the first one
        for key in keys[begin:] + keys[:begin]:
            found = there.get(key)
            if (found is None or self._dead(found)) and await self._take(key, found):
                return True
        return False

    async def renew(self) -> bool:
        """Whether the slot is still held."""
        if not self._held:
            return False
        entry = await self.database.get(self._held)
        if entry is None or entry.version != self._version:
            self._held = ""
            return False
        return await self._take(self._held, entry)

    async def release(self) -> None:
        """Give the slot back."""
        if self._held:
            key, self._held = self._held, ""
            try:
                await self.database.delete(key, expect=self._version)
            except Conflict:
                return  # it expired, and is somebody else's

    @property
    def prefix(self) -> str:
        """Below which the slots lie."""
        return f"{LOCKS}{self.name}/"

    async def _take(self, key: str, there: StoredEntry | None) -> bool:
        self._beat += 1
        data = json.dumps({"holder": self.holder, "beat": self._beat}).encode()
        try:
            expect = there.version if there else None
            self._version = await self.database.put(key, data, expect=expect, ttl_sec=self.ttl_sec)
        except Conflict:
            return False
        self._held = key
        return True

    def _dead(self, entry: StoredEntry) -> bool:
        """Whether its holder has not renewed it for as long as we have known it."""
        version, since = self._since.get(entry.key, ("", 0.0))
        if version != entry.version:
            self._since[entry.key] = entry.version, self.clock()
            return False
        return self.clock() - since > self.ttl_sec


def _holder(entry: StoredEntry) -> str:
    try:
        found = json.loads(entry.data)
        return str(found["holder"])
    except (ValueError, TypeError, KeyError):
        return ""
