"""Jobs for PID 1, and the result of each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from ordain.agent.model import Job, Observed, Verb
from ordain.agent.system.dbus.bus import BusError, pipelined
from ordain.agent.system.systemd.systemd1 import INVOCATION_ID, Systemd
from ordain.transforms.systemd.unit_name import TRIGGER_SUFFIXES

INFINITE_USEC = 2**64 - 1
LONGEST_SEC = 900.0
"""No job is waited for longer than this; PID 1 continues with it."""
GRACE_SEC = 10.0
"""Added to a unit's own timeout, which starts when its job runs; ours starts when the job is queued."""
DEFAULT_SEC = 90.0
"""For a unit whose timeout is not known: PID 1's own default (systemd-system.conf(5), DefaultTimeoutStartSec=)."""
AT_ONCE = 64
"""So many jobs are queued before the first answer is read; not more than `dbus_next_driver.IN_FLIGHT`."""
POLL_SEC = 0.1
"""The interval for asking if somebody else's job has ended: PID 1 announces that by a path that we do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """The end of one job: ``result`` as systemd spells it, "" if that is not known.

    ``refused`` says in plain words why PID 1 did not queue a job. ``taken_by`` is the type of somebody else's job that
    replaced ours, such as ``stop``.
    """

    job: Job
    result: str = ""
    refused: str = ""
    taken_by: str = ""


async def run_jobs(systemd: Systemd, jobs: Sequence[Job], observed: Observed) -> tuple[JobResult, ...]:
    """Queue all jobs, wait for all of them, and return their results.

    PID 1 orders jobs by After= and Before= only among those that are queued. It runs no job while there are calls to
    be read (manager.c: the event source of the run queue is idle), so the calls are sent in a row, behind one that
    keeps it busy for a while. After them PID 1 has a job for each unit that it restarts together with another.

    The start limit that a failed process used up must not stop a restart, nor a service that a started socket starts
    in its turn (257 keeps the count over a reload), so it is cleared before. A stopped unit must not stay in the list
    of failed units, where PID 1 would keep it even without a definition, so its failure is cleared after.
    """
    results = await _queue_and_wait(systemd, jobs, observed)
    canceled = [result for result in results if result.result == "canceled" and result.job.verb is not Verb.STOP]
    again = [result.job for result in canceled if await _still_old(systemd, result.job.unit, observed)]
    if not again:
        return results
    repeated = await _queue_and_wait(systemd, again, observed)
    by_unit = {result.job.unit: result for result in repeated}
    return tuple(by_unit.get(result.job.unit, result) for result in results)


async def _queue_and_wait(systemd: Systemd, jobs: Sequence[Job], observed: Observed) -> tuple[JobResult, ...]:
    longest_sec = timeout_sec(jobs, observed)
    await pipelined((_clear(systemd, job) for job in jobs), AT_ONCE)
    occupied = asyncio.ensure_future(systemd.occupy() if len(jobs) > 1 else asyncio.sleep(0))
    roots = {job.unit for job in jobs if not job.together_with}
    own = [job for job in jobs if job.together_with not in roots]
    others = [job for job in jobs if job.together_with in roots]
    calls = (*(_queue(systemd, job, observed) for job in own), *(_adopt(systemd, job, observed) for job in others))
    queued = await pipelined(calls, AT_ONCE)
    await occupied
    results = await asyncio.gather(
        *(
            _end(systemd, job, path, longest_sec) if isinstance(path, str) else _refused(job, path)
            for job, path in zip((*own, *others), queued, strict=True)
        )
    )
    by_unit = {result.job.unit: result for result in results}
    return tuple(by_unit[job.unit] for job in jobs)


async def _still_old(systemd: Systemd, unit: str, observed: Observed) -> bool:
    """Wait for the job that replaced ours; return whether it left the unit running as it was.

    If somebody stopped the unit, they start it again; if they started it, its process has the new definition.
    """
    longest_sec = timeout_sec([Job(unit=unit, verb=Verb.RESTART, reason="")], observed)
    for _ in range(int(longest_sec / POLL_SEC)):
        if not await systemd.job_type(unit):
            break
        await asyncio.sleep(POLL_SEC)
    state = (await systemd.inspect([unit], frozenset({"invocation_id"})))[unit]
    before = observed.unit(unit).invocation_id
    return state.running and bool(before) and state.invocation_id == before


async def _clear(systemd: Systemd, job: Job) -> None:
    if job.verb in (Verb.START, Verb.RESTART):
        with contextlib.suppress(BusError):  # PID 1 forgets an idle unit, and then there is nothing to clear
            await systemd.reset_failed(job.unit)
    if job.verb is Verb.START and job.unit.endswith(TRIGGER_SUFFIXES):
        with contextlib.suppress(BusError):
            for unit in await systemd.triggers(job.unit):
                await systemd.reset_failed(unit)


async def _queue(systemd: Systemd, job: Job, observed: Observed) -> str | BusError:
    try:
        return await systemd.queue(job.verb, job.unit, invocation=observed.unit(job.unit).invocation_id)
    except BusError as error:
        return error


async def _adopt(systemd: Systemd, job: Job, observed: Observed) -> str | BusError:
    """Return the job that PID 1 queued together with another; queue it if PID 1 did not, although the unit needs it."""
    try:
        path = await systemd.adopt(job.unit)
        before = observed.unit(job.unit).invocation_id
        if path or not job.changes or not before:
            return path
        if (await systemd.inspect([job.unit], INVOCATION_ID))[job.unit].invocation_id != before:
            return path
        systemd.disown()
        return await systemd.queue(job.verb, job.unit, invocation=before)
    except BusError as error:
        return error


async def _end(systemd: Systemd, job: Job, path: str, longest_sec: float) -> JobResult:
    result = await systemd.wait(path, longest_sec)
    taken_by = await systemd.job_type(job.unit) if result == "canceled" else ""
    if job.verb is Verb.STOP:
        with contextlib.suppress(BusError):  # PID 1 has forgotten the unit already
            await systemd.reset_failed(job.unit)
    return JobResult(job=job, result=result, taken_by=taken_by)


_REFUSED = {
    Verb.START: "could not be started",
    Verb.STOP: "could not be stopped",
    Verb.RESTART: "could not be restarted",
    Verb.RELOAD: "could not be reloaded",
}


async def _refused(job: Job, error: BusError) -> JobResult:
    words = error.message.partition("\n")[0].strip().removesuffix(".") or error.error
    return JobResult(job=job, refused=f"{_REFUSED[job.verb]}: {words}")


def timeout_sec(jobs: Sequence[Job], observed: Observed) -> float:
    """Return the seconds to wait for ``jobs``: the sum of the units' own timeouts, as one may wait for another."""
    return min(LONGEST_SEC, GRACE_SEC + sum(_unit_timeout_sec(job, observed) for job in jobs))


def _unit_timeout_sec(job: Job, observed: Observed) -> float:
    state = observed.unit(job.unit)
    stop, start = (
        DEFAULT_SEC if usec == 0 else LONGEST_SEC if usec == INFINITE_USEC else usec / 1_000_000
        for usec in (state.stop_timeout_usec, state.start_timeout_usec)
    )
    match job.verb:
        case Verb.STOP:
            return stop
        case Verb.RESTART:
            return stop + start
        case Verb.START | Verb.RELOAD:
            return start
