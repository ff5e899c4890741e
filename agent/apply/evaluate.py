"""What the jobs of an apply came to, a while later and by the services' own account; effect.

Baseline (before), Done ─settle, probe, look▶ Verdict: ok or not, and whether the apply is to blame
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ordain.agent.apply.health_probe import ask
from ordain.agent.apply.jobs import Done
from ordain.agent.apply.verdicts import verdict
from ordain.agent.model import Generation, Observed, UnitState, UnitVerdict, Verb
from ordain.agent.system.bus import get
from ordain.agent.system.systemd1 import NAME, UNIT, Systemd, unit_path
from ordain.transforms.model import HealthCheck

SETTLE_SEC = 0.3
"""A service that is started and dies at once is seen to have died after so long."""
FLAPPING_SEC = 60.0
"""A unit that PID 1 had to restart within so long before an apply was failing then."""
JUDGED = frozenset({"result", "condition_result", "n_restarts", "invocation_id"})
"""What a verdict looks at."""
_AGAIN = frozenset({"auto-restart", "auto-restart-queued"})
_NOBODYS = frozenset({"deadline", "canceled"})
"""Job results that do not say that the unit is bad: it is still under way, or someone else wanted otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The units before an apply: those that ran, and those that had failed or kept failing."""

    running: frozenset[str] = frozenset()
    failing: frozenset[str] = frozenset()


async def baseline(systemd: Systemd, observed: Observed) -> Baseline:
    """What ``observed`` says of the time before."""
    states = observed.units.values()
    restarted = [state.name for state in states if state.running and state.n_restarts]
    flapping = [name for name in restarted if await _age(systemd, name) < FLAPPING_SEC]
    failed = {state.name for state in states if state.active_state == "failed" or state.sub_state in _AGAIN}
    return Baseline(
        running=frozenset(state.name for state in states if state.running),
        failing=frozenset(failed.union(flapping)),
    )


async def _age(systemd: Systemd, unit: str) -> float:
    """Seconds since the unit became active."""
    usec = await get(systemd.bus, NAME, unit_path(unit), UNIT, "ActiveEnterTimestampMonotonic")
    return time.clock_gettime(time.CLOCK_MONOTONIC) - float(usec) / 1e6


async def judge(
    systemd: Systemd,
    done: Sequence[Done],
    *,
    generation: Generation,
    before: Baseline,
    invocations: Mapping[str, str],
) -> list[UnitVerdict]:
    """A verdict for each job. ``generation`` is the one applied, ``invocations`` the processes before the jobs."""
    services = [d for d in done if d.job.verb is not Verb.STOP and d.job.unit.endswith((".service", ".socket"))]
    wrong: Mapping[str, str] = {}
    if services:
        wrong, _ = await asyncio.gather(_ask_all(systemd, services, generation), asyncio.sleep(SETTLE_SEC))
    after = await systemd.inspect({each.job.unit for each in done}, JUDGED)
    starts = {member.unit: member.starts for member in generation.members}
    found = []
    for each in done:
        unit = each.job.unit
        state = Observed(units=after).unit(unit)
        judged = _lasts(each, verdict(each, state), state, invocations.get(unit, ""))
        complaint = wrong.get(unit) or wrong.get(starts.get(unit, ""), "")
        if judged.ok and complaint:
            judged = replace(judged, ok=False, what=complaint)
        found.append(judged if judged.ok else _blame(each, judged, before))
    return found


async def bystanders(
    systemd: Systemd, generation: Generation, judged: Sequence[UnitVerdict], before: Baseline
) -> list[UnitVerdict]:
    """Members that ran before, got no job, and have failed since: an apply is to blame for what it takes along."""
    names = {member.unit for member in generation.members} & before.running
    states = await systemd.list_units(names - {each.unit for each in judged} - before.failing)
    return [
        UnitVerdict(unit=state.name, ok=False, what="failed along with this apply", blamed=True)
        for state in states.values()
        if state.active_state == "failed" or state.sub_state in _AGAIN
    ]


async def _ask_all(systemd: Systemd, done: Sequence[Done], generation: Generation) -> dict[str, str]:
    """What is wrong, by service; of a socket's service only if it runs."""
    members = {member.unit: member for member in generation.members}
    asked: dict[str, HealthCheck] = {}
    for each in done:
        member = members.get(each.job.unit)
        for name in (member.unit, member.starts) if member else ():
            seen = members[name].health if name in members else None
            if seen is not None:
                asked[name] = seen
    states = await systemd.list_units(asked)
    units = [unit for unit in asked if states[unit].running]
    answers = await asyncio.gather(*(_ask(systemd, unit, asked[unit]) for unit in units))
    return {unit: answer for unit, answer in zip(units, answers, strict=True) if answer}


async def _ask(systemd: Systemd, unit: str, health: HealthCheck) -> str:
    """As `health.ask`, but no longer than the unit runs."""
    asking = asyncio.create_task(ask(systemd, unit, health))
    try:
        while not asking.done():
            await asyncio.wait({asking}, timeout=1.0)
            if not (await systemd.list_units([unit]))[unit].running:
                return "does not run any more"
        return asking.result()
    finally:
        asking.cancel()


def _lasts(done: Done, judged: UnitVerdict, state: UnitState, invocation: str) -> UnitVerdict:
    """Whether what seems well is so: no restart since a start, and after a reload the process of before."""
    if not judged.ok:
        return judged
    if done.job.verb is Verb.RELOAD and invocation and state.invocation_id != invocation:
        return replace(judged, ok=False, what="its process died in the reload, and another took its place")
    if done.job.verb in (Verb.START, Verb.RESTART) and state.n_restarts:
        return replace(judged, ok=False, what=f"had to be restarted {state.n_restarts} times since")
    return judged


def _blame(done: Done, judged: UnitVerdict, before: Baseline) -> UnitVerdict:
    if judged.unit in before.failing:
        return replace(judged, what=f"{judged.what}; it had failed before, too")
    return replace(judged, blamed=done.job.verb is not Verb.STOP and judged.result not in _NOBODYS)
