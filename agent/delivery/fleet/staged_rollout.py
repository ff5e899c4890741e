"""A staged rollout from outside: what machines report → which share of them may take the release; pure.

Any number of these may run at once: they come to the same state, and write it by compare-and-set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.report_publisher import LOST_SEC
from ordain.agent.delivery.fleet.rollout_policy import RolloutState
from ordain.agent.delivery.release.manifest import Release
from ordain.agent.delivery.spread import position
from ordain.agent.status import AgentState


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCounts:
    """Machines of a channel, by what became of a release: ``back`` went back from it, ``lost`` have been silent."""

    all: int = 0
    invited: int = 0
    at_work: int = 0
    done: int = 0
    back: int = 0
    lost: int = 0


def count_machines(release: Release, reports: Iterable[MachineReport], share: float, now: float) -> MachineCounts:
    """Count the machines of the release's channel."""
    found = MachineCounts()
    for report in reports:
        if report.release.channel != release.channel:
            continue
        lost = now - report.seen > LOST_SEC
        has_it = report.release.number >= release.number
        invited = has_it or position(report.machine, release.title) < share
        back = has_it and report.phase is AgentState.ROLLED_BACK
        at_work = has_it and report.phase.at_work
        found = MachineCounts(
            all=found.all + 1,
            invited=found.invited + (invited and not lost),
            at_work=found.at_work + at_work,
            done=found.done + (has_it and not at_work and not back),
            back=found.back + back,
            lost=found.lost + lost,
        )
    return found


def advance(release: Release, reports: Iterable[MachineReport], state: RolloutState | None, now: float) -> RolloutState:
    """The state after ``state``. Stops when too many machines went back; goes on when all that were let in are done,
    and the stage has lasted as long as it is to. Machines that are lost hold up nothing."""
    stages = release.rollout.stages or (1.0,)
    if state is None or state.number != release.number:
        state = RolloutState(number=release.number, share=stages[0], opened=now)
    if state.halted:
        return state
    found = count_machines(release, reports, state.share, now)
    have = found.done + found.back
    limit = release.rollout.stop_at
    if found.back and limit is not None and found.back / have > limit:
        return replace(state, halted=f"{found.back} of {have} machines went back")
    settled = found.done + found.back >= found.invited and not found.at_work
    if settled and now - state.opened >= release.rollout.soak_sec:
        bigger = [share for share in stages if share > state.share]
        if bigger:
            return replace(state, share=bigger[0], opened=now)
    return state


def is_finished(release: Release, state: RolloutState) -> bool:
    """Whether nothing is left to open."""
    return bool(state.halted) or state.share >= max(release.rollout.stages or (1.0,))
