"""One apply from documents to proven generation, in the order of product.md (Apply); effect.

    texts ─compile▶ Generation ─plan▶ Plan ─journal▶ stop ─▶ /run ─▶ one reload ─▶ jobs ─▶ verdicts ─▶ /etc

The agent and, when it does not run, ordainctl use the same engine; the lock keeps them apart.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from ordain.agent import durable
from ordain.agent.act import Done, act
from ordain.agent.boot import boot_id, placed_hash
from ordain.agent.compile import compile_texts
from ordain.agent.diff import contents
from ordain.agent.failure import Failure
from ordain.agent.generation import is_template, keep_running
from ordain.agent.history import Damaged
from ordain.agent.holds import placed, read_holds
from ordain.agent.journal import Entry, Journal, Phase
from ordain.agent.lag import Applied, overtaken, record
from ordain.agent.lock import locked
from ordain.agent.model import Effect, Generation, Job, Observed, Outcome, Plan, Verb, Verdict, to_json
from ordain.agent.observe import look, observe, weigh
from ordain.agent.plan import RUNNING, plan
from ordain.agent.protected import roles
from ordain.agent.status import Condition
from ordain.agent.store import NotPersistent, Store
from ordain.agent.systemd1 import Systemd
from ordain.agent.verify import missing, overridden, verdict
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Wanted

Texts = Sequence[tuple[str, bytes]]
OUTCOME = "run/ordain/outcome.json"
SETTLE_SEC = 0.3
"""A service that is started and dies at once is seen to have died after so long."""
DEGRADED = 3
JUDGED = frozenset({"result", "condition_result"})
"""What a verdict looks at."""
PLACED = frozenset({"fragment_path", "drop_in_paths"})
INVOCATION = frozenset({"invocation_id"})
NOT_PLACED = "NotPlaced"
NOT_PERSISTENT = "NotPersistent"


class Listener(Protocol):
    """Hears of an apply while it goes on."""

    def planned(self, plan: Plan) -> None:
        """A plan is about to be carried out."""

    def judged(self, verdict: Verdict) -> None:
        """One unit is done."""

    def ended(self, outcome: Outcome) -> None:
        """The plan is carried out."""


class Engine:
    """Applies documents to the machine below ``root``, whose PID 1 is ``systemd``.

    ``conditions`` is what the last apply or repair left for the user to know, by code; ``overridden`` are
    the units of which PID 1 reads another file than ours.
    """

    def __init__(self, *, systemd: Systemd, root: Path = Path("/"), listener: Listener | None = None) -> None:
        self.systemd = systemd
        self.root = root
        self.store = Store(root)
        self.conditions: dict[str, Condition] = {}
        self.overridden: tuple[Condition, ...] = ()
        self._journal = Journal(root)
        self._unplaced: tuple[str, ...] = ()
        self.listener = listener

    def applied(self) -> Generation:
        """What is in force: what the generator placed in this boot.

        Not what was proven last: after boots that did not complete, the generator takes an older one.
        """
        placed = placed_hash(self.root)
        boot = boot_id(self.root)
        for read in (partial(self.store.trial, boot), self.store.proven, self.store.fallback):
            try:
                found = read()
            except Damaged:
                continue
            if found is not None and found.hash == placed:
                return found
        try:
            return self.store.load_hash(placed)
        except KeyError:
            return Generation()

    async def compile(self, texts: Texts) -> tuple[Generation, tuple[Problem, ...]]:
        """What the texts come to; see `compile_texts`. In a thread, since a thousand services take seconds."""
        last = self.applied()
        new, problems = await asyncio.to_thread(compile_texts, texts, self.root, last)
        there = {member.unit for member in new.members}
        gone = {member.unit: member for member in last.members if member.unit not in there}
        untouchable = (read_holds(self.root).keys() & gone.keys()) | (await roles(self.systemd, gone)).keys()
        may_stay = untouchable | {unit for unit, member in gone.items() if member.on_remove == "keep"}
        if not may_stay:
            return new, problems
        states = await self.systemd.list_units(may_stay)
        running = {unit for unit, state in states.items() if state.active_state in RUNNING}
        return keep_running(new, last, running, untouchable), problems

    async def plan(self, texts: Texts) -> Plan:
        """What `apply` would do now. Raises `Refused`."""
        new, problems = await self.compile(texts)
        old = self.applied()
        return replace(plan(old, new, await self.observe(old, new)), problems=problems)

    async def apply(self, texts: Texts, *, patience_sec: float = 0.0, avoid: frozenset[str] = frozenset()) -> Outcome:
        """Make the texts real. Raises `Refused`, or a `Failure` if nothing was changed.

        ``avoid``: hashes of generations that boots did not complete with.
        """
        async with locked(self.root, patience_sec):
            await self._resume()
            old = self.applied()
            new, problems = await self.compile(texts)
            if new.hash in avoid and new.hash != old.hash:
                raise Failure(
                    f"generation {new.hash[:12]} is not applied: boots with it did not complete"
                    " (change the documents, or run `ordainctl apply`)"
                )
            observed = await self.observe(old, new)
            planned = replace(plan(old, new, observed), problems=problems)
            if not planned and old.hash == new.hash:
                return Outcome(generation=old.number, hash=old.hash, plan=planned, exit_status=_status((), problems))
            new, unsaved = await asyncio.to_thread(self.store.save, new)
            self._tell(NOT_PERSISTENT, unsaved.what if unsaved else "")
            entry = Entry(phase=Phase.STOP, number=new.number, plan=planned, started=_now())
            return await self._carry_out(entry, new, observed)

    async def observe(self, old: Generation, new: Generation) -> Observed:
        """What a plan looks at. Raises `Failure` for holds that cannot be read."""
        return await self.weigh(await observe(self.systemd, old, new), old, new)

    async def weigh(self, observed: Observed, old: Generation, new: Generation) -> Observed:
        """``observed``, with what stands against touching its units."""
        applied = self.store.read_applied()
        return await weigh(self.systemd, observed, old=old, new=new, root=self.root, applied=applied)

    async def again(self, *, released: frozenset[str] = frozenset()) -> Outcome | None:
        """Bring ``released`` units, and those with ``drift: enforce``, back to what was applied; None: they are."""
        async with locked(self.root, 10.0):
            await self._resume()
            now = self.applied()
            observed = await self.observe(now, now)
            waiting = {unit: found for unit, found in observed.waits.items() if unit in released}
            planned = plan(now, now, replace(observed, released=released, waits=waiting))
            if not planned:
                return None
            return await self._carry_out(
                Entry(phase=Phase.STOP, number=now.number, plan=planned, started=_now()), now, observed
            )

    async def resume(self) -> Outcome | None:
        """Bring an apply to its end that an earlier agent was killed in; None if there is none."""
        async with locked(self.root, 60.0):
            return await self._resume()

    async def _resume(self) -> Outcome | None:
        entry = self._journal.unfinished()
        if entry is None:
            return None
        try:
            new = self.store.load(entry.number)
        except (KeyError, Damaged):
            self._journal.end()
            return None
        units = {job.unit for job in (*entry.plan.stops, *entry.plan.jobs)}
        observed = Observed(units=await self.systemd.inspect(units))
        return await self._carry_out(entry, new, observed)

    async def _carry_out(self, entry: Entry, new: Generation, observed: Observed) -> Outcome:
        began = time.monotonic()
        steps = entry.plan
        if self.listener:
            self.listener.planned(steps)
        self._journal.begin(entry)
        verdicts: list[Verdict] = []
        if entry.phase is Phase.STOP:
            verdicts += await self._do(steps.stops, observed)
        if entry.phase in (Phase.STOP, Phase.PLACE):
            self._journal.advance(Phase.PLACE)
            self.store.commit_trial(new, boot_id(self.root))
            if steps.reload:
                await self.systemd.reload()
                verdicts += await self._place_again(new)
            before = await self.systemd.inspect(_touched(steps), INVOCATION)
            reloaded = {unit: state.invocation_id for unit, state in before.items()}
            self._journal.advance(Phase.ACT, reloaded)
            verdicts += await self._do(overtaken(steps.jobs, before, RUNNING), observed)
        else:
            reloaded = dict(entry.invocations)
        if entry.phase is Phase.ACT:
            verdicts += await self._do(_undone(steps.jobs, entry.invocations, observed), observed)
        self._journal.advance(Phase.PROVE)
        ok = all(verdict.ok for verdict in verdicts)
        unsaved = await self._prove(new, ok)
        await self._record(new, steps, reloaded, verdicts)
        await self._look_for_others(new)
        self._journal.end()
        outcome = Outcome(
            generation=new.number,
            hash=new.hash,
            plan=steps,
            verdicts=tuple(verdicts),
            persistent=unsaved is None,
            exit_status=_status(verdicts, steps.problems),
            started=entry.started,
            usec=int((time.monotonic() - began) * 1_000_000),
        )
        durable.replace(self.root / OUTCOME, json.dumps(to_json(outcome)).encode())
        if self.listener:
            self.listener.ended(outcome)
        return outcome

    async def _do(self, jobs: Sequence[Job], observed: Observed) -> list[Verdict]:
        """Have PID 1 do the jobs, and judge each."""
        if not jobs:
            return []
        done = await act(self.systemd, jobs, observed)
        if any(job.verb is not Verb.STOP and job.unit.endswith(".service") for job in jobs):
            await asyncio.sleep(SETTLE_SEC)
        return await self._judge(done)

    async def _judge(self, done: Sequence[Done]) -> list[Verdict]:
        after = await self.systemd.inspect({each.job.unit for each in done}, JUDGED)
        found = []
        for each in done:
            judged = verdict(each, Observed(units=after).unit(each.job.unit))
            found.append(judged)
            if self.listener:
                self.listener.judged(judged)
        return found

    async def _place_again(self, new: Generation) -> list[Verdict]:
        """See that the generator did its work, give it a second run if not, and say what it did not place."""
        absent = missing(placed(new, read_holds(self.root)), self.root)
        if absent:
            await self.systemd.reload()
            absent = missing(placed(new, read_holds(self.root)), self.root)
        return [
            Verdict(unit=path.rpartition("/")[2], ok=False, what=f"{path} was not placed by the generator")
            for path in absent
        ]

    async def _prove(self, new: Generation, ok: bool) -> NotPersistent | None:
        """Commit to /etc what works.

        What does not work is no boot's business; only where nothing was ever proven, it is better than nothing.
        """
        unsaved = None
        if ok or self._never_proven():
            unsaved = await asyncio.to_thread(self.store.commit_proven, new)
            self._tell(NOT_PERSISTENT, unsaved.what if unsaved else "")
        return unsaved

    async def _record(
        self, new: Generation, steps: Plan, reloaded: Mapping[str, str], verdicts: Sequence[Verdict]
    ) -> None:
        """Write down which process has which definition."""
        placed = contents(new)
        names = {member.unit for member in new.members} | placed.keys()
        states = await self.systemd.inspect((name for name in names if not is_template(name)), INVOCATION)
        well = {verdict.unit for verdict in verdicts if verdict.ok}
        units = record(
            self.store.read_applied(),
            steps,
            hashes={name: content.hash for name, content in placed.items()},
            reloaded=reloaded,
            running={name: state.invocation_id for name, state in states.items() if state.active_state in RUNNING},
            done=[job for job in steps.jobs if job.unit in well],
        )
        self.store.write_applied(Applied(number=new.number, hash=new.hash, units=units))

    def _never_proven(self) -> bool:
        try:
            return self.store.proven() is None
        except Damaged:
            return True

    async def heal(self) -> bool:
        """After a reload by anyone: see that the generator did its work, and have it done again if not.

        Timers that lost their unit stay failed for good after one bad run, though the rest heals by itself
        (design/generator.md, i.6); they are started again. Returns whether there was anything to mend.
        """
        async with locked(self.root, 60.0):
            wanted = placed(self._last_applied(), read_holds(self.root))
            mended = await self._heal(wanted)
            await self._look_for_others(wanted)
            return mended

    async def _heal(self, wanted: Generation) -> bool:
        absent = missing(wanted, self.root)
        if absent in ((), self._unplaced):  # our own reload is heard of too: what it did not mend, none does
            self._unplaced = absent
            self._tell(NOT_PLACED, _unplaced(absent))
            return False
        self.store.commit_trial(wanted, boot_id(self.root))
        await self.systemd.reload()
        self._unplaced = missing(wanted, self.root)
        self._tell(NOT_PLACED, _unplaced(self._unplaced))
        await self._restart_timers(wanted)
        return True

    async def _look_for_others(self, generation: Generation) -> None:
        units = {_unit_of(a.path) for a in generation.artifacts if a.content is not None and a.path[0] != "/"}
        states = await self.systemd.inspect((unit for unit in units if not is_template(unit)), PLACED)
        self.overridden = tuple(
            Condition(code="Overridden", what=f"{unit}: {what}", item=unit)
            for unit, what in overridden(generation, states)
        )

    def _last_applied(self) -> Generation:
        """What this boot applied last by our own record, whatever the generator made of it since."""
        applied = self.store.read_applied()
        try:
            return self.store.load(applied.number) if applied else self.applied()
        except (KeyError, Damaged):
            return self.applied()

    async def _restart_timers(self, generation: Generation) -> None:
        timers = [m for m in generation.members if m.unit.endswith(".timer") and m.wanted is Wanted.RUNNING]
        observed = await look(self.systemd, [member.unit for member in timers])
        jobs = [
            Job(unit=member.unit, verb=Verb.START, reason="lost its unit in a failed run", item=member.item)
            for member in timers
            if observed.unit(member.unit).active_state == "failed"
        ]
        await act(self.systemd, jobs, observed)

    def _tell(self, code: str, what: str) -> None:
        if what:
            self.conditions[code] = Condition(code=code, what=what)
        else:
            self.conditions.pop(code, None)


def _touched(steps: Plan) -> frozenset[str]:
    """The units that get a job, or that change so that a process would have to know."""
    changed = {change.unit for change in steps.changes if change.effect in (Effect.RELOAD, Effect.RESTART)}
    return frozenset(changed | {job.unit for job in steps.jobs})


def _unit_of(path: str) -> str:
    """The unit an artifact is for: ``normal/web.service.d/00-ordain.conf`` → ``web.service``."""
    return path.split("/")[1].removesuffix(".d")


def _unplaced(absent: Sequence[str]) -> str:
    return f"the generator did not place {', '.join(absent[:3])}" + " …" * (len(absent) > 3) if absent else ""


def _undone(jobs: Sequence[Job], before: Mapping[str, str], observed: Observed) -> tuple[Job, ...]:
    """The jobs but the restarts and starts that were done: they gave their unit another invocation id."""
    return tuple(
        job
        for job in jobs
        if job.verb is Verb.RELOAD or observed.unit(job.unit).invocation_id == before.get(job.unit, "")
    )


def _status(verdicts: Sequence[Verdict], problems: Sequence[Problem]) -> int:
    """The exit status of the contract: 3 where something is degraded."""
    blocked = any(problem.severity is Severity.BLOCKED for problem in problems)
    return DEGRADED if blocked or not all(verdict.ok for verdict in verdicts) else 0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
