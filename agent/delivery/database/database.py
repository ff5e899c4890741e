"""The interface of all stores of documents: keys, versions, compare-and-set, and listings as of one moment.

A key is a path such as ``documents/common/layer/web``; each store decides where it keeps the keys.
`DatabaseSource` makes a `Source` of a store, and `ordainctl` writes through the same methods.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from ordain.agent.delivery.protocol import SourceError
from ordain.agent.errors import StoreError

ANY = "*"
"""As ``expect``: write whatever the key holds now."""

ABSENT = ""
"""As a version: the key did not exist; of a listed entry: the key does not exist yet at the place for new writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """A key and its data; ``version`` is the store's identifier of this state, to expect at the next write.

    ``conflict`` is the reason why it is not clear which of several versions is intended, as in `Listing.conflicts`. A
    listing has the reasons there, and not in its entries.
    """

    key: str
    data: bytes
    version: str
    conflict: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Entries as of one moment, sorted by key; ``revision`` is the store's identifier of that moment.

    ``conflicts`` maps keys to the reason why it is not clear which of several versions is intended: servers that
    replicate have accepted different writes. The entry is then the version that all servers show; the next write to
    the key settles the conflict.
    """

    entries: tuple[StoredEntry, ...]
    revision: str
    conflicts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """New ``data`` for a key (None: remove the key), if its version is ``expect`` (None: if it does not exist)."""

    key: str
    data: bytes | None
    expect: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unchanged:
    """A condition of a write: no key with one of ``prefixes`` was put since `Listing.revision` of those prefixes."""

    prefixes: tuple[str, ...]
    revision: str


class Conflict(StoreError):
    """Somebody else has changed ``key``; nothing was written."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"{key}: somebody else has changed it in the meantime")


class Database(Protocol):
    """A store. Every method raises `SourceError`, whose code names the fault, when the store cannot be used."""

    type: str
    location: str
    settle_sec: float
    """The seconds after which a put is known to be the only one, if the entry still has its version; 0: at once."""
    compares_ranges: bool
    """True if a put can depend on the absence of other writes (`Unchanged`)."""

    async def list(self, *prefixes: str) -> Listing:
        """Return all entries whose key begins with one of ``prefixes``: of one moment, never from a stale replica."""

    async def get(self, key: str) -> StoredEntry | None:
        """Return one entry."""

    async def history(self, key: str, most: int, *, latest: str = "") -> tuple[StoredEntry, ...]:
        """Return the versions of an entry that the store still has, latest first; none if it keeps none.

        They begin with the version ``latest``, also if the entry was deleted afterwards, else with the present one.
        There are none if this store has never had ``latest``, as after a restore into another one.
        An entry with the version `ABSENT` represents a time when the key did not exist.
        """

    async def write(self, writes: Iterable[Write]) -> None:
        """Do all of ``writes``, or raise `Conflict` and do none.

        A store without transactions writes in the given order, and can fail in between.
        """

    async def put(
        self, key: str, data: bytes, *, expect: str | None, ttl_sec: int = 0, provided: Unchanged | None = None
    ) -> str:
        """Write one entry and return its version. Raises `Conflict`, also if ``provided`` does not hold.

        With ``ttl_sec``, the store removes the entry after that time unless it is put again. CouchDB and directories
        cannot do that: there the entry stays, and readers must judge its age by a time in ``data``.
        """

    async def delete(self, key: str, *, expect: str) -> None:
        """Remove one entry. Raises `Conflict`, also if there is none; with `ANY`, a missing entry is not an error."""

    def watch(self, prefixes: tuple[str, ...], revision: str) -> AsyncGenerator[None, None]:
        """Yield when keys with ``prefixes`` may have changed since ``revision``; a burst of changes yields once.

        This is only a hint: the caller lists the keys again. Raises `SourceError` when the watch is lost; later
        changes are then found by a listing, never by a watch from an old revision.
        """

    async def ask_replaced_servers(self) -> Mapping[str, SourceError]:
        """Return the faults of servers that others stand in for, by URL; each is asked again."""

    async def close(self) -> None:
        """Close all connections."""
