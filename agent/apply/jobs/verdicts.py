"""The verdict on each unit of an apply: whether it works, and whether the apply is to blame if it does not.

    Baseline (before), JobResult ──settle, probe, inspect──▶ UnitVerdict

The results of jobs are not enough. A job is done also if a condition of its unit did not hold, and the start of a
service that does not tell when it works is done while it already fails again. So the unit itself is inspected
afterwards, for such a service a moment later, and it is asked if it has a health check.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ordain.agent.apply.jobs.failure_details import NO_DETAILS, FailureDetails, failure_details
from ordain.agent.apply.jobs.health_probe import probe
from ordain.agent.apply.jobs.jobs import JobResult
from ordain.agent.model import Generation, Job, Observed, UnitState, UnitVerdict, Verb
from ordain.agent.plan.changes.diff import placed_units
from ordain.agent.plan.exit_reason import failure_words, stop_was_requested
from ordain.agent.system.dbus.bus import get
from ordain.agent.system.systemd.systemd1 import NAME, UNIT, Systemd, unit_path
from ordain.transforms.model import HealthCheck

SETTLE_SEC = 0.3
"""The time in which a service that dies right after its start is seen to die."""
_STARTED = frozenset({"oneshot", "notify", "notify-reload", "dbus"})
_TELLS = {Verb.START: _STARTED, Verb.RESTART: _STARTED, Verb.RELOAD: frozenset({"notify-reload"})}
"""The types of service whose job is done only when the service itself has ended well, or told that it works
(systemd.service(5), Type=). Of the others the job proves that a process was started, or that it got a signal."""
FLAPPING_SEC = 60.0
"""A unit that PID 1 had to restart less than this long before an apply was already failing then."""
JUDGED = frozenset({"result", "condition_result", "n_restarts", "invocation_id"})
"""The properties of a unit that a verdict depends on."""
NOT_LOADED = "not-loaded"
"""The result of a verdict on a unit that got no job, since PID 1 cannot load it."""
UNLOADABLE = {"bad-setting": "PID 1 refuses its unit file", "error": "PID 1 cannot read its unit file"}
"""LoadStates of a unit that no job can start (org.freedesktop.systemd1(5))."""
_BY_OTHERS = "was stopped by somebody else meanwhile"
SEE_STATUS = "(see `systemctl status`)"
_RESTARTING = frozenset({"auto-restart", "auto-restart-queued"})
_NOT_BLAMED = frozenset({"deadline", "canceled"})
"""Job results that do not mean that the unit is bad: the job still runs, or somebody else wanted something else."""
_FAILURES = {
    "timeout": "did not finish in time",
    "failed": "failed",
    "dependency": "something it requires failed",
    "assert": "one of its assertions does not hold",
    "unsupported": "this system does not support such a unit",
    "collected": "was removed before it ran",
    "once": "runs once per boot, and has run",
    "frozen": "is frozen",
    "deadline": "is still starting or stopping; PID 1 continues",
}
"""Job results that are failures (org.freedesktop.systemd1(5), JobRemoved)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The units before an apply: those that ran, and those that had failed or kept failing."""

    running: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()


async def baseline(systemd: Systemd, observed: Observed) -> Baseline:
    """Return the baseline of the units in ``observed``."""
    states = observed.units.values()
    restarted = [state.name for state in states if state.running and state.n_restarts]
    flapping = [name for name in restarted if await _age_sec(systemd, name) < FLAPPING_SEC]
    failed = {state.name for state in states if state.active_state == "failed" or state.sub_state in _RESTARTING}
    return Baseline(
        running=frozenset(state.name for state in states if state.running),
        failing=frozenset(failed.union(flapping)),
    )


async def _age_sec(systemd: Systemd, unit: str) -> float:
    """Return the seconds since the unit became active."""
    usec = await get(systemd.bus, NAME, unit_path(unit), UNIT, "ActiveEnterTimestampMonotonic")
    return time.clock_gettime(time.CLOCK_MONOTONIC) - float(usec) / 1e6


async def judge_jobs(
    systemd: Systemd,
    results: Sequence[JobResult],
    *,
    generation: Generation,
    before: Baseline,
    invocations: Mapping[str, str],
) -> list[UnitVerdict]:
    """Return a verdict for each job.

    ``generation`` is the one that was applied, ``invocations`` are the InvocationIDs of the units before the jobs.
    """
    started = [r for r in results if r.job.verb is not Verb.STOP and r.job.unit.endswith((".service", ".socket"))]
    complaints: Mapping[str, str] = {}
    if started:
        complaints, _ = await asyncio.gather(_probe_all(systemd, started, generation), _settle(systemd, started))
    after = await systemd.inspect({result.job.unit for result in results}, JUDGED)
    failed = {r.job.unit for r in results if not job_verdict(r, Observed(units=after).unit(r.job.unit)).ok}
    details: Mapping[str, FailureDetails] = {}
    if failed:
        after |= await systemd.inspect(failed)
        details = await failure_details({unit: after[unit] for unit in failed}, placed_units(generation))
    starts = {member.unit: member.starts for member in generation.members}
    verdicts = []
    for result in results:
        unit = result.job.unit
        state = Observed(units=after).unit(unit)
        verdict = _if_it_lasts(
            result, job_verdict(result, state, details.get(unit, NO_DETAILS)), state, invocations.get(unit, "")
        )
        complaint = complaints.get(unit) or complaints.get(starts.get(unit, ""), "")
        if verdict.ok and complaint:
            verdict = replace(verdict, ok=False, what=complaint, public="its health check failed")
        verdicts.append(verdict if verdict.ok else _with_blame(result, verdict, before, state))
    return verdicts


async def _settle(systemd: Systemd, started: Sequence[JobResult]) -> None:
    """Wait until a service that fails right after its start has failed, if its job cannot tell."""
    for result in started:
        unit = result.job.unit
        if unit.endswith(".service") and await systemd.property(unit, "Type") not in _TELLS[result.job.verb]:
            await asyncio.sleep(SETTLE_SEC)
            return


async def bystanders(
    systemd: Systemd, generation: Generation, judged: Sequence[UnitVerdict], before: Baseline
) -> list[UnitVerdict]:
    """Return a verdict for each member that ran before, got no job, and has failed since.

    The apply is to blame for them: it has changed something that they need.
    """
    names = {member.unit for member in generation.members} & before.running
    states = await systemd.list_units(names - {verdict.unit for verdict in judged} - before.failing)
    return [
        UnitVerdict(unit=state.name, ok=False, what="failed along with this apply", blamed=True)
        for state in states.values()
        if state.active_state == "failed" or state.sub_state in _RESTARTING
    ]


def unloadable(jobs: Iterable[Job], states: Mapping[str, UnitState]) -> list[UnitVerdict]:
    """Return a verdict for each unit that a job is to start and that PID 1 could not load."""
    return [
        UnitVerdict(
            unit=unit, ok=False, what=f"{UNLOADABLE[state.load_state]} {SEE_STATUS}", result=NOT_LOADED, blamed=True
        )
        for unit, state in ((job.unit, states.get(job.unit)) for job in jobs if job.verb is not Verb.STOP)
        if state is not None and state.load_state in UNLOADABLE
    ]


async def _probe_all(systemd: Systemd, results: Sequence[JobResult], generation: Generation) -> dict[str, str]:
    """Return the complaints of health checks by service; the service of a socket is asked only if it runs."""
    members = {member.unit: member for member in generation.members}
    checks: dict[str, HealthCheck] = {}
    for result in results:
        member = members.get(result.job.unit)
        for name in (member.unit, member.starts) if member else ():
            check = members[name].health if name in members else None
            if check is not None:
                checks[name] = check
    states = await systemd.list_units(checks)
    units = [unit for unit in checks if states[unit].running]
    answers = await asyncio.gather(*(_probe(systemd, unit, checks[unit]) for unit in units))
    return {unit: answer for unit, answer in zip(units, answers, strict=True) if answer}


async def _probe(systemd: Systemd, unit: str, check: HealthCheck) -> str:
    """Return the complaint of `health_probe.probe`; give up once the unit does not run any more."""
    asking = asyncio.create_task(probe(systemd, unit, check))
    try:
        while not asking.done():
            await asyncio.wait({asking}, timeout=1.0)
            if not (await systemd.list_units([unit]))[unit].running:
                return "does not run any more"
        return asking.result()
    finally:
        asking.cancel()


def job_verdict(result: JobResult, state: UnitState, details: FailureDetails = NO_DETAILS) -> UnitVerdict:
    """Return the verdict on a job from its own result, and from the state of its unit a moment later.

    A result that is ``canceled``, or was lost, says nothing: then the state decides.
    """
    verdict = _job_verdict(result, state, details)
    public = _job_verdict(result, state, replace(details, line="")).what if details.line else ""
    return replace(verdict, public=public if public != verdict.what else "")


def _job_verdict(result: JobResult, state: UnitState, details: FailureDetails) -> UnitVerdict:
    unit = result.job.unit
    if result.refused:
        return UnitVerdict(unit=unit, ok=False, what=result.refused, result="refused")
    if result.result in _FAILURES:
        return UnitVerdict(
            unit=unit, ok=False, what=_because(_FAILURES[result.result], state, details), result=result.result
        )
    ok, what = _stopped(state) if result.job.verb is Verb.STOP else _started(state, details)
    if result.result == "canceled":
        ok, what = _canceled(result, state, ok, what)
    elif stopped_by_others(result, state):
        what = f"{_BY_OTHERS}, and {what}"
    return UnitVerdict(unit=unit, ok=ok, what=what, result=result.result)


def _canceled(result: JobResult, state: UnitState, ok: bool, what: str) -> tuple[bool, str]:
    """Return the verdict on a job in whose place somebody else's was done."""
    down = state.active_state in ("inactive", "failed", "deactivating") and state.condition_result
    if result.job.verb is not Verb.STOP and down and result.taken_by in ("", "stop"):
        by_others = (
            _BY_OTHERS if result.taken_by else "was stopped, or its job was canceled, by somebody else meanwhile"
        )
        if ok or state.active_state == "deactivating":
            return True, f"{by_others}, and stays stopped"
        return False, f"{by_others}, and {what}"
    other = f" ({result.taken_by})" if result.taken_by else ""
    return ok, f"{what}; somebody else's job{other} replaced ours"


