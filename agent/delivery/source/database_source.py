"""A store as a source of documents: the keys that this machine reads, and when it reads them again.

own scopes ──list──▶ Node documents ──▶ labels ──▶ all scopes ──list as of one moment──▶ Snapshot

If a document of the machine calls `machines()`, the scopes of all other machines are listed and watched as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace

from ordain.agent.delivery.database import document_keys
from ordain.agent.delivery.database.database import Database, Listing
from ordain.agent.delivery.fleet.fleet_holds import HOLDS
from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault, content_revision, ignore
from ordain.agent.delivery.release.publish import PUBLISH_AGAIN
from ordain.agent.delivery.release.publish_lock import RELEASES
from ordain.agent.delivery.source.release_reader import ReleaseReader
from ordain.transforms.document.reader import read
from ordain.transforms.model import Facts, Kind
from ordain.transforms.resolve.other_machines import mentions_machines
from ordain.transforms.resolve.resolve import with_node_labels

MAX_PAUSE_SEC = 1.0
"""The longest pause between two watches; it is random, because all machines lose their watches together."""
SETTLED_SEC = 5.0
"""A watch that has lasted for this time has worked."""
ROUNDS = 5
"""Listings with other labels than the one before, until that is an error."""
_LOST = (SourceFault.UNREACHABLE, SourceFault.TRUNCATED)


class DatabaseSource:
    """The documents of one machine in ``database``: a release where there is one, else the documents in its scopes.

    A machine that waits for its turn to take its first release stays with the documents in its scopes.

    ``facts`` returns the current facts of the machine; ``shared`` are the versions of related systems, see
    `transforms.resolve.match.match_layer`. Without ``unsigned``, only releases are read.
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
        self._prefixes: tuple[str, ...] = ()
        self._watched: tuple[str, ...] = ()
        self._revision = ""

    async def read(self) -> Snapshot:
        """See `Source.read`. The scopes are a coarse choice; ``match`` decides later which documents apply."""
        facts = self._facts()
        release_keys = self._releases.release_keys if self._releases else ()
        watched_keys = self._releases.prefixes if self._releases else ()
        prefixes = self._prefixes or document_keys.prefixes(document_keys.scopes_for(facts))
        for _ in range(ROUNDS):
            watched = (*watched_keys, *(prefixes if self._unsigned else ()))
            listing = await self.database.list(*watched)
            self._require_no_conflict(listing)
            has_release = bool(release_keys) and any(entry.key.startswith(release_keys) for entry in listing.entries)
            self._watched, self._revision = watched, listing.revision
            waiting = ""
            if self._releases and has_release:
                released = await self._releases.read()
                if released.texts or not self._unsigned:
                    return released
                waiting = released.waiting
            scopes = document_keys.scopes_for(self._with_node(listing, facts))
            own = [entry.data for entry in listing.entries if entry.key.startswith(document_keys.prefixes(scopes))]
            wanted = document_keys.prefixes(scopes, all_nodes=mentions_machines(own))
            if not self._unsigned or wanted == prefixes:
                self._prefixes = prefixes
                return replace(snapshot(listing), waiting=waiting)
            prefixes = wanted
        message = f"{self.location}: the labels of this machine are different at every reading"
        raise SourceError(message, hint="check which Node documents match this machine")

    async def changes(self, begun: Callable[[], None] = ignore) -> AsyncGenerator[None, None]:
        """See `Source.changes`.

        A watch that is lost is only a reason to read again, and that reading shows whether there is a fault. Raises
        `SourceError` when a watch ends at once, and for faults that a reading does not show.
        """
        yield
        while True:
            watched = self._watched
            began = time.monotonic()
            changed = asyncio.Event()
            watching = asyncio.create_task(self._watch(watched, changed))
            watching.add_done_callback(lambda _, changed=changed: changed.set())  # type: ignore[misc]
            try:
                while not watching.done() and self._watched == watched:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._releases.patience_sec if self._releases else None):
                            await changed.wait()
                    changed.clear()
                    # A fault that no reading shows is told before the next reading says that all is well.
                    if watching.done() and (fault := _fault(watching, time.monotonic() - began)):
                        raise fault
                    yield
            finally:
                watching.cancel()
                await asyncio.wait([watching])
                fault = _fault(watching, time.monotonic() - began)
            if fault:
                raise fault
            await asyncio.sleep(random.uniform(0.0, MAX_PAUSE_SEC))

    async def _watch(self, prefixes: tuple[str, ...], changed: asyncio.Event) -> None:
        async with aclosing(self.database.watch(prefixes, self._revision)) as hints:
            async for _ in hints:
                changed.set()

    async def ask_replaced_servers(self) -> Mapping[str, SourceError]:
        """Return the faults of servers that others of the store stand in for, by URL; each is asked again."""
        return await self.database.ask_replaced_servers()

    async def close(self) -> None:
        """Close all connections."""
        if self._releases:
            await self._releases.close()
        await self.database.close()

    def _require_no_conflict(self, listing: Listing) -> None:
        """Raise `SourceError` if it is not clear which version of a document or of a release is intended."""
        for key, reason in listing.conflicts.items():
            parts = document_keys.parse_key(key)
            if parts is None and key.startswith(document_keys.DOCUMENTS):
                continue  # not a document of ours
            hint = PUBLISH_AGAIN
            if key == HOLDS:
                hint = "decide who is held: run `ordainctl fleet hold` or `ordainctl fleet follow`"
            if key.startswith(RELEASES) and key.endswith("/rollout"):
                hint = (
                    "decide how far the rollout goes: ordainctl release rollout CHANNEL --open SHARE, or --stop REASON"
                )
            if parts:
                hint = f"write the intended version: ordainctl documents put {parts[2]}.yaml"
            raise SourceError(f"{self.location}: {key} {reason}", code=SourceFault.CONFLICT, hint=hint)

    def _with_node(self, listing: Listing, facts: Facts) -> Facts:
        """Return ``facts`` with the labels of its Node. An invalid Node is ignored here and refused later."""
        documents = [
            document
            for entry in listing.entries
            if (parts := document_keys.parse_key(entry.key)) and parts[1] == Kind.NODE.lower()
            for document in read(entry.key, entry.data)[0]
        ]
        return with_node_labels(documents, facts, self._shared)


def _fault(watching: asyncio.Task[None], lasted_sec: float) -> BaseException | None:
    """Return the error of a watch that has ended, or None if another reading is all that it asks for."""
    # The exception is always retrieved: otherwise asyncio logs it.
    error = None if watching.cancelled() else watching.exception()
    is_only_lost = lasted_sec >= SETTLED_SEC and isinstance(error, SourceError) and error.code in _LOST
    return None if is_only_lost else error


def snapshot(listing: Listing) -> Snapshot:
    """Return the documents of a listing, each once although it may lie in several scopes.

    If the texts of one document differ, somebody is writing at this moment. Then both are returned, and the reader
    refuses two documents of one name until they are the same.
    """
    paths: dict[tuple[str, str, bytes], str] = {}
    for entry in listing.entries:
        if parts := document_keys.parse_key(entry.key):
            paths.setdefault((parts[1], parts[2], entry.data), entry.key.removeprefix(document_keys.DOCUMENTS))
    texts = tuple(sorted((path, data) for (_, _, data), path in paths.items()))
    return Snapshot(texts=texts, revision=content_revision(texts))
