"""`Work`, the kinds of requested work of the agent's loop, and `Minder`, the protocol of its tasks between applies."""

from __future__ import annotations

from enum import Flag, auto
from typing import Protocol


class Work(Flag):
    """Work that was requested and is still to be done."""

    LOOK = 0  # let the minders look
    RESUME = auto()  # finish an apply that an earlier agent began
    REPAIR = auto()  # place what a failed run of the generator did not
    READ = auto()  # read the documents, and apply them if they have changed
    ANEW = auto()  # forget which documents were applied last


REAPPLY = Work.READ | Work.ANEW
"""Read the documents, and apply them even if they have not changed."""


class Minder(Protocol):
    """Something that the agent looks after between applies."""

    async def tick(self, now: float) -> float | None:
        """Do what is due at ``now`` (seconds, by the clock of the loop). Return when more is due; None: when woken.

        Raises `Busy`, `Unavailable` or OSError if it cannot be done now, and another `Failure` if it failed.
        """
