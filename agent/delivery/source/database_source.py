"""A store as a source of documents: what this machine reads of it, and when it looks again.

own scopes ──list──▶ Node documents ──▶ labels ──▶ all scopes ──list, one moment──▶ Snapshot
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from ordain.agent.delivery.database import document_keys
from ordain.agent.delivery.database.database import Database, Listing
from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault
from ordain.agent.delivery.source.release_reader import ReleaseReader
from ordain.transforms.document.reader import read
from ordain.transforms.model import Facts, Kind
from ordain.transforms.resolve.resolve import with_node

LEAST_SEC = 1.0
"""Up to so long passes between two watches: all machines lose theirs together."""
SETTLED_SEC = 5.0
"""A watch that lasted for so long has worked."""
_LOST = (SourceFault.UNREACHABLE, SourceFault.TRUNCATED)
ROUNDS = 5
"""Listings that each find other labels than the one before, before giving up."""


class DatabaseSource:
    """The documents of one machine in ``database``: a release where there is one, else what lies in its scopes.

    ``facts`` tells what the machine is now; ``shared`` is `transforms.resolve.match.matches`'s. ``unsigned``: whether
    documents
    without a release are taken at all.
    """

    def __init__(
        self,
        database: Database,
        facts: Callable[[], Facts],
        shared: Mapping[str, str],
        *,
        releases: ReleaseReader | None = None,
        unsigned: bool = True,
    ) -> None:
        self.type = database.type
        self.location = database.location
        self.database = database
        self._facts = facts
        self._shared = shared
        self._releases = releases
        self._unsigned = unsigned
        self._scopes: tuple[str, ...] = ()
        self._watched: tuple[str, ...] = ()
        self._revision = ""

    async def read(self) -> Snapshot:
        """See `Source.read`. What machines are for is decided by scopes first, and by ``match`` afterwards."""
        facts = self._facts()
        signed = self._releases.prefixes if self._releases else ()
        scopes = self._scopes or document_keys.scopes_for(facts)
        for _ in range(ROUNDS):
            watched = (*signed, *(document_keys.prefixes(scopes) if self._unsigned else ()))
            listing = await self.database.list(*watched)
            released = any(entry.key.startswith(signed) for entry in listing.entries) if signed else False
            wanted = document_keys.scopes_for(self._with_labels(listing, facts))
            if released or not self._unsigned or wanted == scopes:
                self._scopes, self._watched, self._revision = scopes, watched, listing.revision
                return await self._releases.read() if self._releases and released else snapshot(listing)
            scopes = wanted
        raise SourceError(f"{self.location}: the labels of this machine change with every reading")

    async def changes(self) -> AsyncGenerator[None, None]:
        """See `Source.changes`. A watch that is lost is a reason to read again, not a fault: the reading tells.

        Raises `SourceError` for one that ends as soon as it begins, and for what reading does not show.
        """
        yield
        while True:
            watched = self._watched
            began = time.monotonic()
            woken = asyncio.Event()
            watching = asyncio.create_task(self._watch(watched, woken))
            watching.add_done_callback(lambda _, woken=woken: woken.set())  # type: ignore[misc]
            try:
                while not watching.done() and self._watched == watched:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._releases.patience_sec if self._releases else None):
                            await woken.wait()
                    woken.clear()
                    yield
            finally:
                watching.cancel()
                await asyncio.wait([watching])
                # Asked for in any case: asyncio complains of an error that nobody took.
                lost = None if watching.cancelled() else watching.exception()
            if lost is not None:
                settled = time.monotonic() - began >= SETTLED_SEC
                if not (settled and isinstance(lost, SourceError) and lost.code in _LOST):
                    raise lost
            await asyncio.sleep(random.uniform(0.0, LEAST_SEC))

    async def _watch(self, prefixes: tuple[str, ...], woken: asyncio.Event) -> None:
        async with aclosing(self.database.watch(prefixes, self._revision)) as hints:
            async for _ in hints:
                woken.set()

    async def close(self) -> None:
        """Drop connections; what was learnt of the servers stays."""
        if self._releases:
            await self._releases.close()
        await self.database.close()

    def _with_labels(self, listing: Listing, facts: Facts) -> Facts:
        """``facts`` with what this machine's Node says; a Node that is wrong is the reader's to refuse."""
        nodes = [
            e for e in listing.entries if (parts := document_keys.parse_key(e.key)) and parts[1] == Kind.NODE.lower()
        ]
        documents = [document for entry in nodes for document in read(entry.key, entry.data)[0]]
        return with_node(documents, facts, self._shared)


def snapshot(listing: Listing) -> Snapshot:
    """The documents of a listing: those that lie in several scopes once, unless their texts differ.

    Where they differ, somebody is writing: both are shown, and the reader refuses two of one name until that is over.
    """
    texts: dict[tuple[str, str, bytes], str] = {}
    for entry in listing.entries:
        if parts := document_keys.parse_key(entry.key):
            texts.setdefault((parts[1], parts[2], entry.data), entry.key.removeprefix(document_keys.DOCUMENTS))
    found = tuple(sorted((path, data) for (_, _, data), path in texts.items()))
    digest = hashlib.sha256()
    for path, data in found:
        digest.update(f"{path}\0{len(data)}\0".encode())
        digest.update(data)
    return Snapshot(texts=found, revision=digest.hexdigest()[:12])
