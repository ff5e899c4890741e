"""The values of an apply: the observed machine, the plan, and the outcome. All are frozen.

    Generation, Observed ──plan──▶ Plan ──apply──▶ Outcome

The commands ``plan``, ``apply``, ``history`` and ``explain`` and the D-Bus API all use the same `Plan`. `to_json` turns
every value here into JSON data, and `json_codec.from_json` reads it back.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ordain.agent.condition import StatusCondition
from ordain.agent.instruction import Instruction
from ordain.transforms.artifacts import Artifact
from ordain.transforms.errors import Problem
from ordain.transforms.model import Member
from ordain.transforms.package_set import NO_PACKAGES, PackageSet
from ordain.transforms.render.cause_comments import Cause

RawDocument = tuple[str, bytes]
"""A document as it was delivered: the path that problems show, and the bytes."""
RawDocuments = tuple[RawDocument, ...]


def to_json(value: object) -> Any:
    """Return a value of this module as JSON data: fields keep their names, tuples become lists."""
    if value is None or isinstance(value, (str, int)):  # first, because most values are of these types
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
    """An immutable set of a resolved document and artifacts, with a checksum.

    ``hash`` (hex) identifies the generation, ``number`` is for people. ``document`` and ``provenance`` are JSON data;
    the keys ``transforms/…`` in ``provenance`` are the rows of the transformation database that were used.
    ``transforms`` is the hash of that database, for people. Number 0 with an empty hash means that nothing was ever
    applied.
    """

    number: int = 0
    hash: str = ""
    artifacts: tuple[Artifact, ...] = ()
    members: tuple[Member, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    transforms: str = ""
    packages: PackageSet = NO_PACKAGES


RUNNING = frozenset({"active", "activating", "reloading", "refreshing"})
"""The values of ActiveState of a unit that runs or is being started.

They are those of UNIT_IS_ACTIVE_OR_ACTIVATING in systemd's src/core/unit.h. A service is ``refreshing``
(since 257) while systemd updates its extension images or its credentials; its processes run on and do not notice.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitState:
    """The state of a unit in PID 1, with the values in systemd's spelling (org.freedesktop.systemd1(5))."""

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
    # The end of the unit; only for units that do not run. Times count from the boot, except inactive_enter_usec.
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
    """The mildest action with which a changed key takes effect."""

    NOTHING = "nothing"
    MANAGER = "manager"  # the reload of the manager
    RELOAD = "reload"
    RESTART = "restart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A difference in one unit between two generations: ``[section] key`` changes from ``old`` to ``new`` values.

    For a file that the unit reads, ``section`` is ``""``, ``key`` is the path, and the values are hashes. ``artifact``
    is the file that sets the key, and ``causes`` are the places in the documents that ask for it; for a removed key,
    those that asked for it.
    """

    unit: str
    section: str = ""
    key: str = ""
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    effect: Effect = Effect.RESTART
    artifact: str = ""
    causes: tuple[Cause, ...] = ()


ChangesByUnit = dict[str, tuple[Change, ...]]
"""Changes by unit."""
NO_CHANGES: ChangesByUnit = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(Instruction):
    """An administrator's hold (`state.holds`): no apply changes the unit, or the socket or timer that starts it.

    ``stopped``: they did not run when the hold began, and no boot starts them. ``unmask``: the unit is not masked,
    although the documents mask it.
    """

    stopped: bool = False
    unmask: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The running machine: the state of units, by name, and the reasons not to touch them.

    ``waits`` are the changes that the processes of running units do not have. ``protected`` has the roles of units that
    nobody expects to be stopped. ``released`` units get their wanted state back even if an administrator changed it.
    ``lost`` units were stopped because the source is lost, ``overdue`` units have to be. ``kept_out`` and ``keeps_out``
    are the units that the old and the new generation keep out in addition to their members
    (`apply.deviations.kept_out_units`).
    ``hidden`` are units of ours that a unit file of somebody else replaces, each with the path of that file.
    ``outdated`` are the changes of unit files of somebody else that running units do not have (their ``artifact`` is
    the path of the file).
    ``displaced`` are the placed files that somebody has changed (`apply.differences.read_back`), each with the changes
    back.
    ``left_over`` are files and accounts that no document has any more, and that could not be removed.
    ``dependents`` are the units that PID 1 stops and restarts together with a unit, for those units that it was asked
    about; ``relations`` are other dependencies, by unit and by their names in PID 1. ``restart_stops``: along
    PropagatesStopTo=, this PID 1 stops units for a restart, too, and not for a conflict (after 252).
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
    hidden: Mapping[str, str] = field(default_factory=dict)
    outdated: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    displaced: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    left_over: frozenset[str] = frozenset()
    dependents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    relations: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    restart_stops: bool = False

    def unit(self, name: str) -> UnitState:
        """Return the state of ``name``; a unit that PID 1 does not know is not-found and inactive."""
        return self.units.get(name) or UnitState(name=name)


class Verb(StrEnum):
    """The types of job."""

    STOP = "stop"
    START = "start"
    RESTART = "restart"
    RELOAD = "reload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job with its reason and the changes that cause it.

    PID 1 queues it by itself together with that of the unit ``together_with``, if that is set.
    """

    unit: str
    verb: Verb
    reason: str
    item: str = ""
    changes: tuple[Change, ...] = ()
    together_with: str = ""


