"""The differences between a store and the one that a fleet needs, as values to list and to repair.

`StoreSetup.examine` ──▶ `Examination`: `Deviation`s in the order in which they can be repaired, and `Figure`s
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

Repair = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUser:
    """A user of the store; ``password`` is called only if the user has to be created. Raises `Failure`."""

    name: str
    password: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetUsers:
    """The users whose rights are checked: the one of the machines, and those that write documents and relay, if any.

    The ``relay`` logs in as a user that may do what machines may, also where each of them writes its own slot only.
    With ``own_slots``, each enrolled machine has a user that writes its slot of a rollout, and no other user does.
    """

    machine: StoreUser
    writer: StoreUser | None = None
    relay: StoreUser | None = None
    own_slots: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """One thing in a store that differs from what a fleet needs.

    ``repair`` does what ``change`` says. Without a ``repair`` it is for an administrator, and ``hint`` says how.
    """

    place: str
    what: str
    change: str = ""
    hint: str = ""
    repair: Repair | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured value of a member or database, such as its size."""

    place: str
    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """All that was found in a store at one look."""

    deviations: tuple[Deviation, ...]
    figures: tuple[Figure, ...] = ()


class StoreSetup(Protocol):
    """The setup of one kind of store. Raises `SourceError` if the store cannot be used."""

    location: str

    async def examine(self) -> Examination:
        """Return how the store differs from the one that a fleet needs, and its figures; change nothing."""

    async def close(self) -> None:
        """Close all connections."""
