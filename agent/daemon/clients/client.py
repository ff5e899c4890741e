"""The agent as its users see it, whether it runs or not; `connect` gives one.

Every method raises `Refused` for documents that are wrong, and a `Failure` otherwise (`agent.errors`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from ordain.agent.instruction import NO_TERMS, Instruction, Terms
from ordain.agent.model import Hold, Outcome, Plan, RawDocument
from ordain.agent.status import Status, UnitExplanation

BUS_NAME = "org.ordain.Agent1"
"""The name of the agent on the system bus, and of its interface."""
ROOT_BUS_NAME = "org.ordain.Agent1.Root"
"""A second name of the agent, on a connection of its own, where only root may send messages."""
OBJECT_PATH = "/org/ordain/Agent1"

Documents = Sequence[RawDocument]
"""Documents to use instead of those of the source."""


class Client(Protocol):
    """The requests to the agent. ``documents=None`` stands for the documents of the source."""

    agent: bool
    """True if an agent runs and carries out the requests."""

    async def plan(self, documents: Documents | None = None) -> Plan:
        """Return what `apply` would do, and the problems that block items or are warnings."""

    async def apply(
        self, documents: Documents | None = None, *, once: bool = False, confirm_sec: int = 0, nothing: bool = False
    ) -> Outcome:
        """Apply the documents. If some are given, stop following the source unless ``once``.

        After ``confirm_sec`` seconds the apply is rolled back unless `confirm` is called; 0: never. Texts that hold no
        document, and so would remove everything, are refused unless ``nothing``.
        """

    async def confirm(self) -> int:
        """Keep the generation that is on trial, and return its number."""

    async def rollback(self, number: int = 0, *, why: str = "") -> Outcome:
        """Roll back to an earlier generation (0: the one before), and stay there until a document changes.

        ``why`` is the reason, for the status and the history.
        """

    async def status(self) -> Status:
        """Return the status of the machine."""

    async def explain(self, about: str) -> UnitExplanation:
        """Return everything that is known about a unit, a path or a pointer."""

    async def hold(self, unit: str, *, unmask: bool = False, terms: Terms = NO_TERMS) -> Hold:
        """Leave a unit alone until `unhold`, or as long as ``terms`` say.

        ``unmask``: remove the mask of the documents meanwhile.
        """

    async def unhold(self, unit: str) -> Outcome | None:
        """Return a unit to the documents. Return the outcome, None if there was nothing to do."""

    async def refresh(self) -> None:
        """Read the source again now."""

    async def follow_unit(self, unit: str) -> Outcome | None:
        """Bring a unit to the state that the documents want, and end its hold. None if there was nothing to do."""

    async def pause(self, terms: Terms = NO_TERMS) -> Instruction:
        """Stop following the source until `follow`, or as long as ``terms`` say."""

    async def resume(self) -> None:
        """Do the same as `follow`: the older name."""

    async def follow(self) -> None:
        """Follow the source again: after `pause`, `rollback`, or documents that an administrator applied."""

    def watch(self) -> AsyncIterator[Status]:
        """Yield the status now, and again whenever it changes."""