def stopped_by_others(result: JobResult, state: UnitState) -> bool:
    """Return whether a service that our job had started was stopped on request since, and failed in that."""
    return (
        result.job.verb is not Verb.STOP
        and result.result == "done"
        and state.active_state == "failed"
        and state.result in ("exit-code", "signal")
        and bool(state.main_exit_usec and state.active_exit_usec)
        and stop_was_requested(state)
    )


def _stopped(state: UnitState) -> tuple[bool, str]:
    if state.active_state in {"inactive", "failed"}:
        return True, "stopped"
    return False, f"is {state.active_state} ({state.sub_state})"


def _started(state: UnitState, details: FailureDetails) -> tuple[bool, str]:
    match state.active_state, state.sub_state:
        case _, ("auto-restart" | "auto-restart-queued"):
            return False, _because("fails again and again", state, details)
        case "active", "elapsed" if state.name.endswith(".timer"):
            return True, "elapsed: no run is due"
        case "active", sub:
            return True, sub
        case (("activating" | "reloading" | "refreshing"), sub):
            return True, f"{state.active_state} ({sub})"
        case "inactive", _ if not state.condition_result:
            return True, "its conditions are not met, so it does not run"
        case "inactive", _ if state.result in {"", "success"}:
            return True, "has run and ended well"
        case "failed", _:
            return False, _because("failed", state, details)
        case active, sub:
            return False, _because(f"is {active} ({sub})", state, details)


