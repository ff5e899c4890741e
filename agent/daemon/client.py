"""The agent as its users see it, whether it runs or not; `connect` gives one.

Every method raises `Refused` (documents that are wrong) or a `Failure` (see there).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol

from ordain.agent.model import Hold, Outcome, Plan, RawDocument
from ordain.agent.status import Status

Documents = Sequence[RawDocument]
"""Documents to use in place of the source's: the path to show in problems, and the bytes."""


class Client(Protocol):
    """What can be asked of the agent. ``documents=None``: those of the source."""

    agent: bool
    """Whether the agent runs and does what is asked."""

    async def plan(self, documents: Documents | None = None) -> Plan:
        """What `apply` would do, with what the documents' problems block or warn of."""

    async def apply(self, documents: Documents | None = None, *, once: bool = False, confirm_sec: int = 0) -> Outcome:
        """Make the documents real. With documents, following is paused unless ``once``.

        ``confirm_sec``: it goes back after so long unless `confirm` is called.
        """

    async def confirm(self) -> int:
        """Keep the generation that is on trial; its number."""

    async def rollback(self, number: int = 0) -> Outcome:
        """Go to an earlier generation (0: the one before) and stay there until a document changes."""

    async def status(self) -> Status:
        """How things are."""

    async def explain(self, about: str) -> Mapping[str, Any]:
        """All that is known of a unit, a path or a pointer."""

    async def hold(self, unit: str, *, unmask: bool = False) -> Hold:
        """Leave a unit as it is until `unhold`; with ``unmask``, also without the documents' mask."""

    async def unhold(self, unit: str) -> Outcome | None:
        """Give a unit back to the documents; what it took to bring it there, None for nothing."""

    async def refresh(self) -> None:
        """Read the source again now."""

    async def pause(self) -> None:
        """Follow the source no more, until `resume`."""

    async def resume(self) -> None:
        """Follow the source again."""

    async def follow(self) -> None:
        """Let go of a pinned generation and of documents applied by hand."""

    def watch(self) -> AsyncIterator[Status]:
        """The status now, and again whenever it changes."""
