"""The plan to roll back an apply that failed: that of the planner, corrected so that the same units run as before."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ordain.agent.model import Generation, Job, Observed, Plan, Verb

_RAN = "ran before the apply"
_DID_NOT_RUN = "did not run before the apply"


def rollback_plan(
    planned: Plan, old: Generation, observed: Observed, running: Collection[str], stopped: Collection[str] = ()
) -> Plan:
    """Return ``planned``, which leads back to ``old``, changed so that exactly the units in ``running`` run afterwards.

    A unit that the apply started is stopped, and a oneshot that has run is not run again. A unit that the apply
    stopped although it did not change is started, and so is one of ``stopped``: PID 1 has stopped it along.
    """
    jobs = [job for job in planned.jobs if job.unit in running]
    started = [job for job in planned.jobs if job.unit not in running and _runs(observed, job.unit)]
    stopping = {job.unit for job in planned.stops}
    stops = [
        replace(job, verb=Verb.STOP, reason=f"{_DID_NOT_RUN}; {job.reason}")
        for job in started
        if job.unit not in stopping
    ]
    known = {job.unit for job in jobs}
    items = {member.unit: member.item for member in old.members}
    jobs += [
        Job(unit=unit, verb=Verb.START, reason=_RAN, item=items[unit])
        for unit in sorted(running)
        if unit in items and unit not in known and (unit in stopping or not _runs(observed, unit))
    ]
    known |= items.keys()
    jobs += [Job(unit=unit, verb=Verb.START, reason=_RAN) for unit in sorted({*stopped} & {*running} - known)]
    return replace(planned, stops=(*planned.stops, *stops), jobs=tuple(jobs))


def _runs(observed: Observed, unit: str) -> bool:
    return observed.unit(unit).running
