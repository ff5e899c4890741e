"""The part of plans, verdicts and the status that users other than root may see.

Left out are values of documents, and lines of the journal, which only root may read. Names of units, files, keys and
places in documents are shown. systemd itself shows the settings of units to everybody, but not the contents of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ordain.agent.condition import StatusCondition
from ordain.agent.model import Change, FileChange, Job, Outcome, Plan, UnitVerdict
from ordain.agent.status import Status, UnitExplanation
from ordain.transforms.errors import Problem

ASK_ROOT = "root can see more with `ordainctl status`"


def public_plan(plan: Plan) -> Plan:
    """Return a plan without the old and new values of what changes."""
    return replace(
        plan,
        stops=_jobs(plan.stops),
        jobs=_jobs(plan.jobs),
        files=tuple(_file(file) for file in plan.files),
        changes=_changes(plan.changes),
        settings=_changes(plan.settings),
        problems=tuple(_problem(problem) for problem in plan.problems),
    )


def public_verdict(verdict: UnitVerdict) -> UnitVerdict:
    """Return a verdict without the line of the journal that its text quotes."""
    return replace(verdict, what=verdict.public or verdict.what, public="")


def public_reason(outcome: Outcome) -> str:
    """Return the reason of a rollback: the units that failed."""
    names = [verdict.unit for verdict in outcome.verdicts if verdict.blamed]
    return f"{', '.join(names)}: failed; {ASK_ROOT}" if names else ASK_ROOT


def public_status(status: Status) -> Status:
    """Return a status whose conditions quote neither documents nor the journal."""
    return replace(status, conditions=tuple(public_condition(condition) for condition in status.conditions))


def public_condition(condition: StatusCondition) -> StatusCondition:
    """Return a condition with the text for everybody."""
    return replace(condition, what=condition.public, hint=ASK_ROOT, public="") if condition.public else condition


def public_explanation(explanation: UnitExplanation) -> UnitExplanation:
    """Return an explanation without values: of changes, of the machine, of checks, and of overridden layers."""
    last = explanation.last
    return replace(
        explanation,
        member=replace(explanation.member, health=None, check=()) if explanation.member else None,
        actual={},
        provenance={pointer: _without_values(entry) for pointer, entry in explanation.provenance.items()},
        last=replace(
            last,
            stops=_jobs(last.stops),
            jobs=_jobs(last.jobs),
            verdicts=tuple(public_verdict(verdict) for verdict in last.verdicts),
        ),
    )


def _without_values(entry: Any) -> Any:
    """Return an entry of `Generation.provenance` without the values that other layers or Transforms have there."""
    if isinstance(entry, Mapping):
        return {key: _without_values(value) for key, value in entry.items() if key != "value"}
    return [_without_values(item) for item in entry] if isinstance(entry, (list, tuple)) else entry


def _jobs(jobs: Iterable[Job]) -> tuple[Job, ...]:
    return tuple(replace(job, changes=_changes(job.changes)) for job in jobs)


def _file(file: FileChange) -> FileChange:
    return replace(file, changes=_changes(file.changes))


def _changes(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(replace(change, old=(), new=()) for change in changes)


def _problem(problem: Problem) -> Problem:
    return replace(problem, what=ASK_ROOT, hint="")
