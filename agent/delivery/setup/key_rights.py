"""The rights that machines and writers of documents need, by the keys of `Database`, and whether given ones suffice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Flag

from ordain.agent.delivery.database.etcd_wire import range_end


class Access(Flag):
    """The kinds of access to a key."""

    READ = 1
    WRITE = 2
    BOTH = 3

    def __str__(self) -> str:
        return {Access.READ: "read", Access.WRITE: "write", Access.BOTH: "read and write"}[self]


MACHINE_RIGHTS = {
    "documents/": Access.READ,
    "releases/": Access.READ,
    "blobs/": Access.READ,
    "machines/": Access.READ,
    "status/": Access.BOTH,
    "enroll/": Access.BOTH,
    "locks/": Access.BOTH,
}
"""By prefix. A machine that could write the first four could change what other machines run, or who they are."""
RELAY_RIGHTS = MACHINE_RIGHTS
"""A relay passes on what its machines have signed; it writes the slots of all of them (`server.relay`)."""
WRITER_RIGHTS = {"": Access.BOTH}
SLOTS = "locks/"
"""The prefix of the slots of rollouts. In a fleet whose machines write their own slots only, machines read it."""


def machine_rights(*, own_slots: bool) -> Mapping[str, Access]:
    """Return the rights of the user that machines share, also before they are enrolled."""
    return {**MACHINE_RIGHTS, SLOTS: Access.READ} if own_slots else MACHINE_RIGHTS


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys from ``first`` up to, but without, ``end``; None: there is no end."""

    first: bytes
    end: bytes | None

    def covers(self, other: KeyRange) -> bool:
        """Return whether all keys of ``other`` are keys of this range."""
        if other.end is None:
            return self.end is None and self.first <= other.first
        return self.first <= other.first and (self.end is None or other.end <= self.end)

    def overlaps(self, other: KeyRange) -> bool:
        """Return whether some key is in both ranges."""
        return (other.end is None or self.first < other.end) and (self.end is None or other.first < self.end)


@dataclass(frozen=True, slots=True)
class Grant:
    """Access to the keys of a range."""

    keys: KeyRange
    access: Access


def below(prefix: str) -> KeyRange:
    """Return the range of all keys that begin with ``prefix``, which is ASCII and ends with a slash.

    >>> below("/ordain/")
    KeyRange(first=b'/ordain/', end=b'/ordain0')
    """
    return KeyRange(prefix.encode(), range_end(prefix).encode())


def allows(grants: Iterable[Grant], keys: KeyRange, access: Access) -> bool:
    """Return whether ``grants`` together give ``access`` to all of ``keys``.

    etcd joins the ranges of all roles of a user before it compares (auth/range_perm_cache.go).
    """
    return all(
        _joined_cover([grant.keys for grant in grants if grant.access & kind], keys)
        for kind in (Access.READ, Access.WRITE)
        if access & kind
    )


def _joined_cover(ranges: Iterable[KeyRange], keys: KeyRange) -> bool:
    """Return whether the union of ``ranges`` covers ``keys``."""
    first = keys.first
    for part in sorted(ranges, key=lambda one: one.first):
        if part.first > first:
            return False
        if part.covers(KeyRange(first, keys.end)):
            return True
        if part.end is not None and part.end > first:
            first = part.end
    return False