def _because(what: str, state: UnitState, details: FailureDetails) -> str:
    """Return ``what`` with its cause: the result in words, and the last line of the journal."""
    if state.result in {"", "success"}:
        return f"{what}: {details.line}" if details.line else what
    line = f": {details.line}" if details.line else ""
    return f"{what}: {failure_words(state, details.subject)}{line} (see `journalctl -u {state.name}`)"


def _if_it_lasts(result: JobResult, verdict: UnitVerdict, state: UnitState, invocation: str) -> UnitVerdict:
    """Return ``verdict``; a failure if the unit was restarted after its start, or lost its process in a reload."""
    if not verdict.ok:
        return verdict
    if result.job.verb is Verb.RELOAD and invocation and state.invocation_id != invocation:
        return replace(verdict, ok=False, what="its process died in the reload, and another one was started")
    if result.job.verb in (Verb.START, Verb.RESTART) and state.n_restarts:
        return replace(verdict, ok=False, what=f"had to be restarted {state.n_restarts} times since")
    return verdict


def _with_blame(result: JobResult, verdict: UnitVerdict, before: Baseline, state: UnitState) -> UnitVerdict:
    """Return a failure with the blame: not for a unit that had failed before, nor for a stop, ours or somebody's."""
    if verdict.unit in before.failing:
        return replace(verdict, what=f"{verdict.what}; it had failed before, too")
    ours = result.job.verb is not Verb.STOP and verdict.result not in _NOT_BLAMED
    return replace(verdict, blamed=ours and not stopped_by_others(result, state))
