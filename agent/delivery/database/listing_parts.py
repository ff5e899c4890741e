"""Listings of keys that end in hexadecimal digits, such as hashes and machine-ids, in parts that a store can list.

A store lists at most 64 MiB at once [TooLarge]; a fleet may have more reports, and more documents of releases.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from ordain.agent.delivery.database.database import Database, Listing
from ordain.agent.delivery.protocol import SourceError, SourceFault

_DIGITS = "0123456789abcdef"
MOST_DIGITS = 4
"""The digits by which parts are told apart: 65,536 parts of 64 MiB."""

_EMPTY = Listing(entries=(), revision="")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListingPart:
    """The ``listing`` of the keys with ``prefix``; it is empty if ``fault`` tells that it is too large all the same."""

    prefix: str
    listing: Listing = _EMPTY
    fault: SourceError | None = None


async def list_parts(database: Database, prefix: str, *, digits: int = 0) -> AsyncIterator[ListingPart]:
    """Yield the keys with ``prefix`` in parts, each as of its own moment; ``digits`` tell the parts apart at first.

    A part is listed in smaller ones where it is too large; keys that do not go on with digits are left out then, so
    all keys with ``prefix`` that count must be hashes or machine-ids.
    Raises `SourceError`, but not for a part that is too large.
    """
    prefixes = [prefix]
    for _ in range(digits):
        prefixes = _smaller(prefixes)
    while prefixes:
        part = prefixes.pop(0)
        try:
            yield ListingPart(prefix=part, listing=await database.list(part))
        except SourceError as error:
            if error.code is not SourceFault.TOO_LARGE:
                raise
            if len(part) >= len(prefix) + MOST_DIGITS:
                yield ListingPart(prefix=part, fault=error)
            else:
                prefixes = [*_smaller([part]), *prefixes]


async def list_all_parts(database: Database, prefix: str) -> Listing:
    """Return the keys with ``prefix``, as of the moments at which their parts were listed. Raises `SourceError`.

    Its revision is that of the first part.
    """
    listings: list[Listing] = []
    async for part in list_parts(database, prefix):
        if part.fault:
            raise part.fault
        listings.append(part.listing)
    if len(listings) == 1:
        return listings[0]
    return Listing(
        entries=tuple(entry for listing in listings for entry in listing.entries),
        revision=listings[0].revision,
        conflicts={key: reason for listing in listings for key, reason in listing.conflicts.items()},
    )


def _smaller(prefixes: list[str]) -> list[str]:
    return [f"{prefix}{digit}" for prefix in prefixes for digit in _DIGITS]
