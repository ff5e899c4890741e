"""One apply from documents to proven generation, in the order of docs/design/contract.md, rule 17; effect.

    texts ─compile▶ Generation ─plan▶ Plan ─journal▶ stop ─▶ /run ─▶ one reload ─▶ jobs ─▶ verdicts ─▶ /etc

The agent and, when it does not run, ordainctl use the same engine; the lock keeps them apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from ordain.agent.apply.applied_record import write_down
from ordain.agent.apply.connectivity_guard import Cutoff
from ordain.agent.apply.evaluate import Baseline, baseline, bystanders, judge
from ordain.agent.apply.generator_repair import Repair
from ordain.agent.apply.jobs import Done, act
from ordain.agent.apply.kept_out_units import KeptOut
from ordain.agent.apply.observe import weigh
from ordain.agent.apply.place_files import Files, unheard, without
from ordain.agent.apply.protected_units import remember
from ordain.agent.apply.removed_units import with_orphans
from ordain.agent.apply.trial import Trials, begin, lasting
from ordain.agent.apply.verdicts import unloadable
from ordain.agent.compile.executor import Elsewhere
from ordain.agent.compile.incremental import Compiler
from ordain.agent.errors import AlreadyRejected, DamagedGeneration, ShuttingDown
from ordain.agent.model import (
    NONE,
    Change,
    Changes,
    Generation,
    Job,
    Observed,
    Outcome,
    Plan,
    RawDocument,
    Verb,
    Verdict,
    to_json,
)
from ordain.agent.plan.diff import diff
from ordain.agent.plan.outcome import ROLLED_BACK, status, undone, why
from ordain.agent.plan.planner import plan
from ordain.agent.plan.rollback_plan import undo
from ordain.agent.plan.stale_processes import overtaken, touched
from ordain.agent.state.apply_journal import Entry, Journal, Phase, left
from ordain.agent.state.boot_record import boot_id, placed_hash
from ordain.agent.state.decisions import Decided, Decisions, RejectedGeneration
from ordain.agent.state.store import Store
from ordain.agent.status import Condition
from ordain.agent.system import atomic_files
from ordain.agent.system.apply_lock import locked
from ordain.agent.system.bus import BusError
from ordain.agent.system.systemd1 import INVOCATION_ID, Systemd
from ordain.transforms.errors import Problem

Units = frozenset[str]
NO: Units = frozenset()
OUTCOME = "run/ordain/outcome.json"
NOT_PERSISTENT = "NotPersistent"
NOT_IN_HISTORY = "NotInHistory"
NOT_CONFIRMED = "was not confirmed before the machine went down"


class Listener(Protocol):
    """Hears of an apply while it goes on."""

    def planned(self, plan: Plan) -> None:
        """A plan is about to be carried out."""

    def judged(self, verdict: Verdict) -> None:
        """One unit is done."""

    def ended(self, outcome: Outcome) -> None:
        """The plan is carried out."""


class Engine:
    """Applies documents to the machine below ``root``; ``conditions``: what the last apply left to know, by code."""

    def __init__(self, *, systemd: Systemd, elsewhere: Elsewhere, root: Path = Path("/")) -> None:
        self.systemd = systemd
        self.elsewhere = elsewhere
        self.root = root
        self.store = Store(root)
        self.conditions: dict[str, Condition] = {}
        self.files = Files(systemd, root)
        self.repair = Repair(systemd=systemd, root=root, store=self.store)
        self.decisions = Decisions(root)
        self.trials = Trials(root)
        self.cutoff = Cutoff(systemd, root, self.trials)
        self.journal = Journal(root)
        self.kept_out = KeptOut(root)
        self._compiler = Compiler(root, elsewhere)
        self.listener: Listener | None = None

    def applied(self) -> Generation:
        """What is in force: what the generator placed in this boot.

        Not what was proven last: after boots that did not complete, the generator takes an older one.
        """
        return self.known(placed_hash(self.root))

    def known(self, hash: str) -> Generation:
        """The generation with this hash, from wherever it is kept; an empty one if it is nowhere."""
        return self.store.known(hash, boot_id(self.root))

    async def compile(self, texts: Sequence[RawDocument]) -> tuple[Generation, tuple[Problem, ...]]:
        """What the texts come to; see `Compiler`. In a thread, since a thousand services take seconds."""
        last = self.applied()
        new, problems = await asyncio.to_thread(self._compiler.compile, texts, last)
        return await with_orphans(self.systemd, new, last, self.root), problems

    async def plan(self, texts: Sequence[RawDocument]) -> Plan:
        """What `apply` would do now. Raises `Refused`."""
        new, problems = await self.compile(texts)
        old = self.applied()
        return replace(plan(old, new, await self.observe(old, new)), problems=problems)

    async def apply(
        self,
        texts: Sequence[RawDocument],
        *,
        patience_sec: float = 0.0,
        by_hand: bool = True,
        confirm_sec: int = 0,
        stands_in: str | None = None,
        pause: bool = False,
        guard: Callable[[Generation, Generation], None] = lambda old, new: None,
    ) -> Outcome:
        """Make the texts real. Raises `Refused`, or a `Failure` if nothing was changed.

        What was rejected is tried again only ``by_hand``. ``confirm_sec``: a trial, see `trial`. ``stands_in``: they
        are not the source's, and stay while that is at this revision; with ``pause`` also when it changes. ``guard`` is
        asked about what is applied and what would be, and raises a `Failure` to keep it from being.
        """
        async with locked(self.root, patience_sec):
            await self.resume_now()
            self.trials.refuse()
            new, problems = await self.compile(texts)
            old = self.cutoff.ground(self.store, self.applied(), new)
            guard(old, new)
            bad = self.decisions.rejected
            if bad and bad.hash == new.hash and not by_hand:
                raise AlreadyRejected(f"generation {bad.number} is not tried again while the documents are the same")
            observed = await self.observe(old, new)
            planned = replace(plan(old, new, observed), problems=problems)
            self.decisions.reject(None)
            was = self.decisions.now if by_hand else replace(self.decisions.now, pin=None)
            # What has no number came with the boot or the image, and is neither in the history nor proven.
            # Nor is what a clone has in its history, as long as no boot of this machine could start with it.
            if not planned and old.hash == new.hash and old.number and not self.store.never_proven():
                self.decisions.stand(self.decisions.after(old, stands_in, pause=pause))
                return Outcome(generation=old.number, hash=old.hash, plan=planned, exit_status=status((), problems))
            new, unsaved = await asyncio.to_thread(self.store.save, new)
            self._tell(NOT_IN_HISTORY, unsaved.what if unsaved else "")
            stand = self.decisions.after(new, stands_in, pause=pause)
            if confirm_sec:
                await begin(
                    self.systemd, self.trials, planned, observed, number=new.number, seconds=confirm_sec, stand=stand
                )
                # A power cut ends it, too: the next boot starts with what was proven, and must not go on to this one.
                self.decisions.reject(RejectedGeneration(number=new.number, hash=new.hash, why=NOT_CONFIRMED))
            else:
                # Before it is done: an agent that is killed meanwhile resumes it, and must not follow the source then.
                self.decisions.stand(stand)
            return await self.change(planned, old, new, observed, decided=was)

    async def change(
        self, planned: Plan, old: Generation, new: Generation, observed: Observed, *, decided: Decided | None = None
    ) -> Outcome:
        """Carry out ``planned``, from ``old`` to ``new``, under the lock; ``decided`` holds again if it goes back."""
        remember(self.root)
        before = await baseline(self.systemd, observed)
        await self.cutoff.watch(planned, observed, new.number)
        entry = Entry(
            phase=Phase.STOP,
            number=new.number,
            plan=planned,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            running=tuple(sorted(before.running)),
            failing=tuple(sorted(before.failing)),
            decided=decided or self.decisions.now,
        )
        return await self._carry_out(entry, new, observed)

    async def observe(self, old: Generation, new: Generation) -> Observed:
        """What a plan looks at. Raises `Failure` for holds that cannot be read."""
        changes = diff(old, new)
        will, observed = await self.kept_out.observe(self.systemd, old, new, changes)
        return await self.weigh(observed, will, changes)

    async def weigh(self, observed: Observed, new: Generation, changes: Collection[Change] = ()) -> Observed:
        """``observed``, with what stands against touching its units. Raises `Failure` as `observe`."""
        applied = self.store.read_applied()
        return await weigh(self.systemd, observed, new=new, changes=changes, root=self.root, applied=applied)

    async def again(self, *, released: Units = NO, overdue: Units = NO, rotated: Changes = NONE) -> Outcome | None:
        """Bring ``released`` and enforced units back, stop those ``overdue``, heed ``rotated``; None: all is so."""
        async with locked(self.root, 10.0):
            await self.resume_now()
            now = self.applied()
            observed = await self.observe(now, now)
            waiting = {unit: found for unit, found in observed.waits.items() if unit in released} | rotated
            planned = plan(now, now, replace(observed, released=released, overdue=overdue, waits=waiting))
            if not planned:
                return None
            return await self.change(planned, now, now, observed)

    async def resume(self) -> Outcome | None:
        """Bring an apply to its end that an earlier agent was killed in; None if there is none."""
        async with locked(self.root, 60.0):
            return await self.resume_now()

    async def resume_now(self) -> Outcome | None:
        """`resume`, under the lock."""
        entry = self.journal.unfinished()
        if entry is None:
            return None
        new = self._of(entry)
        if new is None:
            self.journal.end()
            return None
        if entry.phase is Phase.BACK:
            return await self.go_back(entry, new)
        units = {job.unit for job in (*entry.plan.stops, *entry.plan.jobs)}
        observed = Observed(units=await self.systemd.inspect(units))
        return await self._carry_out(entry, new, observed)

    def _of(self, entry: Entry) -> Generation | None:
        with contextlib.suppress(KeyError, DamagedGeneration):
            return self.store.load(entry.number)
        found = self.known(entry.plan.to_hash)
        return found if found.hash == entry.plan.to_hash else None

    async def _carry_out(self, entry: Entry, new: Generation, observed: Observed) -> Outcome:
        began = time.monotonic()
        steps = entry.plan
        if self.listener:
            self.listener.planned(steps)
        self.journal.begin(entry)
        verdicts: list[Verdict] = []
        if entry.phase is Phase.STOP:
            verdicts += await self._do(steps.stops, observed, entry, new, {})
        if entry.phase in (Phase.STOP, Phase.PLACE):
            self.journal.advance(Phase.PLACE)
            self.store.commit_trial(new, boot_id(self.root))
            if steps.reload:
                verdicts += await self.repair.read(new)
            before = await self.systemd.inspect(touched(steps), INVOCATION_ID)
            reloaded = {unit: state.invocation_id for unit, state in before.items()}
            wrong = unloadable(steps.jobs, before)
            wrong += await self.files.make_real(self.known(steps.from_hash), new, steps, back=entry.failed is not None)
            verdicts += wrong
            if entry.failed is not None or not await self._is_bad(steps, wrong):
                self.journal.advance(Phase.ACT, reloaded)
                jobs = without(steps.jobs, {verdict.unit for verdict in wrong})
                verdicts += await self._do(overtaken(jobs, before), observed, entry, new, reloaded)
        else:
            reloaded = dict(entry.invocations)
            jobs = left(steps.jobs, reloaded, observed) if entry.phase is Phase.ACT else ()
            done = [job for job in steps.jobs if job not in jobs]
            verdicts += await self._do(jobs, observed, entry, new, reloaded, done)
        if entry.failed is None and not any(verdict.blamed for verdict in verdicts):
            verdicts += await self.cutoff.lost()
        if steps.reload or steps.stops or steps.jobs:
            verdicts += await bystanders(self.systemd, new, verdicts, _baseline(entry))
        outcome = Outcome(
            generation=new.number,
            hash=new.hash,
            plan=steps,
            verdicts=tuple(verdicts),
            exit_status=status(verdicts, steps.problems),
            started=entry.started,
            usec=int((time.monotonic() - began) * 1_000_000),
        )
        await write_down(self.systemd, self.store, new, steps, reloaded, verdicts)
        if entry.failed is None and await self._is_bad(steps, verdicts):
            self.journal.fail(replace(outcome, why=why(verdicts)))
            entry = replace(entry, phase=Phase.BACK, failed=replace(outcome, why=why(verdicts)))
            return await self.go_back(entry, new)
        return await self._end(entry, new, outcome)

    async def _is_bad(self, steps: Plan, verdicts: Sequence[Verdict]) -> bool:
        """Whether to go back: the apply is to blame for a failure, there is something before it, and time for it."""
        if not any(verdict.blamed for verdict in verdicts) or steps.from_hash in ("", steps.to_hash):
            return False
        return bool(self.known(steps.from_hash).hash) and not await self.systemd.stopping()

    def _reject(self, failed: Outcome, *, complete: bool = True) -> None:
        self.decisions.reject(
            RejectedGeneration(number=failed.generation, hash=failed.hash, why=failed.why, complete=complete)
        )

    async def go_back(self, entry: Entry, bad: Generation) -> Outcome:
        """Apply what was in force before ``entry``, which failed: the same planner, the same journal."""
        assert entry.failed is not None
        last = self.known(entry.plan.from_hash)
        self._reject(entry.failed)
        observed = await self.observe(bad, last)
        steps = undo(plan(bad, last, observed), last, observed, entry.running)
        if unheard(entry.failed.verdicts):
            steps = replace(steps, jobs=tuple(job for job in steps.jobs if job.verb is Verb.START))
        back = replace(entry, phase=Phase.STOP, number=last.number, plan=steps, invocations={})
        outcome = await self._carry_out(back, last, observed)
        for unit in {member.unit for member in bad.members} - {member.unit for member in last.members}:
            with contextlib.suppress(BusError):  # most of them PID 1 has forgotten
                await self.systemd.reset_failed(unit)
        return outcome

    async def _end(self, entry: Entry, new: Generation, outcome: Outcome) -> Outcome:
        """Prove what works and write down what came of it."""
        self.journal.advance(Phase.PROVE)
        trial = self.trials.under_way()
        if entry.failed is not None:
            outcome = undone(entry.failed, outcome, entry.failing)
            self._reject(entry.failed, complete=outcome.exit_status == ROLLED_BACK)
            self.decisions.stand(entry.decided)
            self.trials.clear()
        elif trial is not None and trial.hash == new.hash and not trial.by_itself:
            trial = lasting(trial, trial.seconds)
            self.trials.write(trial)
            outcome = replace(outcome, confirm_by=trial.by)
        else:
            # What does not work is no boot's business; only where nothing was ever proven, it is better than nothing.
            ok = all(verdict.ok for verdict in outcome.verdicts) or self.store.never_proven()
            with self.trials.ended_by_itself():
                outcome = replace(outcome, persistent=not ok or await asyncio.to_thread(self.prove, new))
        await self.repair.look_for_others(new)
        self.journal.end()
        atomic_files.replace(self.root / OUTCOME, json.dumps(to_json(outcome)).encode())
        if outcome.plan.from_hash != outcome.plan.to_hash:
            await asyncio.to_thread(self.store.save_outcome, outcome)
        if self.listener:
            self.listener.ended(outcome)
        return outcome

    async def _do(
        self,
        jobs: Sequence[Job],
        observed: Observed,
        entry: Entry,
        new: Generation,
        invocations: Mapping[str, str],
        earlier: Sequence[Job] = (),
    ) -> list[Verdict]:
        """Have PID 1 do the jobs, and judge each; also those that an agent did ``earlier``, before it was killed."""
        if not jobs and not earlier:
            return []
        await self._stand_aside()
        done = (*await act(self.systemd, jobs, observed), *(Done(job=job) for job in earlier))
        await self._stand_aside()  # what was canceled for a shutdown is nobody's failure, and proves nothing
        found = await judge(self.systemd, done, generation=new, before=_baseline(entry), invocations=invocations)
        for verdict in found:
            if self.listener:
                self.listener.judged(verdict)
        return found

    async def _stand_aside(self) -> None:
        """Leave all as it is once the machine goes down: the journal is on a tmpfs, and what was proven boots."""
        if await self.systemd.stopping():
            raise ShuttingDown("the machine is shutting down; the rest of the apply is left to the next boot")

    def prove(self, new: Generation) -> bool:
        """Commit to /etc what works; whether that could be written."""
        unsaved = self.store.commit_proven(new)
        self._tell(NOT_PERSISTENT, unsaved.what if unsaved else "")
        return unsaved is None

    async def heal(self) -> bool:
        """After a reload by anyone: see that the generator did its work; whether there was anything to mend."""
        async with locked(self.root, 60.0):
            return await self.repair.heal(self._last_applied())

    def _last_applied(self) -> Generation:
        """What this boot applied last by our own record, whatever the generator made of it since."""
        applied = self.store.read_applied()
        try:
            return self.store.load_hash(applied.hash) if applied else self.applied()
        except KeyError:
            return self.applied()

    def _tell(self, code: str, what: str) -> None:
        self.conditions.pop(code, None)
        if what:
            self.conditions[code] = Condition(code=code, what=what)


def _baseline(entry: Entry) -> Baseline:
    return Baseline(running=frozenset(entry.running), failing=frozenset(entry.failing))
