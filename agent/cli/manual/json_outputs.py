"""For each command with --json, the shape of its output: a table that the reference page and the tests read."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, cast

from ordain.agent import condition, model, status
from ordain.agent.cli import json_shapes as shapes
from ordain.agent.cli.machine.doctor import DoctorFinding
from ordain.agent.daemon.status.boot_chart import BootChart
from ordain.agent.delivery.fleet.fleet_holds import FleetHold
from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.rollout_policy import RolloutState
from ordain.agent.delivery.fleet.rollout_progress import MachineCounts
from ordain.agent.delivery.identity.enrollment import Voucher
from ordain.agent.delivery.identity.machine_record import EnrollmentRequest, FleetRecord, MachineRecord
from ordain.agent.delivery.release.change_log import StoreChange, StorePolicy
from ordain.agent.instruction import Instruction
from ordain.agent.netboot.machine_records import NetbootEvent
from ordain.agent.plan.explain import Explanation
from ordain.agent.server.relay.relay_state import RelayState
from ordain.agent.state.history_events import HistoryEvent
from ordain.agent.state.store import HistoryEntry
from ordain.transforms.model import Facts, Member


def _joined(name: str, text: str, kind: Any, more: Mapping[str, Any]) -> Any:
    """Return the shape of an object that has the fields of a dataclass and some more."""
    made = cast(Any, TypedDict)(name, typing.get_type_hints(kind) | dict(more))
    made.__doc__ = text
    return made


IDENTIFIED_MACHINE = _joined(
    "IdentifiedMachine",
    f"{MachineRecord.__doc__}\n\n``key-id`` is the short name of the key.",
    MachineRecord,
    {"key-id": str},
)
IDENTITY_REQUEST = _joined(
    "IdentityRequest",
    f"{EnrollmentRequest.__doc__}\n\n``key-id`` is the short name of the key.",
    EnrollmentRequest,
    {"key-id": str, "voucher": Voucher},
)
NAMED = {
    kind.__name__: kind
    for kind in (
        NetbootEvent,
        condition.StatusCondition,
        FleetRecord,
        HistoryEvent,
        IDENTIFIED_MACHINE,
        MachineCounts,
        Member,
        model.Outcome,
        model.PackageChange,
        RolloutState,
        StoreChange,
        FleetHold,
        shapes.JsonArtifact,
        status.StepsOfLastApply,
        status.UnitStatus,
        model.UnitState,
    )
}
"""The classes that `json_shapes.JsonOf` may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonOutput:
    """One shape of an output: an object with the fields of all ``parts``; if ``many``, a list of such objects.

    Without ``parts``, it is any JSON data. ``optional``: it may be null. ``when`` says when a command prints this one
    of its shapes. ``by_name``: an object whose values are such objects. ``hyphens``: keys have - for _.
    """

    parts: tuple[Any, ...] = ()
    many: bool = False
    by_name: bool = False
    optional: bool = False
    hyphens: bool = False
    when: str = ""
    what: str = ""


def _one(*parts: Any, **more: Any) -> tuple[JsonOutput, ...]:
    return (JsonOutput(parts=parts, **more),)


def _many(*parts: Any) -> tuple[JsonOutput, ...]:
    return (JsonOutput(parts=parts, many=True),)


