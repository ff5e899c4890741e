"""The releases of one machine's channel in a store: it watches one key or two, and reads what it may match.

It brings manifests and documents as they are; `admit` decides whether they are taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime

from ordain.agent.delivery.database.database import Database, StoredEntry
from ordain.agent.delivery.fleet.rollout_gate import RolloutGate
from ordain.agent.delivery.fleet.rollout_policy import RolloutState, decode_rollout
from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault
from ordain.agent.delivery.release import verify
from ordain.agent.delivery.release.channel import channel_of
from ordain.agent.delivery.release.manifest import Release, read_release
from ordain.agent.delivery.release.publish import BLOBS, head_key, number_key, read_blobs, rollout_key
from ordain.agent.model import RawDocuments
from ordain.transforms.errors import Refused
from ordain.transforms.model import Facts


class ReleaseReader:
    """The releases in ``database``, for `sources.database_source`.

    ``facts`` tells what the machine is now, ``gate`` when its turn is; without one it is always.
    Documents are kept by their hash for the next release, which mostly names the same.
    """

    def __init__(
        self, database: Database, facts: Callable[[], Facts], shared: Mapping[str, str], gate: RolloutGate | None = None
    ) -> None:
        self.database = database
        self._facts = facts
        self._shared = shared
        self.gate = gate
        self._have: dict[str, bytes] = {}

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What it watches."""
        channel = channel_of(self._facts())
        return (head_key(channel), rollout_key(channel)) if self.gate else (head_key(channel),)

    @property
    def patience_sec(self) -> float | None:
        """Seconds until it may be this machine's turn to read another release; None: not before the store changes."""
        waiting = self.gate.waiting if self.gate else None
        if waiting is None or waiting.until is None:
            return None
        return max(0.1, (waiting.until - datetime.now().astimezone()).total_seconds())

    async def close(self) -> None:
        """Let go of a turn; the database is its owner's."""
        if self.gate:
            await self.gate.close()

    async def read(self) -> Snapshot:
        """The head of the channel, the release that this machine is pinned to, and their documents.

        Raises `SourceError`, while documents are missing with code RELEASE_INCOMPLETE.
        """
        facts = self._facts()
        channel = channel_of(facts)
        listing = await self.database.list(*self.prefixes)
        there = {entry.key: entry for entry in listing.entries}
        key = head_key(channel)
        head = self._release(there.get(key), key)
        if self.gate:
            number = await self.gate.release_number(head, _state(there.get(rollout_key(channel))))
            if number != head.number:
                key = number_key(channel, number)
                head = self._release(await self.database.get(key), key)
        texts = {key: head.text()}
        found, named = await self._documents(head, facts)
        pin = verify.pinned_number(found, facts, self._shared)
        if pin and pin != head.number:
            key = number_key(channel, pin)
            pinned = self._release(await self.database.get(key), key)
            texts[key] = pinned.text()
            named |= (await self._documents(pinned, facts))[1]
        self._have = {hash: data for hash, data in self._have.items() if hash in named}
        texts |= {f"{BLOBS}{hash}": data for hash, data in self._have.items()}
        return Snapshot(texts=tuple(sorted(texts.items())), revision=f"{head.channel}-{head.number}-{head.hash[:12]}")

    def _release(self, entry: StoredEntry | None, key: str) -> Release:
        if entry is None:
            hint = "`ordainctl release publish` puts one there"
            raise SourceError(f"{self.database.location}: there is no {key}", code=SourceFault.EMPTY, hint=hint)
        try:
            return read_release(key, entry.data)
        except Refused as refused:
            raise verify.unreadable_release(refused) from None

    async def _documents(self, release: Release, facts: Facts) -> tuple[RawDocuments, frozenset[str]]:
        """The documents of ``release`` for this machine, and the hashes of all that it names."""
        while True:
            texts, missing = verify.select_documents(release, self._have, facts, self._shared)
            if not missing:
                return texts, frozenset(release.documents.values())
            found = await read_blobs(self.database, release, missing)
            if missing - found.keys():
                raise verify.incomplete_release(release, missing - found.keys())
            self._have |= found


def _state(entry: StoredEntry | None) -> RolloutState | None:
    """How far the rollout is; what cannot be read opens nothing."""
    if entry is not None:
        with contextlib.suppress(ValueError):
            return decode_rollout(entry.data)
    return None
