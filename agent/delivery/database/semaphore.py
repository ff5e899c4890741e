"""A semaphore in a store: at most so many machines at a time, each of which holds a slot that a crash gives back.

PREFIX/I    {"holder": MACHINE-ID, "beat": N}, written by compare-and-set

Where a store cannot exclude a second holder by compare-and-set alone (`Database.settle_sec`), a new slot counts only
after that time, if it still is the holder's.

A second slot of one holder is free, and with a `SlotGuard` also one that its holder has not signed. Then a slot is
renewed only by a higher beat, so that one that somebody writes back does not last.

A slot lasts as long as its holder renews it. In etcd its lease removes it. In other stores, another machine takes it
over when it has not changed for `TTL_SEC` of that machine's clock, so that no two clocks have to agree.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ordain.agent.delivery.database.database import Conflict, Database, StoredEntry
from ordain.agent.delivery.spread import position

LOCKS = "locks/"
TTL_SEC = 300
"""A slot that is not renewed for this long is free; a holder renews it after a third of that time."""


class SlotGuard(Protocol):
    """The proof of who holds a slot. Raises `SourceError` if the store cannot be used."""

    is_signing: bool
    """True if holders sign their slots, with a beat that only grows."""

    def sign(self, key: str, slot: dict[str, object]) -> dict[str, object]:
        """Return ``slot`` as this machine's statement at ``key``."""

    async def genuine(self, claims: Sequence[tuple[StoredEntry, str]]) -> frozenset[str]:
        """Return the keys of those slots that the holders beside them wrote."""


class NoGuard:
    """The guard of a store whose writers are all believed."""

    is_signing = False

    def sign(self, key: str, slot: dict[str, object]) -> dict[str, object]:
        """Return ``slot`` as it is."""
        return slot

    async def genuine(self, claims: Sequence[tuple[StoredEntry, str]]) -> frozenset[str]:
        """Return all keys."""
        return frozenset(entry.key for entry, _ in claims)


@dataclass(slots=True, kw_only=True)
class Semaphore:
    """``count`` slots below ``prefix``, as ``holder`` sees them. Raises `SourceError` if the store cannot be used."""

    database: Database
    prefix: str
    count: int
    holder: str
    guard: SlotGuard = field(default_factory=NoGuard)
    ttl_sec: int = TTL_SEC
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _held_key: str = ""
    _version: str = ""
    _beat: int = 0
    _first_seen: dict[tuple[str, str], tuple[str | int, float]] = field(default_factory=dict)

    async def resume(self) -> bool:
        """Resume the slot that an earlier process of the holder has left; return whether there was one."""
        return await self._resume(await self._genuine(await self._entries()))

    async def acquire(self) -> bool:
        """Take a slot, or resume the holder's own; return whether a slot is held now."""
        entries = await self._entries()
        held = await self._genuine(entries)
        if any(_slot(entry)[0] == self.holder for entry in held.values()):
            return await self._resume(held)
        keys = [f"{self.prefix}{number}" for number in range(self.count)]
        first = int(position(self.holder, self.prefix) * self.count)  # so that not all machines try the same one first
        for key in keys[first:] + keys[:first]:
            is_free = key not in held or self._has_expired(held[key])
            if is_free and await self._take(key, entries.get(key)) and await self._is_alone():
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

    async def _genuine(self, entries: dict[str, StoredEntry]) -> dict[str, StoredEntry]:
        """Return the slots that somebody holds: those that their holders wrote, and only the first of each holder."""
        claims = [(entry, _slot(entry)[0]) for _, entry in sorted(entries.items())]
        genuine = await self.guard.genuine(claims) if claims else frozenset()
        first: dict[str, StoredEntry] = {}
        for entry, holder in claims:
            if entry.key in genuine:
                first.setdefault(holder, entry)
        return {entry.key: entry for entry in first.values()}

    async def _resume(self, held: dict[str, StoredEntry]) -> bool:
        for entry in held.values():
            holder, beat = _slot(entry)
            if holder == self.holder:
                self._beat = max(self._beat, beat)
                return await self._take(entry.key, entry)
        return False

    async def _take(self, key: str, current: StoredEntry | None) -> bool:
        """Write the slot if it is still as ``current``; return whether it is held now."""
        self._beat += 1
        data = json.dumps(self.guard.sign(key, {"holder": self.holder, "beat": self._beat})).encode()
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
        """Return whether the slot has not been renewed for longer than a holder may leave it."""
        holder, beat = _slot(entry)
        last, since = self._first_seen.get((entry.key, holder), (None, 0.0))
        mark = beat if self.guard.is_signing else entry.version
        is_earlier = isinstance(last, int) and isinstance(mark, int) and mark <= last
        if mark != last and not is_earlier:
            self._first_seen[entry.key, holder] = mark, self.clock()
            return False
        return self.clock() - since > self.ttl_sec


def _slot(entry: StoredEntry) -> tuple[str, int]:
    """Return the holder and the beat in a slot; of a text that is not a slot ("", 0), which nobody renews."""
    try:
        slot = json.loads(entry.data)
        return str(slot["holder"]), int(slot["beat"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return "", 0
