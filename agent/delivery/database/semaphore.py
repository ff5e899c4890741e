"""A semaphore in a store: at most so many machines at a time, each of which holds a slot that a crash gives back.

PREFIX/I    {"holder": MACHINE-ID, "beat": N}, written by compare-and-set

Where a store cannot exclude a second holder by compare-and-set alone (`Database.settle_sec`), a new slot counts only
after that time, if it still is the holder's.

A slot lasts as long as its holder renews it. In etcd its lease removes it. In other stores, another machine takes it
over when it has not changed for `TTL_SEC` of that machine's clock, so that no two clocks have to agree.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from ordain.agent.delivery.database.database import Conflict, Database, StoredEntry
from ordain.agent.delivery.spread import position

LOCKS = "locks/"
TTL_SEC = 300
"""A slot that is not renewed for this long is free; a holder renews it after a third of that time."""


@dataclass(slots=True, kw_only=True)
class Semaphore:
    """``count`` slots below ``prefix``, as ``holder`` sees them. Raises `SourceError` if the store cannot be used."""

    database: Database
    prefix: str
    count: int
    holder: str
    ttl_sec: int = TTL_SEC
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _held_key: str = ""
    _version: str = ""
    _beat: int = 0
    _first_seen: dict[str, tuple[str, float]] = field(default_factory=dict)

    async def resume(self) -> bool:
        """Resume the slot that an earlier process of the holder has left; return whether there was one."""
        return await self._resume(await self._entries())

    async def acquire(self) -> bool:
        """Take a slot, or resume the holder's own; return whether a slot is held now."""
        entries = await self._entries()
        if any(_holder(entry) == self.holder for entry in entries.values()):
            return await self._resume(entries)
        keys = [f"{self.prefix}{number}" for number in range(self.count)]
        first = int(position(self.holder, self.prefix) * self.count)  # so that not all machines try the same one first
        for key in keys[first:] + keys[:first]:
            entry = entries.get(key)
            if (entry is None or self._has_expired(entry)) and await self._take(key, entry) and await self._is_alone():
                return True
        return False

    async def renew(self) -> bool:
        """Renew the slot; return whether it is still held."""
        if not self._held_key:
            return False
        entry = await self.database.get(self._held_key)
        if entry is None or entry.version != self._version:
            self._held_key = ""
            return False
        return await self._take(self._held_key, entry)

    async def release(self) -> None:
        """Give the slot back."""
        if self._held_key:
            key, self._held_key = self._held_key, ""
            try:
                await self.database.delete(key, expect=self._version)
            except Conflict:
                return  # it has expired, and somebody else holds it

    async def _entries(self) -> dict[str, StoredEntry]:
        return {entry.key: entry for entry in (await self.database.list(self.prefix)).entries}

    async def _resume(self, entries: dict[str, StoredEntry]) -> bool:
        for entry in entries.values():
            if _holder(entry) == self.holder:
                return await self._take(entry.key, entry)
        return False

    async def _take(self, key: str, current: StoredEntry | None) -> bool:
        """Write the slot if it is still as ``current``; return whether it is held now."""
        self._beat += 1
        data = json.dumps({"holder": self.holder, "beat": self._beat}).encode()
        try:
            expect = current.version if current else None
            self._version = await self.database.put(key, data, expect=expect, ttl_sec=self.ttl_sec)
        except Conflict:
            return False
        self._held_key = key
        return True

    async def _is_alone(self) -> bool:
        """Wait until the store can tell whether somebody else took the slot too; return whether it is still held."""
        if not self.database.settle_sec:
            return True
        await self.sleep(self.database.settle_sec)
        entry = await self.database.get(self._held_key)
        if entry is not None and entry.version == self._version:
            return True
        self._held_key = ""
        return False

    def _has_expired(self, entry: StoredEntry) -> bool:
        """Return whether the slot has been the same for longer than a holder may leave it."""
        version, since = self._first_seen.get(entry.key, ("", 0.0))
        if version != entry.version:
            self._first_seen[entry.key] = entry.version, self.clock()
            return False
        return self.clock() - since > self.ttl_sec


def _holder(entry: StoredEntry) -> str:
    try:
        return str(json.loads(entry.data)["holder"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
