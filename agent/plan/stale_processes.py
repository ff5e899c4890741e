"""Processes that are older than their definition: what each of them does not have yet; pure.

    Applied (before), the changes of an apply, InvocationIDs ──record──▶ Applied (now) ──waits──▶ Observed.waits

A process has the definition it was started with, but for what the reload of the manager or its own reload brought it.
PID 1 does not tell: NeedDaemonReload is blind for generated units, and ``no`` after a reload anyway. So it is kept with
the process, by its InvocationID: another process, started by whomever since, has all of the definition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ordain.agent.model import Applied, AppliedUnit, Change, Effect, Job, Plan, UnitState, Verb
from ordain.agent.plan.directive_effects import effect

_ACTS = frozenset({Effect.RELOAD, Effect.RESTART})


def pending_changes(applied: Applied | None, invocations: Mapping[str, str]) -> dict[str, tuple[Change, ...]]:
    """What the processes of ``invocations``, by unit, do not have yet."""
    found = applied.units if applied else {}
    return {
        unit: found[unit].waits
        for unit, invocation in invocations.items()
        if unit in found and found[unit].waits and found[unit].invocation_id == invocation
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
    """What runs after an apply.

    ``hashes``: the definitions now, by unit. ``reloaded``: the InvocationID that the units had when PID 1 read their
    new definitions, ``running``: those they have now. ``done``: the jobs that went well.
    """
    brought = {job.unit: job for job in done if job.verb is Verb.RELOAD}
    changes: dict[str, list[Change]] = {}
    for change in plan.changes:
        changes.setdefault(change.unit, []).append(change)
    found = {}
    for unit, invocation in running.items():
        was = before.units.get(unit) if before else None
        same = was if was and was.invocation_id == invocation else None
        waiting: tuple[Change, ...] = ()
        if invocation == reloaded.get(unit, same and same.invocation_id):
            waiting = merge_pending(same.waits if same else (), changes.get(unit, ()))
            if unit in brought:
                waiting = ()
        found[unit] = AppliedUnit(
            hash=same.hash if same and waiting else hashes.get(unit, ""), invocation_id=invocation, waits=waiting
        )
    return found


def affected_units(plan: Plan) -> frozenset[str]:
    """The units that get a job, or that change so that a process would have to know."""
    changed = {change.unit for change in plan.changes if change.effect in _ACTS}
    return frozenset(changed | {job.unit for job in plan.jobs})


def merge_pending(waiting: Iterable[Change], changes: Iterable[Change]) -> tuple[Change, ...]:
    """What waits after ``changes`` came on top; what was taken back waits no more, nor what no process has to hear."""
    found = {(change.section, change.key): change for change in waiting}
    for change in changes:
        at = change.section, change.key
        if at in found:
            first = found[at].old
            needs = effect(change.section, change.key, first, change.new) if change.section else change.effect
            change = replace(change, old=first, effect=needs)
        found[at] = change
    return tuple(found[at] for at in sorted(found) if found[at].effect in _ACTS and found[at].old != found[at].new)


def restart_if_running(jobs: Iterable[Job], states: Mapping[str, UnitState]) -> tuple[Job, ...]:
    """``jobs`` after the reload: a start of what someone started meanwhile, with the old definition, is a restart."""
    return tuple(
        replace(job, verb=Verb.RESTART, reason=f"{job.reason}; someone had started it with its old definition")
        if job.verb is Verb.START
        and job.unit.endswith(".service")
        and any(change.effect in _ACTS for change in job.changes)
        and job.unit in states
        and states[job.unit].running
        else job
        for job in jobs
    )
