"""Reads the status of the machine: the units, and what the administrator should know.

PID 1, files of the state, SourceReader, the agent's own view ──read──▶ Status
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.apply.comparison import compare
from ordain.agent.apply.rollback import decision_conditions, hold_conditions, instructions_in_force
from ordain.agent.condition import StatusCondition
from ordain.agent.daemon.status.source_reader import SourceReader
from ordain.agent.daemon.status.takeover import read_takeover
from ordain.agent.delivery.protocol import REFUSED_DOCUMENTS, ReleaseReference
from ordain.agent.delivery.source.local_files import NOT_READ, misnamed_documents
from ordain.agent.model import ChangeCause, Generation, NoteReason, Outcome, Plan
from ordain.agent.plan.unit_status import left_undone, reboots
from ordain.agent.source_settings import SourceKind
from ordain.agent.state.apply_journal import ApplyJournal
from ordain.agent.state.boot_record import placed_hash, read_boot_record
from ordain.agent.state.last_outcome import read_last_outcome
from ordain.agent.state.source_loss_record import read_source_loss
from ordain.agent.status import AGENT_SILENT, AgentState, Status
from ordain.agent.system.apply_lock import other_holder
from ordain.agent.system.bounded_reads import BoundedReads, NotAnswering
from ordain.transforms.errors import Problem, Severity

NOBODY = 0
"""The number of no process."""
ATTEMPTS = 3
"""Observations of the machine until one is not disturbed by the end of an apply."""
AGENT_DOWN = StatusCondition(
    code="AgentDown",
    what="ordain-agent does not run, so changes of the documents are not applied",
    hint="see `systemctl status ordain-agent`",
    fault=True,
)
SILENT_AGENT = StatusCondition(
    code=AGENT_SILENT,
    what="ordain-agent does not answer; this is what is known without it, and changes of documents may have to wait",
    hint="see `systemctl status ordain-agent`; systemd restarts one that hangs within 30 seconds",
    fault=True,
)


class AgentPhase(Enum):
    """A phase of the agent's work."""

    STARTING = auto()
    APPLYING = auto()
    FOLLOWING = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentView:
    """The part of the status that only a running agent knows.

    ``wanted`` is the outcome of the last apply in short (`outcome.summary`): its verdicts are those that were not ok.
    """

    phase: AgentPhase
    wanted: Outcome | None = None
    conditions: tuple[StatusCondition, ...] = ()


