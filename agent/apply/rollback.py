"""The end of a trial, and the way to an earlier generation.

confirm   the generation on trial stays             expire   its time is over: it is rolled back
recover   an earlier agent or dead-man left this    to       roll back to an earlier generation, and pin it
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from ordain.agent.apply.apply_steps import ApplySteps, PlannedApply
from ordain.agent.apply.change_origin import user_of_process
from ordain.agent.apply.machine_parts import MachineParts
from ordain.agent.apply.trial import Trial, Trials, deadman_runs, watch_with_deadman
from ordain.agent.condition import StatusCondition
from ordain.agent.errors import DamagedGeneration, Failure
from ordain.agent.instruction import Instruction, InstructionKind, StandingInstruction, describe, standing
from ordain.agent.local_time import local_time
from ordain.agent.model import ChangeCause, ChangeOrigin, Generation, Hold, Outcome, Plan
from ordain.agent.plan.outcome import ROLLED_BACK
from ordain.agent.state.apply_journal import ApplyPhase, JournalEntry
from ordain.agent.state.decisions import NOBODY, Decisions, Pin
from ordain.agent.system.apply_lock import locked

PATIENCE_SEC = 10.0
"""A request of an administrator waits this long until an apply has ended."""
RECOVER_SEC = 60.0
"""When the agent starts, it waits this long for the lock."""


class Rollback:
    """Ends trials and rolls generations back on the machine below ``root``."""

    def __init__(
        self,
        machine: MachineParts,
        *,
        steps: ApplySteps,
    ) -> None:
        self._machine = machine
        self._steps = steps

    async def confirm(self, *, caller: int = 0) -> int:
        """Keep the generation on trial, and return its number. Raises `Failure` if there is none, or it is too late."""
        async with locked(self._machine.root, PATIENCE_SEC, caller=caller):
            await self._steps.resume(caller=caller)
            trial = self._machine.trials.confirm()
            self._keep(trial)
            return trial.number

    async def expire(self) -> Outcome | None:
        """Roll back the trial whose time is over; return None if there is none."""
        async with locked(self._machine.root, PATIENCE_SEC):
            trial = self._machine.trials.expired()
            if trial is None:
                return None
            return await self._undo(trial, f"was not confirmed within {trial.seconds} s")

    async def recover(self) -> Outcome | None:
        """Finish what an agent or a dead-man that was killed left undone; return the outcome of a rollback.

        A trial that nobody watches any more is watched again, or rolled back if its time is over.
        """
        async with locked(self._machine.root, RECOVER_SEC):
            if confirmed := self._machine.trials.confirmed():
                self._keep(confirmed)
            trial = self._machine.trials.pending()
            watched = await deadman_runs(self._machine.systemd)
            if trial and not watched and trial.left_sec > 0:
                await watch_with_deadman(self._machine.systemd, self._machine.trials, trial)
            elif trial and not watched:
                self._machine.trials.expire(trial)
        return None if watched else await self.expire()

    async def to(self, number: int, revision: str, *, caller: int = 0, why: str = "") -> Outcome:
        """Roll back to generation ``number`` (0: the one before) and stay there while the source is at ``revision``.

        During a trial, the one before is the generation that was in force before the trial. ``why`` is the reason that
        the caller gave. Raises `Failure`.
        """
        async with locked(self._machine.root, PATIENCE_SEC, caller=caller):
            await self._steps.resume(caller=caller)
            trial = self._machine.trials.pending()
            if trial and number in (0, self._machine.store.known(trial.rollback_to).number):
                trial = self._machine.trials.take_from_deadman(trial)
                outcome = await self._undo(trial, "was rolled back by an administrator", caller=caller, reason=why)
                return replace(outcome, exit_status=0) if outcome.exit_status == ROLLED_BACK else outcome
            self._machine.trials.require_none()
            old = self._machine.store.applied()
            new = self._numbered(number) if number else self._before(old)
            planned, observed = await self._machine.observer.plan(old, new, caller=caller)
            before = self._machine.decisions.now
            # Before the first effect: an agent that is killed resumes the apply, and must not follow the source then.
            by, now = user_of_process(caller), datetime.now(UTC).isoformat(timespec="seconds")
            self._machine.decisions.set_pin(
                Pin(number=new.number, hash=new.hash, revision=revision, since=now, by=by, why=why)
            )
            origin = ChangeOrigin(cause=ChangeCause.ROLLBACK, by=by, why=why)
            return await self._steps.start(
                PlannedApply(plan=planned, new=new, observed=observed, decided=before, caller=caller, origin=origin)
            )

    def _keep(self, trial: Trial) -> None:
        """Commit a generation that was confirmed."""
        self._machine.writer.commit_proven(self._machine.store.known(trial.hash))
        if not trial.automatic:  # an automatic trial is part of an apply, which has recorded its decisions already
            self._machine.decisions.reject(None)
            self._machine.decisions.restore(trial.decided)
        self._machine.trials.clear()

    async def _undo(self, trial: Trial, why: str, *, caller: int = 0, reason: str = "") -> Outcome:
        """Roll back a trial, however far its apply has come; ``reason`` is the one that the caller gave."""
        now, unfinished = self._machine.store.applied(), self._machine.journal.unfinished()
        origin = ChangeOrigin(cause=ChangeCause.ROLLBACK, by=user_of_process(caller), why=reason)
        steps = replace(unfinished.plan if unfinished else Plan(), from_hash=trial.rollback_to, to_hash=now.hash)
        asked = unfinished.caller if unfinished else caller  # who still waits for the outcome of the trial
        started = unfinished.started if unfinished else ""
        entry = JournalEntry(
            phase=ApplyPhase.BACK,
            number=now.number,
            plan=steps,
            running=trial.running,
            failing=trial.failing,
            decided=self._machine.decisions.now,
            started=started,
            caller=asked,
            failed=Outcome(
                generation=trial.number,
                hash=trial.hash,
                plan=steps,
                why=why,
                origin=origin,
                started=started,
                caller=asked,
            ),
        )
        self._machine.journal.begin(entry)
        return await self._steps.roll_back(entry, now, caller=caller)

    def _numbered(self, number: int) -> Generation:
        try:
            return self._machine.store.load(number)
        except KeyError:
            raise Failure(self._machine.store.describe_missing(number)) from None
        except DamagedGeneration as damaged:
            raise Failure(str(damaged)) from None

    def _before(self, now: Generation) -> Generation:
        """Return the latest undamaged generation before ``now`` that differs from it and was not rolled back."""
        for number in reversed(self._machine.store.numbers()):
            if number < now.number:
                outcome = self._machine.store.outcome(number)
                if outcome is not None and outcome.rejected == number:
                    continue
                with contextlib.suppress(DamagedGeneration):
                    if (earlier := self._machine.store.load(number)).hash != now.hash:
                        return earlier
        raise Failure("there is no generation before this one; `ordainctl history` lists all")


def decision_conditions(trials: Trials, decisions: Decisions) -> Iterator[StatusCondition]:
    """Yield a condition for a trial, for a generation that was rolled back, and if the source is not followed."""
    if trial := trials.pending():
        if trial.automatic:
            what = f"generation {trial.number} changes the network, and is rolled back if that cuts the machine off"
            hint = "wait; the apply itself confirms it"
        else:
            what = f"generation {trial.number} is rolled back at {trial.until_text} unless it is confirmed"
            hint = "run `ordainctl confirm`, or `ordainctl rollback`"
        yield StatusCondition(code="Trial", what=what, hint=hint)
    elif bad := decisions.rejected:
        public = f"generation {bad.number} failed and was rolled back"
        what = f"{public}: {bad.why}"
        if bad.complete:
            again = f"run `ordainctl rollback {bad.number}` to try again; `ordainctl apply` applies the documents"
            chosen = bad.cause is ChangeCause.ROLLBACK
            hint = again if chosen else "change the documents, or run `ordainctl apply` to try again"
            yield StatusCondition(code="RolledBack", what=what, hint=hint, fault=True, public=public)
        else:
            rest = "; some units are not as they were before"
            yield StatusCondition(
                code="RollbackIncomplete",
                what=f"{what}{rest}",
                hint="see the journal",
                fault=True,
                public=f"{public}{rest}",
            )
    pin, hint = decisions.pin, "run `ordainctl follow` to follow the documents again"
    if decisions.now.paused and pin and not decisions.now.pause.end:
        what = f"generation {pin.number} stays in force, also when a document changes, until `ordainctl follow`"
        yield StatusCondition(code="Paused", what=f"{what}{_asked(decisions.now.pause)}", hint=hint)
    elif decisions.now.paused:
        end = f" or {local_time(decisions.now.pause.until)}" if decisions.now.pause.end else ""
        what = f"changes of the documents are not applied until `ordainctl follow`{end}"
        yield StatusCondition(code="Paused", what=f"{what}{_asked(replace(decisions.now.pause, end=None))}", hint=hint)
    elif pin:
        what = f"generation {pin.number} stays in force until a document changes, or until `ordainctl follow`"
        yield StatusCondition(code="Pinned", what=f"{what}{_asked(pin)}", hint=hint)


def hold_conditions(holds: Mapping[str, Hold]) -> Iterator[StatusCondition]:
    """Yield a condition for each unit that is held; a hold is not a fault."""
    for unit, hold in sorted(holds.items()):
        hint = f"run `ordainctl follow {unit}` to end the hold"
        yield StatusCondition(code="Held", what=f"{unit} is held {describe(hold)}", hint=hint, item=unit)


def instructions_in_force(decisions: Decisions, holds: Mapping[str, Hold]) -> Iterator[StandingInstruction]:
    """Yield the instructions of administrators that are in force."""
    for unit, hold in sorted(holds.items()):
        yield standing(InstructionKind.HOLD, hold, unit)
    if decisions.now.paused:
        yield standing(InstructionKind.PAUSE, decisions.now.pause)
    if decisions.pin:
        yield standing(InstructionKind.PIN, decisions.pin, str(decisions.pin.number))


def _asked(instruction: Instruction) -> str:
    """Return who gave an instruction, and why; "" if nothing is known."""
    return f" ({describe(instruction)})" if instruction != NOBODY else ""
