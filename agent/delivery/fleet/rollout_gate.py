"""One machine's turn in a rollout: which release its source hands over, the one it has or the head; effect.

The agent knows nothing of it: what is handed over is applied. A machine that has no release yet does not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.database.semaphore import Semaphore
from ordain.agent.delivery.fleet import rollout_policy
from ordain.agent.delivery.fleet.report import PATH, MachineReport, decode_report
from ordain.agent.delivery.fleet.rollout_policy import RolloutState, Wait
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.release.manifest import Release
from ordain.agent.delivery.spread import position
from ordain.transforms.document.maintenance_windows import Window

log = logging.getLogger(__name__)
HOLD_SEC = 1800.0
"""A slot is given back after so long, whatever became of the machine's apply."""
LOOK_SEC = 1.0
ASK_SEC = (5.0, 60.0)
"""While all slots are taken: the first and the longest mean time between two looks."""


def _now() -> datetime:
    return datetime.now().astimezone()


@dataclass(slots=True, kw_only=True)
class RolloutGate:
    """The turn of ``machine``, whose agent reports below ``root``; ``own`` are its admin's windows.

    It outlives connections: ``database`` is the one to use now.
    """

    root: Path
    machine: str
    database: Database | None = None
    own: tuple[Window, ...] = ()
    now: Callable[[], datetime] = _now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    waiting: Wait | None = None
    _since: tuple[str, datetime] | None = None
    _asked: int = 0
    _resumed: bool = False
    _holding: asyncio.Task[None] | None = field(default=None, repr=False)

    async def number(self, head: Release, state: RolloutState | None) -> int:
        """The number of the release to have: that of ``head`` once it is this machine's turn, else the one it has.

        ``waiting`` says why it is not. Raises `SourceError` if the semaphore cannot be used.
        """
        report = self._report()
        here = report.release.number if report and report.release.channel == head.channel else 0
        self.waiting = None
        await self._resume(head)
        if not 0 < here < head.number:
            return head.number
        self.waiting = await self._wait(head, state)
        return here if self.waiting else head.number

    async def _wait(self, head: Release, state: RolloutState | None) -> Wait | None:
        now, place = self.now(), position(self.machine, head.title)
        held = rollout_policy.stage_wait(head.rollout, head.number, state, place)
        if held:
            return held
        if self._since is None or self._since[0] != head.hash:
            self._since = head.hash, now
        held = rollout_policy.window_wait(head.rollout, self.own, place, now, self._since[1])
        if held or not head.rollout.parallel or (self._holding and not self._holding.done()):
            return held
        slots = self._slots(head)
        if not await slots.acquire():
            first, longest = ASK_SEC
            pause = random.uniform(0.5, 1.5) * min(longest, first * 1.5 ** min(self._asked, 16))
            self._asked += 1
            why = f"{head.rollout.parallel} machines at a time, and so many are at it"
            return Wait(why=why, until=now + timedelta(seconds=pause))
        self._asked = 0
        self._holding = asyncio.ensure_future(self._hold(slots, head))
        return None

    def _slots(self, head: Release) -> Semaphore:
        assert self.database is not None
        count = head.rollout.parallel
        return Semaphore(database=self.database, name=head.channel, count=count, holder=self.machine)

    async def _resume(self, head: Release) -> None:
        """Hold on to the slot that an earlier life of ours left, and give it back in time."""
        if not self._resumed and head.rollout.parallel and await (slots := self._slots(head)).resume():
            self._holding = asyncio.ensure_future(self._hold(slots, head))
        self._resumed = True

    async def _hold(self, slots: Semaphore, head: Release) -> None:
        """Keep the slot until the agent has done what it could with the release; when that is cut off, it expires."""
        loop = asyncio.get_running_loop()
        began = renewed = loop.time()
        try:
            while not self._done(head):
                await self.sleep(LOOK_SEC)
                if loop.time() - began > HOLD_SEC:
                    log.warning("the agent is not done with release %s; its turn is over", head.title)
                    break
                if loop.time() - renewed > slots.ttl_sec / 3:
                    renewed = loop.time()
                    if not await slots.renew():
                        log.warning("the turn for release %s was lost", head.title)
                        return
            await slots.release()
        except SourceError as error:
            log.warning("the turn for release %s is not renewed: %s", head.title, error)

    def _done(self, head: Release) -> bool:
        report = self._report()
        return report is not None and report.release.number >= head.number and not report.phase.at_work

    def _report(self) -> MachineReport | None:
        with contextlib.suppress(OSError, ValueError):
            return decode_report((self.root / PATH).read_bytes())
        return None

    async def close(self) -> None:
        """Let go of the store. A slot that is held stays: the agent may be at work."""
        if self._holding is not None:
            self._holding.cancel()
            await asyncio.wait([self._holding])
        self._holding = None
        self._resumed = False
