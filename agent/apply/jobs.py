"""Jobs → PID 1 → what became of each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from ordain.agent.model import Job, Observed, Verb
from ordain.agent.system.bus import BusError, pipelined
from ordain.agent.system.systemd1 import Systemd
from ordain.transforms.systemd.unit_name import TRIGGER_SUFFIXES

INFINITE_USEC = 2**64 - 1
LONGEST_SEC = 900.0
"""How long any job is waited for; PID 1 goes on with it."""
GRACE_SEC = 10.0
"""On top of a unit's own timeout: it counts from when the job runs, we count from when it is queued."""
DEFAULT_SEC = 90.0
AT_ONCE = 64
"""Jobs that are queued without waiting for each other's answers; `bus_dbus_next.IN_FLIGHT` calls, and no more."""
POLL_SEC = 0.1
"""How often to look whether someone else's job is done: its end is told under a path we do not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How one job ended: ``result`` as systemd spells it, "" if that is not known.

    ``refused`` is PID 1's answer to a job it did not queue; ``taken_by`` the type of someone else's job that took the
    place of ours, such as ``stop``.
    """

    job: Job
    result: str = ""
    refused: str = ""
    taken_by: str = ""


async def act(systemd: Systemd, jobs: Sequence[Job], observed: Observed) -> tuple[Done, ...]:
    """Queue all jobs, then wait for all of them.

    Queued together, PID 1 orders them among themselves by After= and Before=; one at a time it could not. It runs no
    job while there are calls to be read (manager.c: the run queue's event source is idle), so they are sent in a row,
    behind one that takes it a while.
    A restart does not run against the start limit that a failed predecessor used up, nor does what a started socket
    starts in its turn (257 keeps the count over a reload). Of what is stopped no failure is left: PID 1 would keep it
    among the failed units, also without a definition.
    """
    done = await _all(systemd, jobs, patience(jobs, observed))
    lost = [each for each in done if each.result == "canceled" and each.job.verb is not Verb.STOP]
    once_more = [each.job for each in lost if await _still_old(systemd, each.job.unit, observed)]
    if not once_more:
        return done
    known = {each.job.unit: each for each in await _all(systemd, once_more, patience(once_more, observed))}
    return tuple(known.get(each.job.unit, each) for each in done)


async def _all(systemd: Systemd, jobs: Sequence[Job], timeout_sec: float) -> tuple[Done, ...]:
    await pipelined((_clear(systemd, job) for job in jobs), AT_ONCE)
    occupied = asyncio.ensure_future(systemd.occupy() if len(jobs) > 1 else asyncio.sleep(0))
    queued = await pipelined((_queue(systemd, job) for job in jobs), AT_ONCE)
    await occupied
    return tuple(
        await asyncio.gather(
            *(
                _end(systemd, job, path, timeout_sec) if isinstance(path, str) else _refused(job, path)
                for job, path in zip(jobs, queued, strict=True)
            )
        )
    )


async def _still_old(systemd: Systemd, unit: str, observed: Observed) -> bool:
    """Whether the job that took the place of ours left the unit running as it was; waits for that job.

    What someone stopped is theirs to start, and what they started has the new definition.
    """
    longest = patience([Job(unit=unit, verb=Verb.RESTART, reason="")], observed)
    for _ in range(int(longest / POLL_SEC)):
        if not await systemd.job_type(unit):
            break
        await asyncio.sleep(POLL_SEC)
    state = (await systemd.inspect([unit], frozenset({"invocation_id"})))[unit]
    before = observed.unit(unit).invocation_id
    return state.running and bool(before) and state.invocation_id == before


async def _clear(systemd: Systemd, job: Job) -> None:
    if job.verb in (Verb.START, Verb.RESTART):
        with contextlib.suppress(BusError):  # PID 1 forgets a unit that does nothing, and has nothing to clear
            await systemd.reset_failed(job.unit)
    if job.verb is Verb.START and job.unit.endswith(TRIGGER_SUFFIXES):
        with contextlib.suppress(BusError):
            for unit in await systemd.triggers(job.unit):
                await systemd.reset_failed(unit)


async def _queue(systemd: Systemd, job: Job) -> str | BusError:
    try:
        return await systemd.queue(job.verb, job.unit)
    except BusError as error:
        return error


async def _end(systemd: Systemd, job: Job, path: str, timeout_sec: float) -> Done:
    result = await systemd.wait(path, timeout_sec)
    taken_by = await systemd.job_type(job.unit) if result == "canceled" else ""
    if job.verb is Verb.STOP:
        with contextlib.suppress(BusError):  # it is gone already
            await systemd.reset_failed(job.unit)
    return Done(job=job, result=result, taken_by=taken_by)


async def _refused(job: Job, error: BusError) -> Done:
    return Done(job=job, refused=str(error))


def patience(jobs: Sequence[Job], observed: Observed) -> float:
    """Seconds to wait for jobs that may have to wait for each other: the sum of the units' own timeouts."""
    return min(LONGEST_SEC, GRACE_SEC + sum(_timeout_sec(job, observed) for job in jobs))


def _timeout_sec(job: Job, observed: Observed) -> float:
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
