"""The frozen values of reconciling: what is observed, what is planned, what came of it.

    Generation, Observed ─plan─▶ Plan ─act─▶ Outcome

A `Plan` is one object for ``plan``, ``apply``, ``history``, ``explain`` and the D-Bus API; every value
here has ``to_json``.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ordain.transforms.artifacts import Artifact
from ordain.transforms.errors import Problem
from ordain.transforms.model import Member
from ordain.transforms.render.provenance import SourceLocation

RawDocument = tuple[str, bytes]
"""A document as it was delivered: the path that problems show, and the bytes."""
RawDocuments = tuple[RawDocument, ...]


def to_json(value: object) -> Any:
    """Any value of this module as JSON data: field names stay, tuples become lists."""
    if value is None or isinstance(value, (str, int)):  # most of what there is
        return value
    if isinstance(value, (tuple, list, frozenset)):
        return [to_json(v) for v in value]
    if names := _field_names(type(value)):  # type: ignore[arg-type] # python/mypy#11470
        return {name: to_json(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    return value


@functools.cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """An immutable, checksummed set of resolved document and artifacts.

    ``hash`` is its identity (hex), ``number`` is for people. ``document`` and ``provenance`` are JSON data;
    ``provenance`` has the rules of the transformation database that went into it under ``transforms/…``.
    ``transforms`` is the hash of that database as it was, for people: what came of it is in the artifacts.
    Number 0 with an empty hash is "nothing was ever applied".
    """

    number: int = 0
    hash: str = ""
    artifacts: tuple[Artifact, ...] = ()
    members: tuple[Member, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    transforms: str = ""


RUNNING = frozenset({"active", "activating", "reloading", "refreshing"})
"""The values of ActiveState of a unit that runs or is being started.

They are those of UNIT_IS_ACTIVE_OR_ACTIVATING in systemd's src/core/unit.h. A service is ``refreshing``
(since 257) while systemd updates its extension images or its credentials; its processes run on and do not notice.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """One unit as PID 1 has it; the spelling of values is systemd's (org.freedesktop.systemd1(5))."""

    name: str
    load_state: str = "not-found"
    active_state: str = "inactive"
    sub_state: str = "dead"
    unit_file_state: str = ""
    fragment_path: str = ""
    drop_in_paths: tuple[str, ...] = ()
    result: str = ""
    main_pid: int = 0
    n_restarts: int = 0
    invocation_id: str = ""
    condition_result: bool = True
    can_reload: bool = False
    start_timeout_usec: int = 0
    stop_timeout_usec: int = 0
    triggered_by: tuple[str, ...] = ()
    # How it came to its end; only of one that does not run. Times count from the boot, but for inactive_enter_usec.
    exec_main_code: int = 0
    exec_main_status: int = 0
    main_exit_usec: int = 0
    active_exit_usec: int = 0
    inactive_enter_usec: int = 0

    @property
    def running(self) -> bool:
        """Return whether the unit runs or is being started (`RUNNING`)."""
        return self.active_state in RUNNING


class Effect(StrEnum):
    """The mildest thing that makes a changed key real."""

    NOTHING = "nothing"
    MANAGER = "manager"  # the reload of the manager is enough
    RELOAD = "reload"
    RESTART = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A difference between two generations in one unit: ``[section] key`` from ``old`` to ``new`` values.

    Of a file that the unit reads ``section`` is ``""``, ``key`` its path, and the values are its hash.

    ``artifact`` is the file it stands in, ``causes`` where the documents say so; of what goes, where they said it.
    """

    unit: str
    section: str = ""
    key: str = ""
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    effect: Effect = Effect.RESTART
    artifact: str = ""
    causes: tuple[SourceLocation, ...] = ()


ChangesByUnit = dict[str, tuple[Change, ...]]
"""By unit."""
NO_CHANGES: ChangesByUnit = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """An admin's lasting hold on a unit (`agent.state.holds`): no job of ours touches it, nor what starts it.

    ``stopped``: neither ran when it was held, and no boot starts them. ``unmask``: it is not masked, though the
    documents say so. ``since``: ISO 8601, UTC.
    """

    since: str = ""
    stopped: bool = False
    unmask: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The running machine: the units asked for, by name, and what stands against touching them.

    ``waits``: of running units what changed since their process started, and it does not have.
    ``protected``: the role of units that nobody expects to be stopped, in words.
    ``released``: units to be brought to what is wanted, even where an admin's hand is on them.
    ``lost``: units that were stopped as the source is lost, ``overdue`` those that are to be.
    ``kept_out``, ``keeps_out``: what the old and the new generation keep out besides their members (`kept_out_units`).
    """

    units: Mapping[str, UnitState] = field(default_factory=dict)
    waits: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    protected: Mapping[str, str] = field(default_factory=dict)
    released: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    overdue: frozenset[str] = frozenset()
    kept_out: tuple[Member, ...] = ()
    keeps_out: tuple[Member, ...] = ()

    def unit(self, name: str) -> UnitState:
        """The state of ``name``; one PID 1 never heard of is not-found and inactive."""
        return self.units.get(name) or UnitState(name=name)


