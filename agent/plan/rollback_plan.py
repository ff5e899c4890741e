"""The way back after an apply that failed: what the planner says, and the units run that ran before; pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ordain.agent.model import Generation, Job, Observed, Plan, Verb

_RAN = "ran before the apply"
_RAN_NOT = "did not run before the apply"


def rollback_plan(planned: Plan, old: Generation, observed: Observed, running: Collection[str]) -> Plan:
    """``planned``, which leads back to ``old``, so that afterwards those of its units run that are in ``running``.

    A unit that the apply started stops, and a finished oneshot is not run once more; one that the apply took down
    without a change of its own comes back.
    """
    jobs = [job for job in planned.jobs if job.unit in running]
    awake = [job for job in planned.jobs if job.unit not in running and _runs(observed, job.unit)]
    stopping = {job.unit for job in planned.stops}
    stops = [
        replace(job, verb=Verb.STOP, reason=f"{_RAN_NOT}; {job.reason}") for job in awake if job.unit not in stopping
    ]
    known = {job.unit for job in jobs}
    items = {member.unit: member.item for member in old.members}
    jobs += [
        Job(unit=unit, verb=Verb.START, reason=_RAN, item=items[unit])
        for unit in sorted(running)
        if unit in items and unit not in known and (unit in stopping or not _runs(observed, unit))
    ]
    return replace(planned, stops=(*planned.stops, *stops), jobs=tuple(jobs))


def _runs(observed: Observed, unit: str) -> bool:
    return observed.unit(unit).running
