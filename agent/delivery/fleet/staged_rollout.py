"""The progress of a staged rollout: from the reports of machines to the share of them that may take the release.

Several processes may compute this at the same time: they get the same state, and write it by compare-and-set.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.reports import is_lost
from ordain.agent.delivery.fleet.rollout_policy import RolloutState
from ordain.agent.delivery.release.manifest import Release
from ordain.agent.delivery.spread import position
from ordain.agent.status import AgentState as Phase

AT_WORK = (Phase.APPLYING, Phase.STARTING, Phase.TRIAL)
"""The phases in which the outcome of a release is still open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCounts:
    """The machines of a channel, counted by the effect of a release.

    ``invited`` machines may take it. ``back`` have rolled it back, ``done`` have applied it, ``lost`` no longer report.
    """

    all: int = 0
    invited: int = 0
    at_work: int = 0
    done: int = 0
    back: int = 0
    lost: int = 0


def count_machines(release: Release, reports: Iterable[MachineReport], share: float, now: float) -> MachineCounts:
    """Count the machines in the channel of the release."""
    counts = MachineCounts()
    for report in reports:
        if report.release.channel != release.channel:
            continue
        lost = is_lost(report, now)
        has_it = report.release.number >= release.number
        invited = has_it or position(report.machine, release.title) < share
        back = has_it and report.phase is Phase.ROLLED_BACK
        at_work = has_it and report.phase in AT_WORK
        counts = MachineCounts(
            all=counts.all + 1,
            invited=counts.invited + (invited and not lost),
            at_work=counts.at_work + at_work,
            done=counts.done + (has_it and not at_work and not back),
            back=counts.back + back,
            lost=counts.lost + lost,
        )
    return counts


def advance(release: Release, reports: Iterable[MachineReport], state: RolloutState | None, now: float) -> RolloutState:
    """Return the state that follows ``state``.

    The rollout stops when too many machines have rolled back. The next stage opens when all invited machines are done
    and the stage has lasted for its soak time. Lost machines delay nothing.
    """
    stages = release.rollout.stages or (1.0,)
    if state is None or state.number != release.number:
        state = RolloutState(number=release.number, share=stages[0], opened=now)
    if state.halted:
        return state
    counts = count_machines(release, reports, state.share, now)
    finished = counts.done + counts.back
    limit = release.rollout.stop_at
    if counts.back and limit is not None and counts.back / finished > limit:
        return replace(state, halted=f"{counts.back} of {finished} machines rolled back")
    settled = finished >= counts.invited and not counts.at_work
    if settled and now - state.opened >= release.rollout.soak_sec:
        larger = [share for share in stages if share > state.share]
        if larger:
            return replace(state, share=larger[0], opened=now)
    return state


def is_finished(release: Release, state: RolloutState) -> bool:
    """Return whether no stage is left to open."""
    return bool(state.halted) or state.share >= max(release.rollout.stages or (1.0,))
