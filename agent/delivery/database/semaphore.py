"""A semaphore in a store: at most so many machines at a time, each of which holds a slot that a crash gives back.

PREFIX/I              {"holder": MACHINE-ID, "beat": N}, written by compare-and-set
locks/_own/MACHINE-ID  the same, and "slot": PREFIX; the store lets only this machine write it

In a fleet whose machines write their own slots only (`SlotGuard.has_own_slots`), a holder counts the slots of all, and
takes its own unless one of them was put since. A machine that still takes a slot with a number counts both kinds.

If a store cannot exclude a second holder by compare-and-set alone (`Database.settle_sec`), a new slot counts only
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
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Protocol

from ordain.agent.delivery.database.database import Conflict, Database, Listing, StoredEntry, Unchanged
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.spread import position

LOCKS = "locks/"
OWN = f"{LOCKS}_own/"
"""The prefix of slots that only their holders write, for all semaphores of a store: a machine needs one at a time."""
ATTEMPTS = 5
"""The number of times that a slot is tried while other holders take or renew theirs; each such time one has done so."""
TTL_SEC = 300
"""A slot that is not renewed for this long is free; a holder renews it after a third of that time."""


FirstSeen = dict[tuple[str, str], tuple[str | int, float]]
"""For the key and the holder of a slot, its beat or version, and the time when it was first seen with that one."""


class SlotGuard(Protocol):
    """The proof of who holds a slot. Raises `SourceError` if the store cannot be used."""

    is_signing: bool
    """True if holders sign their slots, with a beat that only grows."""
    has_own_slots: bool
    """True if each holder writes its own slot only, below `OWN`."""

    def sign(self, key: str, slot: dict[str, object]) -> dict[str, object]:
        """Return ``slot`` as this machine's statement at ``key``."""

    async def genuine(self, claims: Sequence[tuple[StoredEntry, str]]) -> frozenset[str]:
        """Return the keys of those slots that the holders beside them wrote. The rules of the fleet are known then."""


class NoGuard:
    """The guard of a store whose writers are all believed."""

    is_signing = False
    has_own_slots = False

    def sign(self, key: str, slot: dict[str, object]) -> dict[str, object]:
        """Return ``slot`` as it is."""
        return slot

    async def genuine(self, claims: Sequence[tuple[StoredEntry, str]]) -> frozenset[str]:
        """Return all keys."""
        return frozenset(entry.key for entry, _ in claims)


@dataclass(slots=True, kw_only=True)
class Semaphore:
    """``count`` slots below ``prefix``, as ``holder`` sees them. Raises `SourceError` if the store cannot be used.

    If ``may_be_own``, slots below `OWN` count, too. ``first_seen`` is what the holder knows of the age of slots.
    """

    database: Database
    prefix: str
    count: int
    holder: str
    guard: SlotGuard = field(default_factory=NoGuard)
    may_be_own: bool = False
    ttl_sec: int = TTL_SEC
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    first_seen: FirstSeen = field(default_factory=dict)
    _held_key: str = ""
    _version: str = ""
    _beat: int = 0

    async def resume(self) -> bool:
        """Resume the slot that an earlier process of the holder has left; return whether there was one."""
        return await self._resume(await self._genuine(await self._list()))

    async def acquire(self) -> bool:
        """Take a slot, or resume the holder's own; return whether a slot is held now."""
        for _ in range(ATTEMPTS):
            listing = await self._list()
            entries = {entry.key: entry for entry in listing.entries}
            held = await self._genuine(listing)
            if any(_slot(entry)[0] == self.holder for entry in held.values()):
                return await self._resume(held)
            taken = {key for key, entry in held.items() if not self._has_expired(entry)}
            if not self._writes_own:
                return await self._take_number(entries, taken)
            if len(taken) >= self.count:
                return False
            own = f"{OWN}{self.holder}"
            if await self._take(own, entries.get(own), Unchanged(prefixes=self._prefixes, revision=listing.revision)):
                return True
        return False

    async def _take_number(self, entries: Mapping[str, StoredEntry], taken: Set[str]) -> bool:
        """Take a slot that has a number and is not ``taken``; those below `OWN` leave fewer of them."""
        if sum(1 for key in taken if key.startswith(OWN)) and len(taken) >= self.count:
            return False
        keys = [f"{self.prefix}{number}" for number in range(self.count)]
        first = int(position(self.holder, self.prefix) * self.count)  # so that not all machines try the same one first
        for key in keys[first:] + keys[:first]:
            if key not in taken and await self._take(key, entries.get(key)) and await self._is_alone():
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

    @property
    def _prefixes(self) -> tuple[str, ...]:
        return (self.prefix, OWN) if self.may_be_own and self.database.compares_ranges else (self.prefix,)

    @property
    def _writes_own(self) -> bool:
        return OWN in self._prefixes and self.guard.has_own_slots

    async def _list(self) -> Listing:
        return await self.database.list(*self._prefixes)

    async def _genuine(self, listing: Listing) -> dict[str, StoredEntry]:
        """Return the slots that somebody holds: those that their holders wrote, and only the first of each holder."""
        claims = [(entry, _slot(entry)[0]) for entry in listing.entries if _is_for(entry, self.prefix)]
        genuine = await self.guard.genuine(claims) if claims or self.may_be_own else frozenset()
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

    async def _take(self, key: str, current: StoredEntry | None, provided: Unchanged | None = None) -> bool:
        """Write the slot if it is still as ``current``; return whether it is held now."""
        self._beat = max(self._beat, _slot(current)[1] if current and key.startswith(OWN) else 0) + 1
        slot: dict[str, object] = {"holder": self.holder, "beat": self._beat}
        if key.startswith(OWN):
            slot["slot"] = self.prefix
        data = json.dumps(self.guard.sign(key, slot)).encode()
        expect = current.version if current else None
        try:
            self._version = await self.database.put(key, data, expect=expect, ttl_sec=self.ttl_sec, provided=provided)
        except Conflict:
            return False
        except SourceError as error:
            if error.code is not SourceFault.FORBIDDEN or not key.startswith(OWN):
                raise
            hint = "this machine needs a user of its own of the store to take its slot: run `ordainctl fleet enroll`"
            raise SourceError(str(error), code=error.code, hint=hint) from error
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
        last, since = self.first_seen.get((entry.key, holder), (None, 0.0))
        mark = beat if self.guard.is_signing else entry.version
        is_earlier = isinstance(last, int) and isinstance(mark, int) and mark <= last
        if mark != last and not is_earlier:
            self.first_seen[entry.key, holder] = mark, self.clock()
            return False
        return self.clock() - since > self.ttl_sec


def _is_for(entry: StoredEntry, prefix: str) -> bool:
    """Return whether a slot is one of the semaphore at ``prefix``; below `OWN` are those of all of them."""
    if not entry.key.startswith(OWN):
        return True
    try:
        slot = json.loads(entry.data)
        return bool(slot["slot"] == prefix and f"{OWN}{slot['holder']}" == entry.key)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def holder_of(entry: StoredEntry) -> str:
    """Return the holder that a slot names; "" of a text that is not a slot."""
    return _slot(entry)[0]


def _slot(entry: StoredEntry) -> tuple[str, int]:
    """Return the holder and the beat in a slot; of a text that is not a slot ("", 0), which nobody renews."""
    try:
        slot = json.loads(entry.data)
        return str(slot["holder"]), int(slot["beat"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return "", 0
