"""The copy of a relay as the documents of a boot server: the releases of the store, or its documents if it has none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from ordain.agent.delivery.database.document_keys import DOCUMENTS
from ordain.agent.delivery.protocol import Snapshot, ignore
from ordain.agent.delivery.release.bundle import is_manifest
from ordain.agent.delivery.release.publish import BLOBS
from ordain.agent.delivery.release.publish_lock import RELEASES
from ordain.agent.delivery.source.database_source import snapshot
from ordain.agent.server.relay.relay import Relay
from ordain.transforms.decimal_numbers import is_decimal


class CopySource:
    """The documents of ``relay``; see `Source`."""

    type = "relay"

    def __init__(self, relay: Relay) -> None:
        self.location = relay.database.location
        self._relay = relay

    async def read(self) -> Snapshot:
        """See `Source.read`. Raises `SourceError` while the relay has no copy."""
        copy = self._relay.require_copy()
        releases = copy.list([RELEASES]).entries
        manifests = {entry.key: entry.data for entry in releases if is_manifest(entry.data)}
        if not manifests:
            return snapshot(copy.list([DOCUMENTS]))
        numbered = {key: data for key, data in manifests.items() if is_decimal(key.rpartition("/")[2])}
        blobs = {entry.key: entry.data for entry in copy.list([BLOBS]).entries}
        return Snapshot(texts=tuple(sorted({**numbered, **blobs}.items())))

    async def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
        """See `Source.changes`."""
        while True:
            changed = self._relay.changed
            if self._relay.copy is not None:
                yield
            await changed.wait()
