"""Jobs → PID 1 → what became of each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from ordain.agent.bus import BusError
from ordain.agent.model import Job, Observed, Verb
from ordain.agent.systemd1 import Systemd

INFINITE_USEC = 2**64 - 1
LONGEST_SEC = 900.0
"""How long any job is waited for; PID 1 goes on with it."""
GRACE_SEC = 10.0
"""On top of a unit's own timeout: it counts from when the job runs, we count from when it is queued."""
DEFAULT_SEC = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How one job ended: ``result`` as systemd spells it, "" if that is not known.

    ``refused`` is PID 1's answer to a job it did not queue.
    """

    job: Job
    result: str = ""
    refused: str = ""


async def act(systemd: Systemd, jobs: Sequence[Job], observed: Observed) -> tuple[Done, ...]:
    """Queue all jobs, then wait for all of them.

    Queued together, PID 1 orders them among themselves by After= and Before=; one at a time it could not.
    A restart does not run against the start limit that a failed predecessor used up, and of what is stopped no
    failure is left: PID 1 would keep it among the failed units, also without a definition.
    """
    queued = [await _queue(systemd, job) for job in jobs]
    return tuple(
        await asyncio.gather(
            *(
                _end(systemd, job, path, patience(jobs, observed)) if isinstance(path, str) else _refused(job, path)
                for job, path in zip(jobs, queued, strict=True)
            )
        )
    )


async def _queue(systemd: Systemd, job: Job) -> str | BusError:
    try:
        if job.verb in (Verb.START, Verb.RESTART):
            await systemd.reset_failed(job.unit)
        return await systemd.queue(job.verb, job.unit)
    except BusError as error:
        return error


async def _end(systemd: Systemd, job: Job, path: str, timeout_sec: float) -> Done:
    result = await systemd.wait(path, timeout_sec)
    if job.verb is Verb.STOP:
        with contextlib.suppress(BusError):  # it is gone already
            await systemd.reset_failed(job.unit)
    return Done(job=job, result=result)


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