class Verb(StrEnum):
    """What a job asks of PID 1."""

    STOP = "stop"
    START = "start"
    RESTART = "restart"
    RELOAD = "reload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job with its reason, and the changes that cause it."""

    unit: str
    verb: Verb
    reason: str
    item: str = ""
    changes: tuple[Change, ...] = ()


class FileAction(StrEnum):
    """The ways in which a file differs between two generations."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A file that is placed, replaced or restored."""

    path: str
    what: FileAction
    item: str = ""


class NoteReason(StrEnum):
    """Why a unit is left alone."""

    HELD = "held"  # ordainctl hold
    MASKED = "masked"  # by an admin
    STOPPED = "stopped"  # by an admin, or by what it is bound to
    STARTED = "started"  # by an admin, though the documents say otherwise
    ENDED = "ended"  # by itself, or killed by others, and well
    FAILED = "failed"
    DONE = "done"  # a oneshot has run
    REBOOT = "reboot"  # what changed is real at the next boot
    LOST = "lost"  # the source, for longer than on-source-loss says
    LATER = "later"  # what changed is real at its next start
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A unit that is left alone although the documents speak of it, and why (an admin's hold, a mask, …)."""

    unit: str
    what: str
    item: str = ""
    why: NoteReason = NoteReason.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The jobs that lead from the observed to the wanted state.

    ``stops`` run first, with the old definitions; then the new generation is placed by one reload of the
    manager, if ``reload``, and its ``files`` are; then ``jobs`` are queued together. ``problems`` is what the
    documents hold back or warn of.
    """

    from_hash: str = ""
    to_hash: str = ""
    reload: bool = False
    stops: tuple[Job, ...] = ()
    jobs: tuple[Job, ...] = ()
    files: tuple[FileChange, ...] = ()
    changes: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()
    problems: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.reload or self.stops or self.jobs or self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitVerdict:
    """What became of one unit: ``ok`` or not, in words, with the job's result as systemd spells it.

    ``blamed``: the apply did it, so it is gone back from; not what had failed before, or is still under way.
    """

    unit: str
    ok: bool
    what: str
    result: str = ""
    blamed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an apply came to; ``exit_status`` is the one of the contract (docs/design/contract.md, rule 24).

    ``generation`` and ``hash`` are in force now. If that is the one before again, ``back`` is the plan that led there,
    ``back_verdicts`` what came of it, and ``why`` what was wrong with ``rejected``, the number of the other one.
    ``confirm_by`` is when it goes back unless it is confirmed (HH:MM:SS), "" if it stays.
    """

    generation: int
    hash: str
    plan: Plan
    verdicts: tuple[UnitVerdict, ...] = ()
    persistent: bool = True
    exit_status: int = 0
    started: str = ""  # ISO 8601, UTC
    usec: int = 0
    rejected: int = 0
    why: str = ""
    back: Plan | None = None
    back_verdicts: tuple[UnitVerdict, ...] = ()
    confirm_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedUnit:
    """A process, by its InvocationID, and the definition it has (`Content.hash`); ``waits``: what came since."""

    hash: str
    invocation_id: str
    waits: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was applied last in this boot."""

    number: int
    hash: str
    units: Mapping[str, AppliedUnit] = field(default_factory=dict)
