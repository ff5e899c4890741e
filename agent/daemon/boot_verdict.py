"""The verdict of this boot on generations: one that completes a boot becomes the fallback, others may be rejected.

Only boots that end before the agent has done its work count against a generation (units/ordain-boot-attempt.service). A
service that fails, or documents that are refused, do not: another generation would boot no better.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

from ordain.agent.apply.machine_parts import MachineParts
from ordain.agent.daemon.status.boot_chart import BOOT_GOOD_UNIT
from ordain.agent.errors import DamagedGeneration, Failure
from ordain.agent.model import ChangeCause, ChangeOrigin
from ordain.agent.plan.outcome import ROLLED_BACK
from ordain.agent.state.boot_record import read_boot_record
from ordain.agent.state.decisions import RejectedGeneration
from ordain.agent.state.history_events import HistoryEvent, read_events, record_event
from ordain.generator.choose import MAX_ATTEMPTS

COMPLETE = "boot-complete.target"
CHECK_SEC = 5.0
"""The time between two looks if the checks of the boot have ended."""


class BootVerdict:
    """A `Minder` of this boot until its verdict is known.

    It knows from the generator's record which generations had their three boots before, and with which one this boot
    began.
    """

    def __init__(
        self,
        machine: MachineParts,
    ) -> None:
        self._machine = machine
        record = read_boot_record(machine.root)
        self._passed_over = frozenset(" ".join(record.get("tried", ())).split())
        self._booted = record.get("booted", ("",))[0]
        self._asked = False
        self._ended = False
        self._failure: Failure | None = None

    @property
    def is_good(self) -> bool:
        """True once this boot has been recorded as good."""
        return self._ended

    def reject_passed_over(self) -> None:
        """Reject the generation that the generator passed over in this boot, so that it is not applied again by itself.

        If the generator booted with nothing and then chose that generation again, end the rejection.
        """
        rejected, applied = self._machine.decisions.rejected, self._machine.store.applied().hash
        if rejected and rejected.hash == self._booted == applied and not self._machine.trials.pending():
            self._machine.decisions.reject(None)
        with contextlib.suppress(DamagedGeneration):
            proven = self._machine.store.proven()
            if proven and proven.hash in self._passed_over and proven.hash != applied:
                why = f"{MAX_ATTEMPTS} boots with it did not complete"
                self._machine.decisions.reject(RejectedGeneration(number=proven.number, hash=proven.hash, why=why))

    def record_rejection(self) -> None:
        """Add an event to the history if a generation was rejected by a boot: no apply and no rollback has told it."""
        rejected, root = self._machine.decisions.rejected, self._machine.root
        trials = self._machine.trials
        if not rejected or trials.pending() or trials.confirmed() or trials.expired():
            return
        events = [event for event in read_events(root) if not event.is_instruction]
        latest = next((e for e in reversed(events) if rejected.number in (e.generation, e.rejected)), None)
        if latest and latest.rejected == rejected.number:
            return
        event = HistoryEvent(
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            generation=self._machine.store.applied().number,
            rejected=rejected.number,
            exit_status=ROLLED_BACK,
            why=rejected.why,
            origin=ChangeOrigin(cause=ChangeCause.ROLLBACK),
        )
        with contextlib.suppress(OSError):
            record_event(root, event)

    async def tick(self, now: float) -> float | None:
        """Record that this boot is good as soon as its checks have ended, see `Minder.tick`.

        The generation that the boot began with becomes the fallback, and current if the generator passed that over.
        Raises `Failure` for the rest of the boot if a check has failed.
        """
        if self._failure:
            raise self._failure
        if self._ended:
            return None
        if not self._asked:
            await self._machine.systemd.start(BOOT_GOOD_UNIT)
            self._asked = True
        if await self._machine.systemd.has_job(BOOT_GOOD_UNIT):
            return now + CHECK_SEC
        if (await self._machine.systemd.list_units([COMPLETE]))[COMPLETE].active_state != "active":
            what = f"this boot is not recorded as good: {COMPLETE} was not reached; see `systemctl --failed`"
            self._failure = Failure(what)
            raise self._failure
        if self._booted:
            rejected = self._machine.decisions.rejected  # None again if an administrator has applied it
            bad = {rejected.hash} & self._passed_over if rejected else ()
            with contextlib.suppress(KeyError):  # a generation of the image, or one that came with the boot
                await asyncio.to_thread(self._machine.writer.mark_boot_good, self._booted, tried=bad)
        self._ended = True
        return None
