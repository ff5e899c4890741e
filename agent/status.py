"""The status of the agent, which `ordainctl status` and the D-Bus property show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ordain.agent.condition import StatusCondition
from ordain.agent.instruction import StandingInstruction
from ordain.agent.model import ChangeOrigin, Job, Note, UnitState, UnitVerdict
from ordain.transforms.model import Member

AGENT_SILENT = "AgentSilent"
"""The code of the condition in a status of a machine whose agent runs and does not answer."""


class AgentState(StrEnum):
    """The states of the agent (docs/design/contract.md, rule 26)."""

    STARTING = "starting"
    CONVERGED = "converged"
    APPLYING = "applying"
    TRIAL = "trial"
    DEGRADED = "degraded"
    ROLLED_BACK = "rolled-back"
    PAUSED = "paused"

    @property
    def at_work(self) -> bool:
        """Return whether an apply is running, or is on trial."""
        return self in {AgentState.APPLYING, AgentState.STARTING, AgentState.TRIAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceState:
    """The source of the documents. ``problem`` is the reason why the last documents were not accepted, or ``""``.

    ``code`` is a `delivery.protocol.SourceFault`, ``hint`` the remedy. ``since`` is the time of the loss (ISO 8601,
    UTC), ``""`` while the source is ``connected``. ``release`` is the signed release of the documents (``stable 42``),
    or ``""``; ``waiting`` is the reason why the machine does not get a newer one yet.
    """

    type: str = "directory"
    location: str = ""
    connected: bool = False
    revision: str = ""
    problem: str = ""
    code: str = ""
    hint: str = ""
    since: str = ""
    release: str = ""
    waiting: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStatus:
    """The wanted and the actual state of one member, and a reason in ``what`` if they differ.

    ``why`` is a `model.NoteReason` or ``""``. ``enforced``: the agent corrects drift (`Drift.ENFORCE`). ``edited`` are
    an administrator's files that change the unit, ``unread``: PID 1 has not read all of them yet. ``ours``: the unit
    file is that of the documents.
    """

    unit: str
    item: str
    wanted: str
    load_state: str
    active_state: str
    sub_state: str
    ok: bool
    what: str = ""
    result: str = ""
    n_restarts: int = 0
    early: bool = False
    why: str = ""
    enforced: bool = False
    edited: tuple[str, ...] = ()
    unread: bool = False
    ours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole status. ``agent`` says whether the agent runs; ``drift`` are the units that are not as wanted.

    ``generation`` is in force, ``wanted_generation`` was compiled last from the documents; 0 is none. ``taken_over_by``
    is the program that started the services of this boot, ``""`` before that. ``instructions`` are the holds, the pause
    and the pin of administrators.
    """

    state: AgentState = AgentState.STARTING
    agent: bool = False
    generation: int = 0
    hash: str = ""
    wanted_generation: int = 0
    wanted_hash: str = ""
    source: SourceState = field(default_factory=SourceState)
    conditions: tuple[StatusCondition, ...] = ()
    units: tuple[UnitStatus, ...] = ()
    drift: tuple[str, ...] = ()
    taken_over_by: str = ""
    instructions: tuple[StandingInstruction, ...] = ()

    @property
    def faulty(self) -> bool:
        """Return whether the machine is not as the documents want it, also while an apply runs or is paused."""
        bad_state = self.state in (AgentState.DEGRADED, AgentState.ROLLED_BACK)
        return bad_state or any(condition.fault for condition in self.conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsOfLastApply:
    """The part of the last apply that is about one unit; ``started`` (ISO 8601, UTC) is the time of the apply."""

    stops: tuple[Job, ...] = ()
    jobs: tuple[Job, ...] = ()
    notes: tuple[Note, ...] = ()
    verdicts: tuple[UnitVerdict, ...] = ()
    generation: int = 0
    started: str = ""
    origin: ChangeOrigin = field(default_factory=ChangeOrigin)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitExplanation:
    """Everything that the agent knows about a unit, a path or a pointer.

    ``unit`` is "" and ``state`` None if ``about`` leads to no unit; ``member`` and ``status`` are None if the documents
    do not configure it. ``artifacts`` are paths, ``provenance`` is a part of `Generation.provenance`. ``actual`` are
    the values of the machine by pointer, ``differs`` the pointers whose value is not as the documents want it.
    """

    about: str
    unit: str = ""
    item: str = ""
    generation: int = 0
    member: Member | None = None
    state: UnitState | None = None
    status: UnitStatus | None = None
    artifacts: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    last: StepsOfLastApply = field(default_factory=StepsOfLastApply)
    actual: Mapping[str, str] = field(default_factory=dict)
    differs: tuple[str, ...] = ()