class FileAction(StrEnum):
    """The ways in which a file differs between two generations."""

    NEW = "new"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """A file that is placed, replaced or restored.

    ``changes`` are those of its content, mode and owner, without the content of secrets; their ``unit`` is the path, or
    the item of a network device that somebody has changed and that its program reads the file again for.
    ``causes`` is the place in the documents that the file exists, or existed, for.
    """

    path: str
    what: FileAction
    item: str = ""
    changes: tuple[Change, ...] = ()
    causes: tuple[Cause, ...] = ()


class PackageAction(StrEnum):
    """The changes of a package."""

    INSTALL = "install"
    REMOVE = "remove"
    HOLD = "hold"
    UNHOLD = "unhold"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """A package that is installed, removed or held by the package manager of the system.

    ``version`` is "" if the lists of the repositories that the machine has do not name it. ``item`` is its entry in the
    documents, "" for a package that comes along with others.
    """

    name: str
    action: PackageAction
    version: str = ""
    item: str = ""


class NoteReason(StrEnum):
    """The reasons to leave a unit alone."""

    HELD = "held"  # by `ordainctl hold`
    MASKED = "masked"  # by an administrator
    HIDDEN = "hidden"  # by a unit file of an administrator, or a transient unit
    STOPPED = "stopped"  # on request, or together with a unit that it is bound to
    STARTED = "started"  # by an administrator, against the documents
    ENDED = "ended"  # by itself, or killed from outside, without a failure
    FAILED = "failed"
    DONE = "done"  # a oneshot that has run
    REBOOT = "reboot"  # its changes take effect at the next boot
    LOST = "lost"  # stopped because of on-source-loss
    LATER = "later"  # its changes take effect at its next start
    OUTDATED = "outdated"  # somebody else has changed its unit file since it was started
    BUSY = "busy"  # the apply that is under way has a job for it
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A unit that is left alone although the documents configure it, and the reason (a hold, a mask, …)."""

    unit: str
    what: str
    item: str = ""
    why: NoteReason = NoteReason.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The jobs that lead from the observed to the wanted state.

    ``stops`` run first, with the old definitions. Then, if ``reload`` is set, one reload of the manager places the new
    generation, and the ``files`` are placed. Then ``jobs`` are queued together. ``consequences`` are the jobs that
    PID 1 does by itself because of both; they are not waited for, and not judged. ``settings`` are changed values of
    documents that no line of a unit or file has. ``removed`` are the entries that the documents in force have and the
    new ones do not. ``packages`` are changed before all of this, and not rolled back. ``problems`` are the blocked
    items and the warnings of the compile.
    """

    from_hash: str = ""
    to_hash: str = ""
    reload: bool = False
    stops: tuple[Job, ...] = ()
    jobs: tuple[Job, ...] = ()
    consequences: tuple[Job, ...] = ()
    files: tuple[FileChange, ...] = ()
    changes: tuple[Change, ...] = ()
    settings: tuple[Change, ...] = ()
    notes: tuple[Note, ...] = ()
    removed: tuple[str, ...] = ()
    packages: tuple[PackageChange, ...] = ()
    problems: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self.reload or self.stops or self.jobs or self.files or self.packages)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitVerdict:
    """The result of an apply for one unit: ``ok`` or not, a description, and the job's result in systemd's spelling.

    ``blamed``: the apply caused the failure and is rolled back. It is not set for a unit that had failed before or that
    is still starting. ``public`` is the description for users other than root, if ``what`` quotes a program or its
    journal; "" if it is the same.
    """

    unit: str
    ok: bool
    what: str
    result: str = ""
    blamed: bool = False
    public: str = ""


class ChangeCause(StrEnum):
    """The events that lead to an apply."""

    DOCUMENTS = "documents"  # the source or the machine has changed
    APPLY = "apply"  # `ordainctl apply`
    FILE = "apply FILE"
    ROLLBACK = "rollback"
    FOLLOW = "follow"  # of a unit, or the end of its hold or of a pause
    HOLD = "hold"  # of a unit
    PAUSE = "pause"
    UPKEEP = "upkeep"  # drift that is enforced, a secret that has changed, the loss of the source
    UNKNOWN = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedDocument:
    """A document that a change comes from; ``owner`` and ``changed`` (ISO 8601, UTC) only of a local file."""

    path: str
    owner: str = ""
    changed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeOrigin:
    """The origin of a change: ``by`` is the user who asked for it, ``revision`` that of a remote source.

    ``why`` is the reason that the user gave.
    """

    cause: ChangeCause = ChangeCause.UNKNOWN
    by: str = ""
    why: str = ""
    revision: str = ""
    documents: tuple[ChangedDocument, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of an apply, with the ``exit_status`` of the contract (docs/design/contract.md, rule 24).

    ``generation`` and ``hash`` are in force now. After a rollback, ``rejected`` is the number of the generation that
    failed, ``why`` its fault, ``back`` the plan of the rollback, and ``back_verdicts`` its results. ``confirm_by`` is
    the local time of the rollback unless the apply is confirmed, ``""`` if it needs no confirmation.
    ``left`` are the differences from the documents that were found after the apply; none are read after a rollback.
    ``caller`` is the process that asked for the apply, 0 if nobody did.
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
    left: tuple[StatusCondition, ...] = ()
    origin: ChangeOrigin = field(default_factory=ChangeOrigin)
    caller: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedUnit:
    """A process by its InvocationID, the definition that it has (`PlacedUnit.hash`), and the changes that it lacks."""

    hash: str
    invocation_id: str
    waits: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """The generation that was applied last in this boot, and its processes by unit."""

    number: int
    hash: str
    units: Mapping[str, AppliedUnit] = field(default_factory=dict)
