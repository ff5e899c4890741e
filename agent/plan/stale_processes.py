"""Processes that are older than the definition of their unit, and the changes that they do not have yet.

    Applied (before), changes of an apply, InvocationIDs ──applied_units──▶ Applied (now) ──pending_changes──▶ Observed

A process has the definition with which it was started, plus the changes that a reload of the manager or its own reload
brought. PID 1 does not tell the difference: NeedDaemonReload ignores generated units, and is ``no`` after a reload
anyway. So the agent records the missing changes with the InvocationID of the process. A process with another
InvocationID, whoever started it, has the whole definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ordain.agent.model import Applied, AppliedUnit, Change, Effect, Job, Plan, UnitState, Verb
from ordain.agent.plan.changes.directive_effects import effect

_ACTS = frozenset({Effect.RELOAD, Effect.RESTART})


def pending_changes(applied: Applied | None, invocations: Mapping[str, str]) -> dict[str, tuple[Change, ...]]:
    """Return, by unit, the changes that the processes of ``invocations`` do not have yet."""
    recorded = applied.units if applied else {}
    return {
        unit: recorded[unit].waits
        for unit, invocation in invocations.items()
        if unit in recorded and recorded[unit].waits and recorded[unit].invocation_id == invocation
    }


def applied_units(
    before: Applied | None,
    plan: Plan,
    *,
    hashes: Mapping[str, str],
    reloaded: Mapping[str, str],
    running: Mapping[str, str],
    done: Iterable[Job],
) -> dict[str, AppliedUnit]:
    """Return the record of the processes that run after an apply.

    ``hashes`` are the current definitions, by unit. ``reloaded`` are the InvocationIDs that the units had when PID 1
    read their new definitions, ``running`` those that they have now. ``done`` are the jobs that succeeded.
    """
    reloads = {job.unit: job for job in done if job.verb is Verb.RELOAD}
    changes: dict[str, list[Change]] = {}
    for change in plan.changes:
        changes.setdefault(change.unit, []).append(change)
    units = {}
    for unit, invocation in running.items():
        recorded = before.units.get(unit) if before else None
        same = recorded if recorded and recorded.invocation_id == invocation else None
        waiting: tuple[Change, ...] = ()
        if invocation == reloaded.get(unit, same and same.invocation_id):
            waiting = merge_pending(same.waits if same else (), changes.get(unit, ()))
            if unit in reloads:
                waiting = ()
        units[unit] = AppliedUnit(
            hash=same.hash if same and waiting else hashes.get(unit, ""), invocation_id=invocation, waits=waiting
        )
    return units


def affected_units(plan: Plan) -> frozenset[str]:
    """Return the units that get a job, or whose processes need a reload or restart for a change to take effect."""
    changed = {change.unit for change in plan.changes if change.effect in _ACTS}
    return frozenset(changed | {job.unit for job in plan.jobs})


def merge_pending(waiting: Iterable[Change], changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return the changes that a process lacks after ``changes`` were added to those that were ``waiting``.

    A change that was undone is left out, and so is one that needs neither a reload nor a restart.
    """
    merged = {(change.section, change.key): change for change in waiting}
    for change in changes:
        key = change.section, change.key
        if key in merged:
            first = merged[key].old
            needs = effect(change.section, change.key, first, change.new) if change.section else change.effect
            change = replace(change, old=first, effect=needs)
        merged[key] = change
    return tuple(merged[key] for key in sorted(merged) if merged[key].effect in _ACTS and _differs(merged[key]))


def _differs(change: Change) -> bool:
    return change.old != change.new


def restart_if_running(jobs: Iterable[Job], states: Mapping[str, UnitState]) -> tuple[Job, ...]:
    """Return ``jobs``, with a restart in place of each start of a service that was started before the reload.

    Such a service has its old definition: somebody else started it while the apply was running.
    """
    return tuple(
        replace(job, verb=Verb.RESTART, reason=f"{job.reason}; somebody else started it with its old definition")
        if job.verb is Verb.START
        and job.unit.endswith(".service")
        and any(change.effect in _ACTS for change in job.changes)
        and job.unit in states
        and states[job.unit].running
        else job
        for job in jobs
    )
