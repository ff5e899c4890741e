"""What the stores have in common: keys, versions, compare-and-set, one moment.

A key is a path below the store's own prefix, such as ``documents/common/layer/web``; where it lies in the store
is the store's to say. `DatabaseSource` makes a `Source` of one; `ordainctl` writes through the same four calls.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass
from typing import Protocol

from ordain.agent.errors import StoreError

ANY = "*"
"""As ``expect``: whatever is there, or nothing."""

GONE = ""
"""As a version: nothing was there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEntry:
    """One key. ``version`` is the store's own word for this state of it, to expect when it is written next."""

    key: str
    data: bytes
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Entries of one moment, sorted by key; ``revision`` names that moment in the store's own words."""

    entries: tuple[StoredEntry, ...]
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """``key`` is to hold ``data`` (``None``: be gone) if its version is ``expect`` (``None``: if it is not there)."""

    key: str
    data: bytes | None
    expect: str | None


class Conflict(StoreError):
    """Nothing was written: ``key`` is not as expected, somebody else wrote it."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"{key}: somebody else has changed it meanwhile")


class Database(Protocol):
    """A store. Every call raises `SourceError` where the store cannot be used, with a code that says how."""

    type: str
    location: str

    async def list(self, *prefixes: str) -> Listing:
        """All entries whose key begins with one of ``prefixes``: of one moment, and never of a stale one."""

    async def get(self, key: str) -> StoredEntry | None:
        """One entry."""

    async def history(self, key: str, most: int) -> tuple[StoredEntry, ...]:
        """The versions of an entry that the store still has, latest first; none where it keeps none.

        One with the version `GONE` stands for a time when it was not there.
        """

    async def write(self, changes: Iterable[Write]) -> None:
        """All of ``changes`` or, after `Conflict`, none; a store without transactions writes in their order."""

    async def put(self, key: str, data: bytes, *, expect: str | None, ttl_sec: int = 0) -> str:
        """Write one entry; returns its version. Raises `Conflict`.

        With ``ttl_sec`` it goes by itself so much later, unless put again. CouchDB and directories know no such
        thing: there it stays, and who reads it goes by a time in ``data``.
        """

    async def delete(self, key: str, *, expect: str) -> None:
        """Remove one entry. Raises `Conflict`, also where there is none; with `ANY`, that is no error."""

    def watch(self, prefixes: tuple[str, ...], revision: str) -> AsyncGenerator[None, None]:
        """Yields when something below ``prefixes`` may have changed since ``revision``; bursts come as one.

        A hint, never the truth: who is woken lists again. Raises `SourceError` when the watch is lost; changes
        since are then seen by listing, not by watching from an old revision.
        """

    async def close(self) -> None:
        """Drop connections."""
