"""Ends holds and pauses whose time is over, and writes down how long the others still last (`agent.instruction`)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.daemon.minders.minder import REAPPLY, Work
from ordain.agent.instruction import ClockReading, Expiry, Instruction, left_sec, recount
from ordain.agent.model import ChangeCause
from ordain.agent.state.boot_record import boot_id
from ordain.agent.state.history_events import SOURCE, record_instruction
from ordain.agent.state.holds import UnreadableHolds, read_holds
from ordain.agent.system.systemd.clock import clock_now, is_synchronized, pid_1_started_sec

log = logging.getLogger(__name__)
COUNT_SEC = 600.0
"""The remaining time is written down this often: a reboot makes an instruction last longer by this at most."""
LOOK_SEC = 60.0
"""The longest time until the clocks are looked at again: somebody may set them, or suspend the machine."""
STEP_SEC = 1.0
"""If the time of day and the clock of the boot diverge by more than this, somebody has set the time."""
TRIAL_SEC = 5.0
ENDED = "its time was over"


class InstructionEnd:
    """A `Minder` of the holds and the pause of one machine. ``request`` has the agent's loop do work."""

    def __init__(self, *, parts: ApplyParts, request: Callable[[Work], None]) -> None:
        self._parts = parts
        self._request = request
        self._clock = ClockReading(wall_sec=0.0, boot_sec=0.0, up_sec=0.0, boot="", synchronized=False)
        self._started_sec: float | None = None
        self._asked_sec = float("-inf")
        self._counted_sec = float("-inf")

    async def tick(self, now: float) -> float | None:
        """End what is over, see `Minder.tick`."""
        holds, pause = self._hold_ends(), self._pause_end()
        if not holds and pause is None:
            self._counted_sec = float("-inf")
            return None
        clock = await self._read_clock()
        ends = [*holds.values(), *((pause,) if pause else ())]
        over = any(left_sec(end, clock) <= 0 for end in ends)
        if over and self._parts.trials.pending():  # nothing else is applied before the trial has ended
            return now + TRIAL_SEC
        if over:
            await self._end(holds, pause, clock)
            return now
        if clock.boot_sec - self._counted_sec >= COUNT_SEC or any(end.boot != clock.boot for end in ends):
            await self._count(holds, pause, clock)
        return now + min(LOOK_SEC, *(left_sec(end, clock) for end in ends))

    def _hold_ends(self) -> Mapping[str, Expiry]:
        with contextlib.suppress(UnreadableHolds):  # the status reports it
            return {unit: hold.end for unit, hold in read_holds(self._parts.root).items() if hold.end}
        return {}

    def _pause_end(self) -> Expiry | None:
        decisions = self._parts.decisions
        return decisions.now.pause.end if decisions.paused else None

    async def _read_clock(self) -> ClockReading:
        """Return the clocks; systemd is asked about their synchronization when they jumped, and now and then."""
        bus = self._parts.systemd.bus
        if self._started_sec is None:
            self._started_sec = await pid_1_started_sec(bus)
        boot, started_sec = boot_id(self._parts.root), self._started_sec
        clock = clock_now(boot, started_sec=started_sec, synchronized=self._clock.synchronized)
        moved_sec = clock.wall_sec - self._clock.wall_sec - (clock.boot_sec - self._clock.boot_sec)
        if abs(moved_sec) >= STEP_SEC or clock.boot_sec - self._asked_sec >= COUNT_SEC:
            synchronized = await is_synchronized(bus)
            clock = clock_now(boot, started_sec=started_sec, synchronized=synchronized)
            self._asked_sec, self._counted_sec = clock.boot_sec, float("-inf")
        self._clock = clock
        return clock

    async def _end(self, holds: Mapping[str, Expiry], pause: Expiry | None, clock: ClockReading) -> None:
        """End what is over; the documents that came meanwhile are applied then."""
        parts = self._parts
        try:
            if pause and left_sec(pause, clock) <= 0:
                log.info("the pause is over; following the source again")
                record_instruction(
                    parts.root, ChangeCause.FOLLOW, Instruction(why=ENDED), parts.store.applied().number, subject=SOURCE
                )
                parts.decisions.end_pause()
            for unit, end in holds.items():
                if left_sec(end, clock) <= 0:
                    log.info("the hold of %s is over", unit)
                    await parts.holds.unhold(unit, why=ENDED)
        finally:
            self._request(REAPPLY)

    async def _count(self, holds: Mapping[str, Expiry], pause: Expiry | None, clock: ClockReading) -> None:
        if holds:
            await self._parts.holds.recount({unit: recount(end, clock) for unit, end in holds.items()})
        if pause:
            self._parts.decisions.recount_pause(recount(pause, clock))
        self._counted_sec = clock.boot_sec
