"""The requests of a `Client`, carried out in this process: by ordainctl if no agent runs, and by the agent itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.apply.change_origin import user_of_process
from ordain.agent.apply.differences.actual_values import read_back_values, unit_values
from ordain.agent.apply.engine import ApplyRequest
from ordain.agent.apply.observe import look
from ordain.agent.compile.executor import REQUIRE_DOCUMENT
from ordain.agent.daemon.clients.client import Documents
from ordain.agent.daemon.status.source_reader import SourceReader
from ordain.agent.daemon.status.status_reader import expired, settings_conditions
from ordain.agent.errors import Failure
from ordain.agent.instruction import NO_TERMS, Instruction, Terms, check_why, instruct
from ordain.agent.model import ChangeCause, Generation, Hold, Outcome, Plan
from ordain.agent.plan.explain import NotInGeneration, explain
from ordain.agent.plan.outcome import DEGRADED
from ordain.agent.state.boot_record import boot_id
from ordain.agent.state.history_events import SOURCE, record_instruction
from ordain.agent.state.last_outcome import read_last_outcome
from ordain.agent.status import Status, StepsOfLastApply, UnitExplanation
from ordain.agent.system.systemd.clock import read_clock
from ordain.transforms.errors import Problem, Severity, Where
from ordain.transforms.model import Wanted


class InProcessClient:
    """A `Client` over the parts that apply documents, a source, and the status.

    ``read_status`` observes the machine. ``caller`` is the process that asks, if all requests come from one.
    ``settings_problems`` returns what is wrong with agent.yaml now.
    """

    agent = False

    def __init__(
        self,
        *,
        parts: ApplyParts,
        source: SourceReader,
        read_status: Callable[[], Awaitable[Status]],
        settings_problems: Callable[[], tuple[Problem, ...]] = tuple,
        caller: int = 0,
    ) -> None:
        self._parts = parts
        self._source = source
        self._read_status = read_status
        self._settings_problems = settings_problems
        self._caller = caller

    async def plan(self, documents: Documents | None = None, *, caller: int = 0) -> Plan:
        """See `Client.plan`."""
        texts = await self._source.read() if documents is None else documents
        planned = await self._parts.engine.plan(texts, caller=caller or self._caller)
        warnings = tuple(replace(problem, severity=Severity.WARNING) for problem in self._settings_problems())
        planned = replace(planned, problems=(*planned.problems, *warnings))
        return planned if documents is not None else self._with_source(planned)

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
        caller = caller or self._caller
        if documents is not None and not documents:
            raise Failure("no documents were given: to apply none would stop all services")
        if documents is not None and not nothing:
            await asyncio.to_thread(self._parts.executor, REQUIRE_DOCUMENT, documents)
        if documents is None:
            texts = await self._source.read()
            request = ApplyRequest(
                texts=texts,
                caller=caller,
                confirm_sec=confirm_sec,
                cause=ChangeCause.APPLY,
                revision=self._source.public_revision,
            )
        else:
            request = ApplyRequest(
                texts=documents,
                caller=caller,
                confirm_sec=confirm_sec,
                instead_of=await self._source.read_revision(),
                pause=not once,
                cause=ChangeCause.FILE,
            )
        outcome = self._with_faults(await self._parts.engine.apply(request), follows=documents is None)
        return outcome if documents is not None else replace(outcome, plan=self._with_source(outcome.plan))

    def _with_faults(self, outcome: Outcome, *, follows: bool) -> Outcome:
        """Return ``outcome`` with the faults of agent.yaml: the documents may be those of another source.

        ``follows``: they are those of the source, whose release may have expired.
        """
        faults = tuple(c for c in settings_conditions(self._settings_problems()) if c.fault)
        faults += tuple(expired(self._source.release, datetime.now(UTC))) if follows else ()
        left = (*outcome.left, *faults)
        return replace(outcome, left=left, exit_status=outcome.exit_status or (DEGRADED if faults else 0))

    def _with_source(self, planned: Plan) -> Plan:
        """Return ``planned`` with a warning if its documents may not be the latest ones of the source."""
        late = tuple(
            Problem(where=Where(path="source"), what=c.what, hint=c.hint, code=c.code, severity=Severity.WARNING)
            for c in expired(self._source.release, datetime.now(UTC))
        )
        return replace(planned, problems=(*planned.problems, *self._source.problems, *late))

    async def confirm(self, *, caller: int = 0) -> int:
        """See `Client.confirm`."""
        return await self._parts.rollback.confirm(caller=caller or self._caller)

    async def rollback(self, number: int = 0, *, why: str = "", caller: int = 0) -> Outcome:
        """See `Client.rollback`."""
        reason = self._reason(why)
        revision = await self._source.read_revision()
        return await self._parts.rollback.to(number, revision, caller=caller or self._caller, why=reason)

    async def status(self) -> Status:
        """See `Client.status`."""
        return await self._read_status()

    async def explain(self, about: str) -> UnitExplanation:
        """See `Client.explain`."""
        generation = self._parts.store.applied()
        unit = _unit_about(generation, about)
        observed = await look(self._parts.systemd, [unit] if unit else [], closely=[unit])
        member = next((m for m in generation.members if m.unit == unit), None)
        units = (await self.status()).units if member else ()
        item = member.item if member else "/".join(about.split("/")[:2])
        actual, differs = await self._actual_values(about, generation)
        return UnitExplanation(
            about=about,
            unit=unit,
            item=item,
            generation=generation.number,
            member=member,
            state=observed.unit(unit) if unit else None,
            status=next((status for status in units if status.unit == unit), None),
            artifacts=tuple(a.path for a in generation.artifacts if item and a.item == item),
            provenance={
                pointer: entry
                for pointer, entry in generation.provenance.items()
                if item and (pointer == item or pointer.startswith(f"{item}/") or item in entry.get("items", ()))
            },
            last=_steps_about(unit, read_last_outcome(self._parts.root)),
            actual=actual,
            differs=differs,
        )

    async def _actual_values(self, about: str, generation: Generation) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """Return the values of the machine that ``about`` is about, by pointer, and the pointers that differ."""
        try:
            explanation = explain(about, generation)
        except NotInGeneration:
            return {}, ()
        members = [member.unit for member in generation.members]
        differences = await self._parts.observer.read_back.differences(
            generation, await look(self._parts.systemd, members)
        )
        values, differs = read_back_values([entry.pointer for entry in explanation.origins], generation, differences)
        return {**await unit_values(self._parts.systemd, explanation), **values}, differs

    async def hold(self, unit: str, *, unmask: bool = False, terms: Terms = NO_TERMS, caller: int = 0) -> Hold:
        """See `Client.hold`."""
        self._reason(terms.why)
        return await self._parts.holds.hold(unit, unmask=unmask, terms=terms, caller=caller or self._caller)

    async def unhold(self, unit: str, *, caller: int = 0) -> Outcome | None:
        """See `Client.unhold`."""
        return await self._parts.holds.unhold(unit, caller=caller or self._caller)

    async def follow_unit(self, unit: str, *, caller: int = 0) -> Outcome | None:
        """See `Client.follow_unit`."""
        return await self._parts.holds.follow(unit, caller=caller or self._caller)

    async def refresh(self) -> None:
        """See `Client.refresh`. Nobody follows the source here, so there is nothing to do."""

    async def pause(self, terms: Terms = NO_TERMS, *, caller: int = 0) -> Instruction:
        """See `Client.pause`."""
        self._reason(terms.why)
        root = self._parts.root
        clock = await read_clock(self._parts.systemd.bus, boot_id(root), terms)
        given = instruct(terms, user_of_process(caller or self._caller), clock)
        self._parts.decisions.pause(given)
        record_instruction(root, ChangeCause.PAUSE, given, self._parts.store.applied().number)
        return given

    async def resume(self, *, caller: int = 0) -> None:
        """See `Client.resume`."""
        await self.follow(caller=caller)

    async def follow(self, *, caller: int = 0) -> None:
        """See `Client.follow`."""
        if self._parts.decisions.paused:
            ended = Instruction(by=user_of_process(caller or self._caller))
            number = self._parts.store.applied().number
            record_instruction(self._parts.root, ChangeCause.FOLLOW, ended, number, subject=SOURCE)
        self._parts.decisions.follow()

    def _reason(self, why: str) -> str:
        """Return a reason without blanks around it. Raises `Failure` if it is missing and this machine wants one."""
        reason = check_why(why)
        if not reason and self._source.settings.requires_why:
            raise Failure(
                "give a reason with --why: agent.yaml of this machine has `why: required`; nothing was changed"
            )
        return reason

    async def watch(self) -> AsyncIterator[Status]:
        """See `Client.watch`. Nobody reports changes here."""
        yield await self.status()


def _unit_about(generation: Generation, about: str) -> str:
    """Return the unit that a name, a path or a pointer is about, "" if none."""
    if "/" not in about:
        return about if "." in about else f"{about}.service"
    if about.startswith("/"):
        name = about.rpartition("/")[2]
        return name if any(member.unit == name for member in generation.members) else ""
    item = "/".join(about.split("/")[:2])
    members = [member for member in generation.members if member.item == item]
    starters = [member.unit for member in members if member.starter and member.wanted is Wanted.RUNNING]
    return (starters or [member.unit for member in members] or [""])[0]


def _steps_about(unit: str, outcome: Outcome | None) -> StepsOfLastApply:
    """Return the part of an outcome that is about ``unit``."""
    if outcome is None:
        return StepsOfLastApply()
    return StepsOfLastApply(
        stops=tuple(job for job in outcome.plan.stops if job.unit == unit),
        jobs=tuple(job for job in outcome.plan.jobs if job.unit == unit),
        notes=tuple(note for note in outcome.plan.notes if note.unit == unit),
        verdicts=tuple(verdict for verdict in outcome.verdicts if verdict.unit == unit),
        generation=outcome.generation,
        started=outcome.started,
        origin=outcome.origin,
    )
