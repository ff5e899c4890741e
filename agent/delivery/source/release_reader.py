"""Reading the releases of a machine's channel from a store: one or two watched keys, and the documents it may match.

Manifests and documents are returned as they are; `release.admission` decides whether they are accepted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime

from ordain.agent.delivery.database.database import Database, StoredEntry
from ordain.agent.delivery.fleet.fleet_holds import HOLDS, FleetHolds, decode_holds
from ordain.agent.delivery.fleet.rollout_gate import NOTHING_NEW, RolloutGate
from ordain.agent.delivery.fleet.rollout_policy import RolloutState, decode_rollout
from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault
from ordain.agent.delivery.release import verify
from ordain.agent.delivery.release.channel import channel_of
from ordain.agent.delivery.release.manifest import Release, read_release
from ordain.agent.delivery.release.publish import BLOBS, PUBLISH_AGAIN, head_key, number_key, read_blobs, rollout_key
from ordain.agent.model import RawDocuments
from ordain.transforms.errors import Refused
from ordain.transforms.model import Facts


class ReleaseReader:
    """The releases in ``database`` for one machine; a part of `DatabaseSource`.

    ``facts`` returns the current facts of the machine. ``gate`` decides when its turn is; without one, it always is.
    Documents are kept by hash for the next release, which usually names most of them again.
    """

    def __init__(
        self,
        database: Database,
        facts: Callable[[], Facts],
        shared: Mapping[str, str],
        gate: RolloutGate | None = None,
    ) -> None:
        self.database = database
        self._facts = facts
        self._shared = shared
        self.gate = gate
        self._blobs: dict[str, bytes] = {}

    @property
    def release_keys(self) -> tuple[str, ...]:
        """Return the keys that exist if the channel has a release."""
        channel = channel_of(self._facts())
        return (head_key(channel), rollout_key(channel)) if self.gate else (head_key(channel),)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Return the keys to watch."""
        return (*self.release_keys, HOLDS) if self.gate else self.release_keys

    @property
    def patience_sec(self) -> float | None:
        """Return the seconds until it may be this machine's turn; None: not before the store changes."""
        waiting = self.gate.waiting if self.gate else None
        if waiting is None or waiting.until is None:
            return None
        return max(0.1, (waiting.until - datetime.now().astimezone()).total_seconds())

    async def close(self) -> None:
        """Stop using the semaphore; the database is closed by its owner."""
        if self.gate:
            await self.gate.close()

    async def read(self) -> Snapshot:
        """Return the head of the channel, the release that this machine is pinned to, and their documents.

        There are none while a machine that has no release waits for its turn.
        Raises `SourceError`, with the code RELEASE_INCOMPLETE while documents are missing.
        """
        facts = self._facts()
        channel = channel_of(facts)
        listing = await self.database.list(*self.prefixes)
        entries = {entry.key: entry for entry in listing.entries}
        key = head_key(channel)
        head = self._release(entries.get(key), key)
        if self.gate:
            state = _rollout_state(entries.get(rollout_key(channel)))
            number = await self.gate.release_number(head, state, _holds(entries.get(HOLDS)))
            if number == NOTHING_NEW:
                waiting = self.gate.waiting.why if self.gate.waiting else ""
                return Snapshot(texts=(), waiting=waiting)
            if number != head.number:
                key = number_key(channel, number)
                head = self._release(await self.database.get(key), key)
        texts = {key: head.text()}
        documents, named = await self._documents(head, facts)
        pin = verify.pinned_number(documents, facts, self._shared)
        if pin and pin != head.number:
            key = number_key(channel, pin)
            pinned = self._release(await self.database.get(key), key)
            texts[key] = pinned.text()
            named |= (await self._documents(pinned, facts))[1]
        self._blobs = {hash: data for hash, data in self._blobs.items() if hash in named}
        texts |= {f"{BLOBS}{hash}": data for hash, data in self._blobs.items()}
        revision = f"{head.channel}-{head.number}-{head.hash[:12]}"
        waiting = self.gate.waiting.why if self.gate and self.gate.waiting else ""
        return Snapshot(texts=tuple(sorted(texts.items())), revision=revision, waiting=waiting)

    def _release(self, entry: StoredEntry | None, key: str) -> Release:
        if entry is None:
            message, hint = f"{self.database.location}: there is no {key}", "publish one: `ordainctl release publish`"
            raise SourceError(message, code=SourceFault.EMPTY, hint=hint)
        if entry.conflict:
            raise SourceError(
                f"{self.database.location}: {key} {entry.conflict}", code=SourceFault.CONFLICT, hint=PUBLISH_AGAIN
            )
        try:
            return read_release(key, entry.data)
        except Refused as refused:
            raise verify.unreadable_release(refused) from None

    async def _documents(self, release: Release, facts: Facts) -> tuple[RawDocuments, frozenset[str]]:
        """Return the documents of ``release`` for this machine, and the hashes of all documents that it names."""
        while True:
            texts, missing = verify.select_documents(release, self._blobs, facts, self._shared)
            if not missing:
                return texts, frozenset(release.documents.values())
            fetched = await read_blobs(self.database, release, missing)
            if missing - fetched.keys():
                raise verify.incomplete_release(release, missing - fetched.keys())
            self._blobs |= fetched


def _holds(entry: StoredEntry | None) -> FleetHolds:
    """Return the holds of the fleet; a text that cannot be read holds nobody, as nobody could end it."""
    if entry is not None:
        with contextlib.suppress(ValueError):
            return decode_holds(entry.data)
    return FleetHolds()


def _rollout_state(entry: StoredEntry | None) -> RolloutState | None:
    """Return the state of the rollout; a state that cannot be read opens no stage but the first."""
    if entry is not None:
        with contextlib.suppress(ValueError):
            return decode_rollout(entry.data)
    return None
