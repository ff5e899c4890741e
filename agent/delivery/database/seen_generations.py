"""The versions that a store of CouchDB has shown, so that a step back to older ones is noticed.

A node that was away answers before it has the newest writes, and so does the second server of two that replicate. The
generation of a revision (the number before its ``-``) only grows, also by a deletion (CouchDB,
replication/conflicts, "Revision tree"). So a lower one is of a replica that is behind, of a restored backup, or of a
database that was made anew. Only the first is over soon: whatever stays older for ``patience_sec`` counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

UNKNOWN = 0
"""The generation of a document that the server has never had, or has purged."""


@dataclass(slots=True, kw_only=True)
class SeenGenerations:
    """The generations of the documents that were listed, and since when listings of prefixes were older."""

    patience_sec: float
    _seen: dict[str, int] = field(default_factory=dict)
    _live: set[str] = field(default_factory=set)
    _older_since: dict[tuple[str, ...], float] = field(default_factory=dict)

    def missing(self, prefixes: tuple[str, ...], listed: Iterable[str]) -> list[str]:
        """Return the keys with ``prefixes`` that were there and are not in ``listed``: deleted, or not known here."""
        return sorted(key for key in self._live.difference(listed) if key.startswith(prefixes))

    def older(
        self, prefixes: tuple[str, ...], listed: Mapping[str, int], missing: Mapping[str, int], now: float
    ) -> list[str]:
        """Return the keys that are older than they were, or none: then these generations are compared from now on.

        ``listed`` has the generations of the documents with ``prefixes``, and ``missing`` those of the deletions of
        the `missing` ones, or `UNKNOWN`. ``now`` is a time in seconds that no clock changes.
        """
        generations = {**listed, **missing}
        older = sorted(key for key, generation in generations.items() if generation < self._seen.get(key, UNKNOWN))
        if older and now - self._older_since.setdefault(prefixes, now) < self.patience_sec:
            return older
        self._older_since.pop(prefixes, None)
        self._seen.update(generations)
        self._live = self._live.difference(missing).union(listed)
        return []
