"""The `Client` that a running agent serves: requests are carried out in its process, and its follower learns of them.

D-Bus ──▶ AgentClient ──▶ InProcessClient ──▶ engine
               └──request, record──▶ Follower
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from ordain.agent.daemon.clients.client import Documents
from ordain.agent.daemon.clients.in_process import InProcessClient
from ordain.agent.daemon.follower import Follower
from ordain.agent.daemon.minders.minder import REAPPLY, Work
from ordain.agent.errors import Unavailable
from ordain.agent.instruction import NO_TERMS, Instruction, Terms
from ordain.agent.model import Hold, Outcome, Plan
from ordain.agent.status import Status, UnitExplanation


class AgentClient:
    """The requests of administrators to the agent. ``caller`` is the process that asks."""

    agent = True

    def __init__(self, client: InProcessClient, follower: Follower) -> None:
        self._client = client
        self._follower = follower
        self._status = follower.status

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Show that an apply is under way; if PID 1 or a disk fails in the middle, have the follower finish it."""
        try:
            with self._follower.applying():
                yield
        except (Unavailable, OSError):
            self._follower.request(Work.RESUME)
            raise

    async def plan(self, documents: Documents | None = None, *, caller: int = 0) -> Plan:
        """See `Client.plan`."""
        try:
            return await self._client.plan(documents, caller=caller)
        finally:
            self._follower.used()

    async def apply(
        self,
        documents: Documents | None = None,
        *,
        once: bool = False,
        confirm_sec: int = 0,
        nothing: bool = False,
        caller: int = 0,
    ) -> Outcome:
        """See `Client.apply`."""
        with self._changing():
            outcome = await self._client.apply(
                documents, once=once, confirm_sec=confirm_sec, nothing=nothing, caller=caller
            )
        self._follower.record(outcome)
        self._follower.request(Work.LOOK)
        return outcome

    async def confirm(self, *, caller: int = 0) -> int:
        """See `Client.confirm`. Documents that came during the trial are applied now."""
        number = await self._client.confirm(caller=caller)
        self._follower.request(Work.READ)
        return number

    async def rollback(self, number: int = 0, *, why: str = "", caller: int = 0) -> Outcome:
        """See `Client.rollback`."""
        with self._changing():
            outcome = await self._client.rollback(number, why=why, caller=caller)
        self._follower.record(outcome)
        self._follower.request(Work.READ)
        return outcome

    async def status(self) -> Status:
        """See `Client.status`. It is published as well, so that the properties on the bus agree with it."""
        return await self._status.refresh()

    async def explain(self, about: str) -> UnitExplanation:
        """See `Client.explain`."""
        return await self._client.explain(about)

    async def hold(self, unit: str, *, unmask: bool = False, terms: Terms = NO_TERMS, caller: int = 0) -> Hold:
        """See `Client.hold`."""
        hold = await self._client.hold(unit, unmask=unmask, terms=terms, caller=caller)
        self._follower.request(Work.LOOK)
        return hold

    async def unhold(self, unit: str, *, caller: int = 0) -> Outcome | None:
        """See `Client.unhold`. Documents that came during the hold, or that it blocked, are applied now."""
        with self._changing():
            outcome = await self._client.unhold(unit, caller=caller)
        self._follower.request(REAPPLY)
        return outcome

    async def follow_unit(self, unit: str, *, caller: int = 0) -> Outcome | None:
        """See `Client.follow_unit`, and `unhold`."""
        outcome = await self._client.follow_unit(unit, caller=caller)
        self._follower.request(REAPPLY)
        return outcome

    async def refresh(self) -> None:
        """See `Client.refresh`."""
        self._follower.request(REAPPLY)

    async def pause(self, terms: Terms = NO_TERMS, *, caller: int = 0) -> Instruction:
        """See `Client.pause`. The follower learns of it, because it ends a pause that has an end."""
        paused = await self._client.pause(terms, caller=caller)
        await self._status.refresh()
        self._follower.request(Work.LOOK)
        return paused

    async def resume(self, *, caller: int = 0) -> None:
        """See `Client.resume`."""
        await self.follow(caller=caller)

    async def follow(self, *, caller: int = 0) -> None:
        """See `Client.follow`."""
        await self._client.follow(caller=caller)
        self._follower.request(REAPPLY)

    async def watch(self) -> AsyncIterator[Status]:
        """See `Client.watch`."""
        queue: asyncio.Queue[Status] = asyncio.Queue()
        end = self._status.listen(queue.put_nowait)
        try:
            yield self._status.current
            while True:
                yield await queue.get()
        finally:
            end()
