"""A relay: it follows a store, keeps the last good copy on its disk, and passes on what machines write.

store ─list, watch▶ `LastCopy` ─▶ machines (documents, releases, blobs, records)
machines ─report▶ `ReportQueue` ─▶ store        machines ─slots, requests▶ store, while it answers
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from ordain.agent.delivery.backoff import Backoff
from ordain.agent.delivery.database.database import Conflict, Database, Listing, StoredEntry, Unchanged
from ordain.agent.delivery.database.document_keys import DOCUMENTS, MACHINES
from ordain.agent.delivery.database.semaphore import LOCKS
from ordain.agent.delivery.fleet.report_publisher import STATUS, status_key
from ordain.agent.delivery.identity.identities import NO_IDENTITIES, Identities, parse_identities
from ordain.agent.delivery.identity.machine_record import REQUESTS
from ordain.agent.delivery.protocol import SourceError, SourceFault, StoreAway
from ordain.agent.delivery.release.manifest import read_release
from ordain.agent.delivery.release.publish import BLOBS, read_blobs
from ordain.agent.delivery.release.publish_lock import RELEASES
from ordain.agent.errors import Failure
from ordain.agent.server.relay import accepted_writes
from ordain.agent.server.relay.last_copy import LastCopy, load_copy, release_numbers
from ordain.agent.server.relay.report_queue import ReportQueue
from ordain.agent.system import atomic_files
from ordain.transforms.errors import Refused

log = logging.getLogger(__name__)
T = TypeVar("T")
COPIED = (DOCUMENTS, RELEASES, MACHINES)
"""The prefixes that are copied; of the blobs, those that a release names."""
READ = (*COPIED, BLOBS)
COPY, REPORTS = "relay/copy", "relay/reports"
"""The places below the state directory."""
MAX_BLOB_BYTES = 256 << 20
PACE_SEC = 0.5
"""The shortest time between two copies: a release is many writes."""
FORWARDED_AT_ONCE = 8
MOST_REQUESTS = 1000
"""The requests for records that may wait for an administrator before no more are taken."""
ATTEMPTS = 5
ASK_STORE = "name the store itself: --store URL"
_AWAY = (SourceFault.UNREACHABLE, SourceFault.TRUNCATED, SourceFault.TLS, SourceFault.THROTTLED)


@dataclass(slots=True, kw_only=True)
class Relay:
    """The relay called ``name`` of the store ``database``, with its files below ``state``."""

    name: str
    database: Database
    state: Path
    pace_sec: float = PACE_SEC
    copy: LastCopy | None = None
    known: Identities = NO_IDENTITIES
    queue: ReportQueue = field(init=False)
    forwarded: int = 0
    refused: int = 0
    fault: SourceError | None = None
    forward_fault: SourceError | None = None
    away_since: float | None = None
    """The time of `time.monotonic` since which the store does not answer; None: it does."""
    machines: dict[str, float] = field(default_factory=dict)
    """The machines that have reported here, and when, by the relay's clock."""
    place: str = ""
    """The store whose copy this is, whichever of its members are asked; "": the location of ``database``."""
    _newest: dict[str, int] = field(default_factory=dict)
    _blob_hashes: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _queued: asyncio.Event = field(default_factory=asyncio.Event)
    _requests: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    def __post_init__(self) -> None:
        """Make the queue, which is empty until `load`."""
        self.queue = ReportQueue(folder=self.state / REPORTS)
        self.place = self.place or self.database.location

    # -- the copy ----------------------------------------------------------------------------------------------------

    def load(self) -> None:
        """Read the last good copy and the queue from the disk. Raises `Failure` if the directory cannot be used."""
        self.queue.load()  # makes the directory
        try:
            copy = load_copy(self.state / COPY, self.place)
        except Failure as failure:
            log.error("%s", failure)
            copy = None
        if copy:
            self._use(copy)
            log.info("the last good copy of the store has %d entries, of %s", len(copy.entries), _moment(copy.taken))
        self.away_since = time.monotonic()

    async def follow(self) -> None:
        """Copy the store whenever it changes, without end; while it does not answer, the last copy stays."""
        backoff = Backoff()
        while True:
            try:
                await self.refresh()
                backoff.succeeded()
                assert self.copy is not None
                async with aclosing(self.database.watch(COPIED, self.copy.revision)) as hints:
                    async for _ in hints:
                        await asyncio.sleep(self.pace_sec)
                        await self.refresh()
                failure = SourceError(f"{self.database.location}: the watch has ended", code=SourceFault.TRUNCATED)
            except SourceError as error:
                failure = error
                if failure.code is SourceFault.REWOUND:
                    log.warning("%s [%s]", failure, failure.code)
                else:
                    self._lost(failure)
            except Exception as error:  # an answer of the store must not be able to end the relay
                log.exception("internal error")
                failure = SourceError(f"internal error: {error!r}"[:300], code=SourceFault.INTERNAL)
                self._lost(failure)
            await asyncio.sleep(backoff.failed(failure.retry_after_sec))

    async def refresh(self) -> None:
        """Take a copy of the store, and keep it on the disk. Raises `SourceError`, and then the last one stays."""
        listing = await self.database.list(*COPIED)
        entries = {entry.key: entry for entry in listing.entries}
        entries |= await self._blobs(listing)
        copy = LastCopy(
            location=self.place,
            entries=entries,
            conflicts=listing.conflicts,
            revision=listing.revision,
            taken=int(time.time()),
            settle_sec=self.database.settle_sec,
            compares_ranges=self.database.compares_ranges,
            highest=self._highest(entries),
        )
        self._warn_of_older(copy)
        is_other = self.copy is None or self.copy.entries != copy.entries or self.copy.conflicts != copy.conflicts
        self._use(copy)
        self._answered()
        if is_other:
            try:
                await asyncio.to_thread(copy.save, self.state / COPY)
            except OSError as error:
                text = atomic_files.describe_error(error, self.state / COPY)
                log.error("%s; after a restart, this relay has an older copy of the store", text)

    def _highest(self, entries: Mapping[str, StoredEntry]) -> dict[str, int]:
        """Return the highest numbers of releases that this relay has ever copied, by channel."""
        highest = dict(self.copy.highest) if self.copy else {}
        for channel, number in release_numbers(entries).items():
            highest[channel] = max(number, highest.get(channel, 0))
        return highest

    def _warn_of_older(self, copy: LastCopy) -> None:
        known = self.copy.older_channels() if self.copy else {}
        for channel, number in copy.older_channels().items():
            if channel not in known:
                log.warning(
                    "%s: the highest release is %s %d, and this relay had %d: the store is an older copy; machines "
                    "refuse what is older [%s]",
                    self.database.location,
                    channel,
                    number,
                    copy.highest[channel],
                    SourceFault.RELEASE_REPLAYED,
                )

    async def _blobs(self, listing: Listing) -> dict[str, StoredEntry]:
        """Return the documents that the releases in ``listing`` name, as far as the store has them."""
        hashes: dict[tuple[str, str], frozenset[str]] = {}
        blobs: dict[str, StoredEntry] = {}
        present = self.copy.entries if self.copy else {}
        for entry in listing.entries:
            mark = (entry.key, entry.version)
            if not entry.key.startswith(RELEASES):
                continue
            if mark not in self._blob_hashes:
                try:
                    release = read_release(entry.key, entry.data)
                except Refused:  # the state of a rollout, a list of machines, or a text that machines will refuse
                    self._blob_hashes[mark] = frozenset()
                else:
                    self._blob_hashes[mark] = frozenset(release.documents.values())
            hashes[mark] = self._blob_hashes[mark]
            missing = [hash for hash in hashes[mark] if f"{BLOBS}{hash}" not in present.keys() | blobs.keys()]
            if missing:
                fetched = await read_blobs(self.database, read_release(entry.key, entry.data), missing)
                blobs |= {
                    f"{BLOBS}{hash}": StoredEntry(key=f"{BLOBS}{hash}", data=data, version=hash[:16])
                    for hash, data in fetched.items()
                }
        self._blob_hashes = hashes
        named = {f"{BLOBS}{hash}" for some in hashes.values() for hash in some}
        kept = {key: entry for key, entry in present.items() if key in named} | blobs
        size = sum(len(entry.data) for entry in kept.values())
        if size > MAX_BLOB_BYTES:
            message = f"{self.database.location}: the documents of all releases have more than {MAX_BLOB_BYTES:,} bytes"
            hint = "remove releases that nobody needs: ordainctl store prune"
            raise SourceError(message, code=SourceFault.TOO_LARGE, hint=hint)
        return kept

    def _use(self, copy: LastCopy) -> None:
        records = copy.list([MACHINES])
        known = parse_identities(records.entries)
        self.copy, self.known = copy, replace(known, conflicts={**known.conflicts, **records.conflicts})
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _answered(self) -> None:
        if self.away_since is not None:
            log.info("%s: connected", self.database.location)
            self._queued.set()
        self.away_since = self.fault = None

    def _lost(self, error: SourceError) -> None:
        if self.fault is None or self.fault.code is not error.code:
            log.warning("%s [%s]; the last good copy is served", error, error.code)
        self.fault = error
        if self.away_since is None:
            self.away_since = time.monotonic()

    @property
    def changed(self) -> asyncio.Event:
        """Return the event that is set at the next change of the copy."""
        return self._changed

    @property
    def away_sec(self) -> int | None:
        """Return the seconds since the store was lost, None while it answers."""
        return None if self.away_since is None else int(time.monotonic() - self.away_since)

    def require_copy(self) -> LastCopy:
        """Return the last good copy. Raises `StoreAway` if there is none yet."""
        if self.copy is None:
            reason = f": {self.fault}" if self.fault else ""
            raise self._silent(f"it has no copy of its store yet{reason}")
        return self.copy

    def _silent(self, what: str) -> StoreAway:
        hint = "wait: it is tried again; look at the log of the relay, and at its store"
        return StoreAway(f"relay {self.name}: {what}", code=SourceFault.UNREACHABLE, hint=hint)

    async def asked(self, asking: Awaitable[T]) -> T:
        """Return the answer of the store. Raises `StoreAway` if it does not answer."""
        try:
            answer = await asking
        except SourceError as error:
            if error.code in _AWAY:
                raise self._silent(f"its store does not answer: {error}") from None
            raise
        return answer

    # -- what machines read ------------------------------------------------------------------------------------------

    async def list(self, prefixes: tuple[str, ...]) -> Listing:
        """Return entries of the copy, or slots as the store has them now. Raises `SourceError`."""
        if prefixes and all(prefix.startswith(LOCKS) for prefix in prefixes):
            return await self.asked(self.database.list(*prefixes))
        if not all(prefix.startswith(READ) for prefix in prefixes):
            raise SourceError(
                "machines do not list these keys through a relay", code=SourceFault.FORBIDDEN, hint=ASK_STORE
            )
        return self.require_copy().list(prefixes)

    async def get(self, key: str, proof: object) -> StoredEntry | None:
        """Return one entry; the report of a machine only to itself. Raises `SourceError`."""
        if key.startswith(READ):
            return self.require_copy().get(key)
        if accepted_writes.is_slot(key):
            return await self.asked(self.database.get(key))
        if not key.startswith(STATUS):
            raise SourceError(
                "machines do not read this key through a relay", code=SourceFault.FORBIDDEN, hint=ASK_STORE
            )
        self.require_copy()
        machine = accepted_writes.require_readable(self.known, key, proof)
        queued = await self.queue.get(machine)
        if queued is not None:
            return StoredEntry(key=key, data=queued, version=str(self.queue.sequence(machine)))
        with contextlib.suppress(StoreAway):
            return await self.asked(self.database.get(key))
        return None

    # -- what machines write -----------------------------------------------------------------------------------------

    async def put(self, key: str, data: bytes, *, expect: str | None, ttl_sec: int, provided: Unchanged | None) -> str:
        """Accept a write of a machine and return its version. Raises `SourceError` and `Conflict`."""
        self.require_copy()
        if key.startswith(STATUS):
            return await self._put_report(key, data)
        if accepted_writes.is_slot(key):
            current = await self.asked(self.database.get(key))
            accepted_writes.accept_slot(
                self.known,
                key,
                data,
                current,
                expect=expect,
                ttl_sec=ttl_sec,
                provided=provided,
                expires=self.database.type == "etcd",
            )
            return await self.asked(self.database.put(key, data, expect=expect, ttl_sec=ttl_sec, provided=provided))
        if accepted_writes.is_request(key):
            return await self._put_request(key, data)
        raise SourceError("machines do not write this key through a relay", code=SourceFault.FORBIDDEN, hint=ASK_STORE)

    async def delete(self, key: str, expect: str, proof: object) -> None:
        """Remove the slot of a machine. Raises `SourceError` and `Conflict`."""
        self.require_copy()
        if not accepted_writes.is_slot(key):
            raise SourceError("only slots are removed through a relay", code=SourceFault.FORBIDDEN)
        current = await self.asked(self.database.get(key))
        if current is None or current.version != expect:
            raise Conflict(key)
        accepted_writes.accept_removal(self.known, key, current, expect, proof)
        await self.asked(self.database.delete(key, expect=expect))

    async def _put_report(self, key: str, data: bytes) -> str:
        machine, sequence = accepted_writes.accept_report(self.known, key, data)
        newest = max(self._newest.get(machine, 0), self.queue.sequence(machine))
        if sequence <= newest and await self.queue.get(machine) != data:
            raise Conflict(key)  # an earlier report: of a machine with the same key, or written back by somebody
        try:
            await self.queue.put(machine, sequence, data)
        except OSError as error:
            text = atomic_files.describe_error(error, self.queue.folder)
            log.error("%s; the report of %s is not taken", text, machine)
            hint = "make room on the disk of the relay"
            raise SourceError(f"relay {self.name}: {text}", code=SourceFault.FULL, hint=hint) from None
        self._newest[machine] = sequence
        self.machines[machine] = time.time()
        self._queued.set()
        return str(sequence)

    async def _put_request(self, key: str, data: bytes) -> str:
        async with self._requests:
            waiting = (await self.asked(self.database.list(REQUESTS))).entries
            current = next((entry for entry in waiting if entry.key == key), None)
            accepted_writes.accept_request(self.known, key, data, current, len(waiting), MOST_REQUESTS, time.time())
            return await self.asked(self.database.put(key, data, expect=current.version if current else None))

    # -- reports to the store ----------------------------------------------------------------------------------------

    async def forward(self) -> None:
        """Write queued reports to the store, without end; while it does not take them, they stay in the queue."""
        backoff = Backoff()
        while True:
            await self._queued.wait()
            self._queued.clear()
            try:
                while machines := self.queue.first(FORWARDED_AT_ONCE):
                    await asyncio.gather(*map(self._forward, machines))
                    backoff.succeeded()
                    self.forward_fault = None
            except SourceError as error:
                if self.forward_fault is None or self.forward_fault.code is not error.code:
                    log.warning("%s [%s]; %d reports wait", error, error.code, len(self.queue))
                self.forward_fault = error
            except OSError as error:
                log.error("%s", atomic_files.describe_error(error, self.queue.folder))
            except Exception:  # as in `follow`
                log.exception("internal error; reports wait")
            else:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(backoff.failed()):
                    await self._until_connected()
            self._queued.set()

    async def _until_connected(self) -> None:
        if self.away_since is None:  # another fault than silence: only time can tell
            await asyncio.Event().wait()
        while self.away_since is not None:
            await self._changed.wait()

    async def _forward(self, machine: str) -> None:
        """Write the report of a machine, unless the store has a newer one by another relay. Raises `SourceError`."""
        key = status_key(machine)
        sequence = self.queue.sequence(machine)
        data = await self.queue.get(machine)
        if data is None:
            return
        for _ in range(ATTEMPTS):
            entry = await self.database.get(key)
            stored = accepted_writes.sequence_of(self.known, entry) if entry else 0
            if stored >= sequence:
                self._newest[machine] = max(stored, self._newest.get(machine, 0))
                break
            try:
                await self.database.put(key, data, expect=entry.version if entry else None)
                self.forwarded += 1
                break
            except Conflict:
                continue
            except SourceError as error:
                if error.code is not SourceFault.TOO_LARGE:
                    raise
                log.error("%s: the store does not take a report of %d bytes: %s", key, len(data), error)
                break
        else:
            raise SourceError(f"{key}: others write it all the time", code=SourceFault.CONFLICT)
        await self.queue.remove(machine, sequence)


def _moment(taken: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(taken))
