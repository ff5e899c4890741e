"""The releases of one machine's channel in a store, as a source: it watches one key, and reads what it may match.

It brings manifests and documents as they are; `admit` decides whether they are taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ordain.agent.release import accept
from ordain.agent.release.admit import channel_of
from ordain.agent.release.manifest import Release, read
from ordain.agent.release.publish import BLOBS, fetch, head_key, number_key
from ordain.agent.sources import Fault, Snapshot, SourceError
from ordain.agent.sources.database import Database
from ordain.transforms.errors import Refused
from ordain.transforms.model import Facts


class Releases:
    """What a machine has to read of the releases in ``database``; ``facts`` tells what it is now.

    Documents are kept by their hash for the next release, which mostly names the same.
    """

    def __init__(self, database: Database, facts: Callable[[], Facts], shared: Mapping[str, str]) -> None:
        self.database = database
        self._facts = facts
        self._shared = shared
        self._have: dict[str, bytes] = {}

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What to watch."""
        return (head_key(channel_of(self._facts())),)

    async def read(self) -> Snapshot:
        """The head of the channel, the release that this machine is pinned to, and their documents.

        Raises `SourceError`, while documents are missing with code RELEASE_INCOMPLETE.
        """
        facts = self._facts()
        channel = channel_of(facts)
        head, entry = await self._manifest(head_key(channel))
        used = await self._documents(head, facts)
        pin = accept.pin_of(used[0], facts, self._shared)
        texts = {entry[0]: entry[1]}
        hashes = set(used[1])
        if pin and pin != head.number:
            pinned, entry = await self._manifest(number_key(channel, pin))
            texts[entry[0]] = entry[1]
            hashes |= set((await self._documents(pinned, facts))[1])
        self._have = {hash: data for hash, data in self._have.items() if hash in hashes}
        texts |= {f"{BLOBS}{hash}": data for hash, data in self._have.items()}
        return Snapshot(texts=tuple(sorted(texts.items())), revision=f"{head.channel}-{head.number}-{head.hash[:12]}")

    async def _manifest(self, key: str) -> tuple[Release, tuple[str, bytes]]:
        entry = await self.database.get(key)
        if entry is None:
            raise SourceError(f"{self.database.location}: there is no {key}", code=Fault.EMPTY)
        try:
            return read(key, entry.data), (key, entry.data)
        except Refused as refused:
            first = refused.problems[0]
            code = Fault.SCHEMA_TOO_NEW if first.code == Fault.SCHEMA_TOO_NEW else Fault.VERIFY_FAILED
            raise SourceError(f"{first.where}: {first.what}", code=code, hint=first.hint) from None

    async def _documents(self, release: Release, facts: Facts) -> tuple[accept.Texts, frozenset[str]]:
        """The documents of ``release`` for this machine, and the hashes of all that it took to know them."""
        while True:
            texts, missing = accept.choose(release, self._have, facts, self._shared)
            if not missing:
                hashes = frozenset(release.documents.values()) & self._have.keys()
                return texts, hashes
            found = await fetch(self.database, missing)
            if len(found) < len(missing):
                raise accept.incomplete(release, missing - found.keys())
            self._have |= accept.by_hash(found.values())
            if wrong := sorted(name for name, hash in release.documents.items() if hash in missing - self._have.keys()):
                what = f"release {release.title}: {wrong[0]} is not the document that was signed"
                raise SourceError(what, code=Fault.VERIFY_FAILED, hint="publish it again")
