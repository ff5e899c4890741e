"""The releases of one machine's channel in a store, as a source: it watches one key, and reads what it may match.

It brings manifests and documents as they are; `admit` decides whether they are taken.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from ordain.agent.release import accept
from ordain.agent.release.admit import channel_of
from ordain.agent.release.manifest import Release, read
from ordain.agent.release.publish import BLOBS, fetch, head_key, number_key
from ordain.agent.sources import Fault, Snapshot, SourceError
from ordain.agent.sources.database import Database, Entry
from ordain.transforms.errors import Refused
from ordain.transforms.model import Facts


class ReleaseSource:
    """A `Source` of the releases in ``database``; ``facts`` tells what the machine is now.

    Documents are kept by their hash for the next release, which mostly names the same.
    """

    def __init__(self, database: Database, facts: Callable[[], Facts], shared: Mapping[str, str]) -> None:
        self.type = database.type
        self.location = database.location
        self.database = database
        self._facts = facts
        self._shared = shared
        self._have: dict[str, bytes] = {}
        self._revision = ""

    async def changes(self) -> AsyncGenerator[None, None]:
        """See `Source.changes`."""
        yield
        while True:
            async with aclosing(self.database.watch(self.prefixes, self._revision)) as woken:
                async for _ in woken:
                    yield
            yield

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What it watches."""
        return (head_key(channel_of(self._facts())),)

    async def close(self) -> None:
        """Drop connections."""
        await self.database.close()

    async def read(self) -> Snapshot:
        """The head of the channel, the release that this machine is pinned to, and their documents.

        Raises `SourceError`, while documents are missing with code RELEASE_INCOMPLETE.
        """
        facts = self._facts()
        channel = channel_of(facts)
        listing = await self.database.list(*self.prefixes)
        self._revision = listing.revision
        head = self._release(next(iter(listing.entries), None), head_key(channel))
        texts = {head_key(channel): head.text()}
        found, named = await self._documents(head, facts)
        pin = accept.pin_of(found, facts, self._shared)
        if pin and pin != head.number:
            key = number_key(channel, pin)
            pinned = self._release(await self.database.get(key), key)
            texts[key] = pinned.text()
            named |= (await self._documents(pinned, facts))[1]
        self._have = {hash: data for hash, data in self._have.items() if hash in named}
        texts |= {f"{BLOBS}{hash}": data for hash, data in self._have.items()}
        return Snapshot(texts=tuple(sorted(texts.items())), revision=f"{head.channel}-{head.number}-{head.hash[:12]}")

    def _release(self, entry: Entry | None, key: str) -> Release:
        if entry is None:
            hint = "`ordainctl release publish` puts one there"
            raise SourceError(f"{self.location}: there is no {key}", code=Fault.EMPTY, hint=hint)
        try:
            return read(key, entry.data)
        except Refused as refused:
            raise accept.unreadable(refused) from None

    async def _documents(self, release: Release, facts: Facts) -> tuple[accept.Texts, frozenset[str]]:
        """The documents of ``release`` for this machine, and the hashes of all that it names."""
        while True:
            texts, missing = accept.choose(release, self._have, facts, self._shared)
            if not missing:
                return texts, frozenset(release.documents.values())
            found = await fetch(self.database, missing)
            if len(found) < len(missing):
                raise accept.incomplete(release, missing - found.keys())
            self._have |= accept.by_hash(found.values())
            if wrong := sorted(name for name, hash in release.documents.items() if hash in missing - self._have.keys()):
                what = f"release {release.title}: {wrong[0]} is not the document that was signed"
                raise SourceError(what, code=Fault.VERIFY_FAILED, hint="publish it again")