OUTCOME_OR_NULL = _one(model.Outcome, optional=True, what="null: there was nothing to do")
OUTPUTS: Mapping[str, tuple[JsonOutput, ...]] = {
    "validate": _one(shapes.JsonValidation),
    "test": _one(shapes.JsonTestRun),
    "render": (
        JsonOutput(parts=(shapes.JsonRendered,)),
        JsonOutput(parts=(shapes.JsonRenderedForAll,), when="with --all-os"),
        JsonOutput(parts=(shapes.JsonBootScript,), when="with --netboot"),
    ),
    "match": _many(shapes.JsonLayerMatch),
    "packages": _one(shapes.JsonPackages),
    "schema": _one(what="the JSON Schema (draft 2020-12)"),
    "image": _one(shapes.JsonImage),
    "netboot images": _many(shapes.JsonNetbootImage),
    "netboot prune": _one(shapes.JsonPrunedImages),
    "netboot status": _many(shapes.JsonNetbootMachine),
    "status": _one(status.Status),
    "watch": _one(status.Status, what="one line for each change"),
    "show": _one(shapes.JsonMergedDocument),
    "explain": (
        JsonOutput(parts=(Explanation, shapes.JsonExplanationMore)),
        JsonOutput(parts=(shapes.JsonBlockedSubject,), when="of a blocked item"),
    ),
    "history": _many(HistoryEntry, shapes.JsonHistoryMore),
    "diff": _many(model.Change),
    "facts": _one(Facts, hyphens=True),
    "doctor": _many(DoctorFinding),
    "boot-chart": _one(BootChart),
    "plan": _one(model.Plan),
    "apply": _one(model.Outcome),
    "rollback": _one(model.Outcome),
    "follow": (
        JsonOutput(parts=(status.Status,)),
        *(dataclasses.replace(o, when="with UNIT") for o in OUTCOME_OR_NULL),
    ),
    "hold": _one(model.Hold, shapes.JsonHeldUnit),
    "unhold": OUTCOME_OR_NULL,
    "pause": _one(Instruction),
    "documents list": _many(shapes.JsonStoredDocument),
    "documents get": _one(shapes.JsonDocumentText),
    "documents put": _one(shapes.JsonDocumentWrite),
    "documents delete": _one(shapes.JsonDocumentWrite),
    "documents history": _many(shapes.JsonDocumentVersion),
    "documents diff": _many(shapes.JsonDocumentDifference),
    "store check": _one(shapes.JsonStoreCheck),
    "store policy": _one(StorePolicy),
    "release verify": _one(shapes.JsonReleaseVerification),
    "release rollout": _one(shapes.JsonRollout, what="with --watch, again after each change"),
    "release list": _many(shapes.JsonReleaseManifest, shapes.JsonReleaseMore),
    "release show": _one(shapes.JsonReleaseManifest),
    "release prune": _one(shapes.JsonPrunedReleases),
    "fleet status": _many(MachineReport, shapes.JsonReportMore),
    "fleet show": _one(MachineReport),
    "fleet hold": _one(FleetHold),
    "fleet allow": _one(list[str], optional=True, what="the list of machines; null: there is none"),
    "fleet discovered": _many(shapes.JsonNetbootMachine),
    "fleet relay": _one(RelayState),
    "fleet adopt": _one(shapes.JsonAdopted),
    "fleet approve": _many(IDENTITY_REQUEST),
    "fleet identity": _one(shapes.JsonIdentities),
    "secret list": _many(shapes.JsonSealedSecret),
    "query changes": _many(StoreChange),
    "query documents": _many(shapes.JsonFoundDocument),
    "query machines": _many(shapes.JsonFoundMachine),
    "run render": (
        JsonOutput(parts=(shapes.JsonScripts,)),
        JsonOutput(parts=(shapes.JsonScriptText,), by_name=True, when="with --all-systems"),
    ),
    "run submit": _many(shapes.JsonJob),
    "run status": _many(shapes.JsonJob),
    "run wait": _many(shapes.JsonJob),
    "run systems": _many(shapes.JsonRunSystem),
}
"""By command."""
REFUSAL = JsonOutput(parts=(shapes.JsonRefusal,))
"""The output of every command whose documents are refused."""


def fields_of(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Return the fields of a dataclass or TypedDict: the type of each, and whether it is always there."""
    hints = typing.get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        return {field.name: (hints[field.name], True) for field in dataclasses.fields(kind)}
    # `__required_keys__` does not see `NotRequired` in annotations that are texts.
    return {
        name: (typing.get_args(hint)[0], False)
        if typing.get_origin(hint) is typing.NotRequired
        else (hint, bool(kind.__total__))
        for name, hint in hints.items()
    }


def is_record(kind: Any) -> bool:
    """Return whether a type is that of an object with fixed keys."""
    return dataclasses.is_dataclass(kind) or typing.is_typeddict(kind)


def named(kind: Any) -> Any:
    """Return the class that an `Annotated` type names with `JsonOf`; any other type as it is."""
    for mark in getattr(kind, "__metadata__", ()):
        if isinstance(mark, shapes.JsonOf):
            return NAMED[mark.name]
    return kind