class StatusReader:
    """Reads the status of one machine. ``view`` is the view of the agent; None: it is not known, as ``agent`` says.

    ``settings_problems`` are what is wrong with agent.yaml. ``caller`` is the process that asks, see `InProcessClient`.
    """

    def __init__(
        self,
        *,
        parts: ApplyParts,
        source: SourceReader,
        settings_problems: tuple[Problem, ...] = (),
        view: Callable[[], AgentView] | None = None,
        agent: StatusCondition = AGENT_DOWN,
        caller: int = 0,
    ) -> None:
        self.settings_problems = settings_problems
        self._parts = parts
        self._source = source
        self._view = view
        self._agent = agent
        self._caller = caller
        self._reads = BoundedReads()

    async def read(self) -> Status:
        """Return the status. If an apply ends meanwhile, observe again: units and state would be of two generations."""
        for _ in range(ATTEMPTS):
            before = placed_hash(self._parts.root)
            status = await self._observe()
            if placed_hash(self._parts.root) == before:
                break
        return status

    async def _observe(self) -> Status:
        parts = self._parts
        generation = parts.store.applied()
        await parts.repair.look_for_others(generation)
        comparison = await compare(
            generation,
            systemd=parts.systemd,
            root=parts.root,
            observer=parts.observer,
            caller=self._caller,
            under_way=self._under_way(),
        )
        units = comparison.units
        misnamed = await self._misnamed()
        # The view comes last: what the agent did meanwhile is in it.
        view = self._view() if self._view else None
        wanted_generation, wanted_hash = self._wanted(generation, view)
        conditions = (
            *self._conditions(misnamed),
            *(view.conditions if view else (self._agent,)),
            *hold_conditions(comparison.observed.holds),
            *comparison.conditions,
            *self._not_in_force(generation, wanted_generation, wanted_hash, view),
            *self._not_persistent(generation, view),
            *left_undone(units, view.wanted.verdicts if view and view.wanted else ()),
            *reboots(units),
        )
        return Status(
            state=self._state(conditions, view),
            agent=view is not None,
            generation=generation.number,
            hash=generation.hash,
            wanted_generation=wanted_generation,
            wanted_hash=wanted_hash,
            source=self._source.state,
            conditions=conditions,
            units=units,
            drift=tuple(unit.unit for unit in units if not unit.ok and unit.why != NoteReason.BUSY),
            taken_over_by=read_takeover(parts.root)[0],
            instructions=tuple(instructions_in_force(parts.decisions, comparison.observed.holds)),
        )

    def _under_way(self) -> Plan | None:
        """Return the plan that an apply is carrying out, None if no process is at it."""
        entry = ApplyJournal(self._parts.root).unfinished()
        return entry.plan if entry and other_holder(self._parts.root, NOBODY) != "" else None

    def _wanted(self, generation: Generation, view: AgentView | None) -> tuple[int, str]:
        """Return number and hash of the generation that the documents want; ``generation`` is in force."""
        if entry := ApplyJournal(self._parts.root).unfinished():  # the last outcome is that of the apply before
            if entry.failed:  # its rollback leads to the generation before, which the documents do not want
                return entry.failed.generation, entry.failed.hash
            return entry.number, entry.plan.to_hash
        if view and view.wanted and not view.wanted.rejected:
            return view.wanted.generation, view.wanted.hash
        rejected = self._parts.decisions.rejected
        latest = rejected if rejected and rejected.cause is not ChangeCause.ROLLBACK else generation
        return latest.number, latest.hash

    def _not_in_force(
        self, generation: Generation, number: int, hash: str, view: AgentView | None
    ) -> Iterator[StatusCondition]:
        """Yield a condition if the documents want another generation than ``generation``, which nothing else tells."""
        at_work = view is not None and view.phase is AgentPhase.APPLYING
        if hash != generation.hash and not self._parts.decisions.rejected and not at_work:
            what = f"generation {generation.number} is in force, but the documents want {number}"
            yield StatusCondition(code="NotInForce", what=what, hint="run `ordainctl apply`", fault=True)

    def _not_persistent(self, generation: Generation, view: AgentView | None) -> Iterator[StatusCondition]:
        """Yield a condition if later boots start with another generation, once no apply is under way any more."""
        parts = self._parts
        at_work = view is not None and view.phase is not AgentPhase.FOLLOWING
        if not (at_work or parts.trials.pending() or parts.decisions.rejected or ApplyJournal(parts.root).unfinished()):
            last = read_last_outcome(parts.root)
            yield from parts.writer.not_persistent(generation, last.verdicts if last else ())

    def _state(self, conditions: Iterable[StatusCondition], view: AgentView | None) -> AgentState:
        """Return the state; the first row that holds decides."""
        rows = (
            (view is not None and view.phase is AgentPhase.APPLYING, AgentState.APPLYING),
            (view is not None and view.phase is AgentPhase.STARTING, AgentState.STARTING),
            (self._parts.trials.pending(), AgentState.TRIAL),
            (self._parts.decisions.paused, AgentState.PAUSED),
            (self._parts.decisions.rejected, AgentState.ROLLED_BACK),
            (any(condition.fault for condition in conditions), AgentState.DEGRADED),
            (self._parts.decisions.pin, AgentState.PAUSED),
        )
        return next((state for holds, state in rows if holds), AgentState.CONVERGED)

    async def _misnamed(self) -> tuple[str, ...]:
        """Return the files in the directory of documents that are not read; none while its mount does not answer."""
        source = self._source.state
        folder = self._parts.root / source.location.lstrip("/")
        if source.type != SourceKind.DIRECTORY:
            return ()
        try:
            return await self._reads.run(source.location, lambda: tuple(misnamed_documents(folder)))
        except NotAnswering:  # which is a condition of the source already
            return ()

    def _conditions(self, misnamed: Iterable[str]) -> tuple[StatusCondition, ...]:
        """Return what an administrator should know, apart from units and the agent's own view."""
        parts, source = self._parts, self._source.state
        conditions = list(settings_conditions(self.settings_problems))
        if source.code:
            fault = source.code in REFUSED_DOCUMENTS
            conditions.append(StatusCondition(code=source.code, what=source.problem, hint=source.hint, fault=fault))
        for name in misnamed:
            what, hint = f"{source.location}/{name}: {NOT_READ}", "rename it, or move it elsewhere"
            conditions.append(StatusCondition(code="NotRead", what=what, hint=hint))
        conditions += expired(self._source.release, datetime.now(UTC))
        notes = read_boot_record(parts.root).get("note", ())
        conditions += [StatusCondition(code="BootChoice", what=note) for note in notes]
        if stopped := read_source_loss(parts.root).stopped:
            what = f"{', '.join(stopped)}: stopped, because the source cannot be reached (on-source-loss)"
            hint = "they start when it can be reached again"
            conditions.append(StatusCondition(code="SourceLost", what=what, hint=hint))
        decided = decision_conditions(parts.trials, parts.decisions)
        return (*conditions, *parts.writer.conditions, *decided, *parts.repair.conditions)


def settings_conditions(problems: Iterable[Problem]) -> Iterator[StatusCondition]:
    """Yield a condition for each problem of agent.yaml; an error is a fault, as some setting is not as it is written.

    Until it is corrected, the machine may follow another source, or be another one than the administrator wants.
    """
    for problem in problems:
        yield StatusCondition.of(problem, fault=problem.severity is Severity.ERROR)


def expired(release: ReleaseReference, now: datetime) -> Iterator[StatusCondition]:
    """Yield a condition if ``release``, which is in force, has expired: a newer one should have arrived."""
    if release.expires and datetime.fromisoformat(release.expires) <= now:
        what = f"release {release.title} expired at {release.expires}, and no newer one has arrived; it stays in force"
        hint = "publish a newer release; if there is one, find out who keeps it from this machine"
        yield StatusCondition(code="ReleaseExpired", what=what, hint=hint, fault=True)
