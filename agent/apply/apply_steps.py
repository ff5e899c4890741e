"""The steps of an apply (docs/design/contract.md, rules 17 to 19); the journal names a phase before its first effect.

    PlannedApply ──start──▶ journal entry
                                │
        phase STOP              ▼
          stop                  jobs with the old definitions
        phase PLACE             │
          place                 commit the generation to /run: every generator run places it from now on
          reload                PID 1 runs the generators and reads all units, once
          place_files           files that are not units, checked by the services that read them; PID 1 reads its units
                                again if other generators make units from one of the files
        phase ACT               │
          act                   jobs with the new definitions, a verdict for each
          check_reachability    the network must not have cut the machine off
          check_bystanders      units that got no job must not have failed along with it
        phase PROVE             │
          commit                /etc: later boots start with it      (or keep it on trial, until it is confirmed)
          end of the journal

    phase BACK: the apply is to blame for a failure ──roll_back──▶ an entry of its own, to the generation before

An agent that is killed resumes the entry at its phase; a phase may be done twice. The journal and the generation in
/run are on a tmpfs: after a power cut the machine boots the generation that was committed to /etc last.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Protocol

from ordain.agent.apply.comparison import MachineComparison, compare
from ordain.agent.apply.connectivity_guard import ConnectivityGuard
from ordain.agent.apply.deviations.protected_units import remember_session
from ordain.agent.apply.generator_repair import GeneratorRepair
from ordain.agent.apply.jobs.jobs import JobResult, run_jobs
from ordain.agent.apply.jobs.verdicts import Baseline, baseline, bystanders, judge_jobs, unloadable
from ordain.agent.apply.machine_parts import MachineParts
from ordain.agent.apply.place_files import LiveFiles, failed_before_jobs, undoes_placement, without_units
from ordain.agent.errors import DamagedGeneration, ShuttingDown
from ordain.agent.model import (
    Applied,
    ChangeCause,
    ChangeOrigin,
    Generation,
    Job,
    Observed,
    Outcome,
    Plan,
    UnitState,
    UnitVerdict,
    Verb,
)
from ordain.agent.plan.changes.diff import placed_units
from ordain.agent.plan.changes.network_changes import touches_network
from ordain.agent.plan.describe import announcements
from ordain.agent.plan.outcome import ROLLED_BACK, blame, exit_status, rolled_back
from ordain.agent.plan.rollback_plan import rollback_plan
from ordain.agent.plan.stale_processes import affected_units, applied_units, restart_if_running
from ordain.agent.state.apply_journal import ApplyPhase, JournalEntry, remaining_jobs
from ordain.agent.state.boot_record import boot_id
from ordain.agent.state.decisions import DecisionState, RejectedGeneration
from ordain.agent.state.futile_corrections import Correction, add_futile_corrections, correction
from ordain.agent.state.holds import read_holds, write_held_files
from ordain.agent.state.last_outcome import write_last_outcome
from ordain.agent.state.store import Store
from ordain.agent.system.dbus.bus import BusError
from ordain.agent.system.systemd.journal_socket import send
from ordain.agent.system.systemd.systemd1 import INVOCATION_ID, Systemd
from ordain.transforms.machine.generated_units import is_read_by_generators
from ordain.transforms.systemd.unit_name import is_template

_ASKED = frozenset({ChangeCause.APPLY, ChangeCause.FILE, ChangeCause.ROLLBACK})
"""The causes with which an administrator asks for the machine as the documents say."""
MAX_ANNOUNCED = 500
"""The lines that one apply writes to the journal; journald drops more than 10,000 in half a minute."""


class ApplyListener(Protocol):
    """Is told about an apply while it runs."""

    def planned(self, plan: Plan) -> None:
        """Hear that a plan is about to be carried out."""

    def judged(self, verdict: UnitVerdict) -> None:
        """Hear that the job of one unit has ended."""

    def ended(self, outcome: Outcome) -> None:
        """Hear that the apply has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedApply:
    """A plan to carry out: it leads from the machine as ``observed`` to generation ``new``.

    ``decided`` is restored if it is rolled back (`Decisions.restore`). ``caller`` is the process that asked, 0 if
    nobody did, ``origin`` is for the history.
    """

    plan: Plan
    new: Generation
    observed: Observed
    decided: DecisionState
    caller: int = 0
    origin: ChangeOrigin = field(default_factory=ChangeOrigin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """An apply between two of its steps.

    ``entry`` is the journal's entry as it was when the apply started or was resumed. ``states`` are the units with a
    job or a change, as they were right after the reload; ``invocations`` are their InvocationIDs then. ``jobs`` are
    still to be done, ``done_before`` were done by an agent that was killed.
    """

    entry: JournalEntry
    new: Generation
    observed: Observed
    caller: int
    states: Mapping[str, UnitState] = field(default_factory=dict)
    invocations: Mapping[str, str] = field(default_factory=dict)
    jobs: tuple[Job, ...] = ()
    done_before: tuple[Job, ...] = ()
    verdicts: tuple[UnitVerdict, ...] = ()

    @property
    def plan(self) -> Plan:
        """Return the plan that is carried out."""
        return self.entry.plan

    @property
    def rolls_back(self) -> bool:
        """Return whether this apply undoes one that failed."""
        return self.entry.failed is not None

    @property
    def baseline(self) -> Baseline:
        """Return the units before the first effect."""
        return Baseline(running=frozenset(self.entry.running), failing=frozenset(self.entry.failing))

    @property
    def blamed(self) -> bool:
        """Return whether the apply is to blame for a failure so far."""
        return any(verdict.blamed for verdict in self.verdicts)

    def judged(self, verdicts: Iterable[UnitVerdict]) -> Progress:
        """Return the progress with more verdicts."""
        return replace(self, verdicts=(*self.verdicts, *verdicts))

    def outcome(self, usec: int) -> Outcome:
        """Return the outcome so far, after ``usec`` microseconds."""
        return Outcome(
            generation=self.new.number,
            hash=self.new.hash,
            plan=self.plan,
            verdicts=self.verdicts,
            exit_status=exit_status(self.verdicts, self.plan),
            started=self.entry.started,
            caller=self.entry.caller,
            usec=usec,
            origin=self.entry.origin,
        )


class ApplySteps:
    """Carries out plans on the machine below ``root``, under the lock of `apply_lock`."""

    def __init__(
        self,
        machine: MachineParts,
        *,
        guard: ConnectivityGuard,
        repair: GeneratorRepair,
    ) -> None:
        self._machine = machine
        self._guard = guard
        self._repair = repair
        self._files = LiveFiles(machine.systemd, machine.root)
        self.listener: ApplyListener | None = None

    async def start(self, planned: PlannedApply) -> Outcome:
        """Carry out a plan from its first step."""
        remember_session(self._machine.root, planned.caller)
        before = await baseline(self._machine.systemd, planned.observed)
        await self._guard.watch(planned.plan, planned.observed, planned.new.number, caller=planned.caller)
        entry = JournalEntry(
            phase=ApplyPhase.STOP,
            number=planned.new.number,
            plan=planned.plan,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            running=tuple(sorted(before.running)),
            failing=tuple(sorted(before.failing)),
            decided=planned.decided,
            origin=planned.origin,
            caller=planned.caller,
        )
        return await self._carry_out(entry, planned.new, planned.observed, planned.caller)

    async def resume(self, *, caller: int = 0) -> Outcome | None:
        """Finish the apply in which an earlier agent was killed; return None if there is none."""
        entry = self._machine.journal.unfinished()
        if entry is None:
            return None
        new = self._generation_of(entry)
        if new is None:
            self._machine.journal.end()
            return None
        if entry.phase is ApplyPhase.BACK:
            return await self.roll_back(entry, new, caller=caller)
        units = {job.unit for job in (*entry.plan.stops, *entry.plan.jobs)}
        observed = Observed(units=await self._machine.systemd.inspect(units))
        return await self._carry_out(entry, new, observed, caller)

    def unfinished_caller(self) -> int:
        """Return the process that asked for the apply in which an earlier agent was killed; 0 if there is none."""
        entry = self._machine.journal.unfinished()
        return entry.caller if entry else 0

    async def roll_back(self, entry: JournalEntry, bad: Generation, *, caller: int = 0) -> Outcome:
        """Undo ``entry``, which failed while it placed ``bad``: plan the way to the generation before, carry it out."""
        assert entry.failed is not None
        last = self._machine.store.known(entry.plan.from_hash)
        if _is_repair(entry):  # nothing else is repaired now
            planned, observed = await self._machine.observer.plan(bad, last, caller=caller, adjust=_without_differences)
        else:
            self._reject(entry.failed)
            planned, observed = await self._machine.observer.plan(bad, last, caller=caller)
        stopped = [job.unit for job in entry.plan.consequences if job.verb is Verb.STOP]
        steps = rollback_plan(planned, last, observed, entry.running, stopped)
        if failed_before_jobs(entry.failed.verdicts):
            steps = replace(steps, jobs=tuple(filter(undoes_placement, steps.jobs)))
        back = replace(entry, phase=ApplyPhase.STOP, number=last.number, plan=steps, invocations={})
        outcome = await self._carry_out(back, last, observed, caller)
        for unit in sorted({member.unit for member in bad.members} - {member.unit for member in last.members}):
            with contextlib.suppress(BusError):  # PID 1 has already forgotten most of them
                await self._machine.systemd.reset_failed(unit)
        return outcome

    def _generation_of(self, entry: JournalEntry) -> Generation | None:
        """Return the generation that ``entry`` places, None if it is not kept anywhere any more."""
        with contextlib.suppress(KeyError, DamagedGeneration):
            return self._machine.store.load(entry.number)
        known = self._machine.store.known(entry.plan.to_hash)
        return known if known.hash == entry.plan.to_hash else None

    async def _carry_out(self, entry: JournalEntry, new: Generation, observed: Observed, caller: int) -> Outcome:
        """Run the steps of ``entry`` from its phase on; then commit, or roll back if the apply has failed."""
        began = time.monotonic()
        if self.listener:
            self.listener.planned(entry.plan)
        self._machine.journal.begin(entry)
        if entry.phase is ApplyPhase.STOP:  # not again by an agent that resumes it
            self._announce(entry.plan)
        progress = Progress(entry=entry, new=new, observed=observed, caller=caller)
        for step in STEPS:
            if entry.phase in step.phases:
                progress = await step.run(self, progress)
        outcome = progress.outcome(usec=int((time.monotonic() - began) * 1_000_000))
        await record_applied(self._machine.systemd, self._machine.store, progress)
        if await self._has_failed(progress):
            failed = replace(outcome, why=blame(progress.verdicts))
            self._machine.journal.fail(failed)
            return await self.roll_back(replace(entry, phase=ApplyPhase.BACK, failed=failed), new, caller=caller)
        return await self._finish(progress, outcome)

    def _announce(self, plan: Plan) -> None:
        """Write to the journal what is about to be done, with the name of each unit."""
        for unit, line in islice(announcements(plan), MAX_ANNOUNCED):
            send(self._machine.root, line, unit=unit)

    # The steps, in the order of the table `STEPS`.

    async def _stop(self, progress: Progress) -> Progress:
        return progress.judged(await self._run_jobs(progress, progress.plan.stops))

    async def _place(self, progress: Progress) -> Progress:
        self._machine.journal.advance(ApplyPhase.PLACE)
        self._machine.store.commit_trial(progress.new, boot_id(self._machine.root))
        if read_holds(self._machine.root):
            write_held_files(self._machine.root, progress.new)
        return progress

    async def _reload(self, progress: Progress) -> Progress:
        missing = await self._repair.read(progress.new) if progress.plan.reload else []
        states = await self._machine.systemd.inspect(affected_units(progress.plan), INVOCATION_ID)
        wrong = unloadable(progress.plan.jobs, states)
        return replace(
            progress.judged([*missing, *wrong]),
            states=states,
            invocations={unit: state.invocation_id for unit, state in states.items()},
            jobs=without_units(progress.plan.jobs, {verdict.unit for verdict in wrong}),
        )

    async def _place_files(self, progress: Progress) -> Progress:
        old = self._machine.store.known(progress.plan.from_hash)
        wrong = await self._files.apply(
            old,
            progress.new,
            progress.plan,
            asked=progress.entry.origin.cause in _ASKED,
            rolls_back=progress.rolls_back,
        )
        jobs = progress.jobs
        if any(is_read_by_generators(file.path) for file in progress.plan.files):
            wrong += await self._repair.read(progress.new)
            jobs = await self._without_lost_units(jobs, progress.new)
        jobs = without_units(jobs, {verdict.unit for verdict in wrong})
        return replace(progress.judged(wrong), jobs=jobs)

    async def _without_lost_units(self, jobs: tuple[Job, ...], new: Generation) -> tuple[Job, ...]:
        """Return ``jobs``, with a stop in place of each restart of a unit that no generator makes any more."""
        members = {member.unit for member in new.members}
        states = await self._machine.systemd.list_units(job.unit for job in jobs)
        return tuple(
            replace(job, verb=Verb.STOP, reason="nothing makes its unit any more")
            if job.verb in (Verb.RESTART, Verb.RELOAD)
            and job.unit not in members
            and states[job.unit].load_state == "not-found"
            else job
            for job in jobs
        )

    async def _act(self, progress: Progress) -> Progress:
        if await self._has_failed(progress):  # before any process had to hear of it
            return progress
        self._machine.journal.advance(ApplyPhase.ACT, progress.invocations)
        return progress.judged(await self._run_jobs(progress, restart_if_running(progress.jobs, progress.states)))

    async def _resume_act(self, progress: Progress) -> Progress:
        """Do the jobs that the agent had not done when it was killed, and judge the others."""
        entry = progress.entry
        jobs = (
            remaining_jobs(entry.plan.jobs, entry.invocations, progress.observed)
            if entry.phase is ApplyPhase.ACT
            else ()
        )
        done = tuple(job for job in entry.plan.jobs if job not in jobs)
        progress = replace(progress, invocations=dict(entry.invocations), jobs=jobs, done_before=done)
        return progress.judged(await self._run_jobs(progress, jobs))

    async def _check_reachability(self, progress: Progress) -> Progress:
        if progress.rolls_back or progress.blamed:
            return progress
        return progress.judged(await self._guard.lost())

    async def _check_bystanders(self, progress: Progress) -> Progress:
        if not (progress.plan.reload or progress.plan.stops or progress.plan.jobs):
            return progress
        return progress.judged(
            await bystanders(self._machine.systemd, progress.new, progress.verdicts, progress.baseline),
        )

    async def _has_failed(self, progress: Progress) -> bool:
        """Return whether to roll back: the apply is to blame, what it did can be undone, and there is time for it."""
        steps = progress.plan
        if progress.rolls_back or not progress.blamed or not steps.from_hash:
            return False
        if steps.from_hash == steps.to_hash and not touches_network(steps):
            return False
        return bool(self._machine.store.known(steps.from_hash).hash) and not await self._machine.systemd.stopping()

    async def _finish(self, progress: Progress, outcome: Outcome) -> Outcome:
        """Commit the generation, unless it was rolled back or is on trial, and record the outcome."""
        self._machine.journal.advance(ApplyPhase.PROVE)
        trial = self._machine.trials.pending()
        if progress.rolls_back:
            outcome = self._rolled_back(progress.entry, outcome)
        elif trial is not None and trial.hash == progress.new.hash and not trial.automatic:
            trial = trial.ending_in(trial.seconds)
            self._machine.trials.write(trial)
            outcome = replace(outcome, confirm_by=trial.until_text)
        else:
            outcome = await self._commit(progress.new, outcome)
        if not progress.rolls_back:
            outcome = await self.compared(outcome, progress.new, caller=progress.caller)
        await self._repair.look_for_others(progress.new)
        if outcome.plan.from_hash != outcome.plan.to_hash:
            await asyncio.to_thread(self._machine.store.save_outcome, outcome)
        write_last_outcome(self._machine.root, outcome)
        # From here to the end of the request nothing is awaited: a status in between would compare the new generation
        # with the outcome of the apply before.
        self._machine.journal.end()
        if self.listener:
            self.listener.ended(outcome)
        return outcome

    async def compared(self, outcome: Outcome, new: Generation, *, caller: int) -> Outcome:
        """Return ``outcome`` with the differences from ``new`` that are left, as a status would find them now."""
        comparison = await self._compare(new, caller)
        if futile := futile_corrections(outcome, comparison.observed):
            with contextlib.suppress(OSError):  # the next apply tries them again
                add_futile_corrections(self._machine.root, futile)
            comparison = await self._compare(new, caller)
        left = comparison.faults
        return replace(outcome, left=left, exit_status=exit_status(outcome.verdicts, outcome.plan, left))

    async def _compare(self, new: Generation, caller: int) -> MachineComparison:
        machine = self._machine
        return await compare(new, systemd=machine.systemd, root=machine.root, observer=machine.observer, caller=caller)

    def _rolled_back(self, entry: JournalEntry, outcome: Outcome) -> Outcome:
        assert entry.failed is not None
        outcome = rolled_back(entry.failed, outcome, entry.failing)
        if not _is_repair(entry):
            self._reject(entry.failed, complete=outcome.exit_status == ROLLED_BACK)
        self._machine.decisions.restore(entry.decided)
        self._machine.trials.clear()
        return outcome

    async def _commit(self, new: Generation, outcome: Outcome) -> Outcome:
        """Make later boots start with ``new`` if all of it works.

        A generation that works in part is better than none, so it is also committed where none was ever proven.
        """
        works = all(verdict.ok for verdict in outcome.verdicts) or self._machine.store.never_proven()
        with self._machine.trials.confirming_automatic():
            persistent = not works or await asyncio.to_thread(self._machine.writer.commit_proven, new)
        return replace(outcome, persistent=persistent)

    def _reject(self, failed: Outcome, *, complete: bool = True) -> None:
        self._machine.decisions.reject(
            RejectedGeneration(
                number=failed.generation,
                hash=failed.hash,
                why=failed.why,
                complete=complete,
                cause=failed.origin.cause,
            )
        )

    async def _run_jobs(self, progress: Progress, jobs: Sequence[Job]) -> list[UnitVerdict]:
        """Have PID 1 do ``jobs``, and judge each of them, and each that was done before."""
        if not jobs and not progress.done_before:
            return []
        await self._require_no_shutdown()
        results = await run_jobs(self._machine.systemd, jobs, progress.observed)
        done_before = tuple(JobResult(job=job) for job in progress.done_before)
        await self._require_no_shutdown()  # a job that a shutdown cancels is nobody's failure, and proves nothing
        verdicts = await judge_jobs(
            self._machine.systemd,
            (*results, *done_before),
            generation=progress.new,
            before=progress.baseline,
            invocations=progress.invocations,
        )
        for verdict in verdicts:
            if self.listener:
                self.listener.judged(verdict)
        return verdicts

    async def _require_no_shutdown(self) -> None:
        """Raise `ShuttingDown` while the machine goes down; the next boot starts with the proven generation."""
        if await self._machine.systemd.stopping():
            raise ShuttingDown("the machine is shutting down; the rest of the apply is left to the next boot")


def _is_repair(entry: JournalEntry) -> bool:
    """Return whether what failed led to the generation that was in force: that is not to blame, and is not rejected.

    ``entry`` is the apply or its rollback, whose plans lead in opposite directions.
    """
    return entry.failed is not None and entry.plan.from_hash == entry.plan.to_hash


def futile_corrections(outcome: Outcome, observed: Observed) -> frozenset[Correction]:
    """Return the corrections that jobs of ``outcome`` have done well, and that ``observed`` needs all the same.

    A unit that has just started has set its values, also those that it was not started for.
    """
    well = {verdict.unit for verdict in outcome.verdicts if verdict.ok}
    jobs = [job for job in outcome.plan.jobs if job.unit in well]
    done = {correction(change) for job in jobs for change in job.changes}
    started = {job.unit for job in jobs if job.verb in (Verb.START, Verb.RESTART)}
    needed = [change for changes in observed.waits.values() for change in changes]
    return frozenset(correction(c) for c in needed if c.unit in started or correction(c) in done)


def _without_differences(observed: Observed) -> Observed:
    return replace(observed, displaced={}, left_over=frozenset(), waits={})


@dataclass(frozen=True, slots=True)
class ApplyStep:
    """One step, and the phases of the journal from which an apply runs it: a resumed one leaves out earlier steps."""

    run: Callable[[ApplySteps, Progress], Awaitable[Progress]]
    phases: frozenset[ApplyPhase]


_FROM_STOP = frozenset({ApplyPhase.STOP})
_FROM_PLACE = frozenset({ApplyPhase.STOP, ApplyPhase.PLACE})
_RESUMED_LATER = frozenset({ApplyPhase.ACT, ApplyPhase.PROVE})
_ALWAYS = frozenset({ApplyPhase.STOP, ApplyPhase.PLACE, ApplyPhase.ACT, ApplyPhase.PROVE})
STEPS = (
    ApplyStep(ApplySteps._stop, _FROM_STOP),
    ApplyStep(ApplySteps._place, _FROM_PLACE),
    ApplyStep(ApplySteps._reload, _FROM_PLACE),
    ApplyStep(ApplySteps._place_files, _FROM_PLACE),
    ApplyStep(ApplySteps._act, _FROM_PLACE),
    ApplyStep(ApplySteps._resume_act, _RESUMED_LATER),
    ApplyStep(ApplySteps._check_reachability, _ALWAYS),
    ApplyStep(ApplySteps._check_bystanders, _ALWAYS),
)


async def record_applied(systemd: Systemd, store: Store, progress: Progress) -> None:
    """Record the processes that run now, each with the definition it has (`stale_processes.applied_units`)."""
    new, steps = progress.new, progress.plan
    before = store.read_applied()
    known = before.units if before else {}
    placed = placed_units(new)
    names = {name for name in {member.unit for member in new.members} | placed.keys() if not is_template(name)}
    states = await systemd.list_units(names)
    running = {name for name, state in states.items() if state.running}
    # Nothing has changed for the other units: if somebody restarted one of them, its process has all of its definition.
    fresh = affected_units(steps) | {change.unit for change in steps.changes} | names - known.keys()
    asked = await systemd.inspect(running & fresh, INVOCATION_ID)
    well = {verdict.unit for verdict in progress.verdicts if verdict.ok}
    units = applied_units(
        before,
        steps,
        hashes={
            name: placed[name].hash if name in fresh else known[name].hash for name in sorted(names & placed.keys())
        },
        reloaded=progress.invocations,
        running={name: asked[name].invocation_id if name in asked else known[name].invocation_id for name in running},
        done=[job for job in steps.jobs if job.unit in well],
    )
    store.write_applied(Applied(number=new.number, hash=new.hash, units=units))
