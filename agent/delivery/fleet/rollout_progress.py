"""The progress of a staged rollout: from the reports of machines to the share of them that may take the release.

Several processes may compute this at the same time: they get the same state, and write it by compare-and-set.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.reports import is_lost
from ordain.agent.delivery.fleet.rollout_policy import RolloutState
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.release.channel import channel_of
from ordain.agent.delivery.release.manifest import Release
from ordain.agent.delivery.spread import position
from ordain.agent.status import AgentState as Phase
from ordain.transforms.machine.facts import HOSTNAME

AT_WORK = (Phase.APPLYING, Phase.STARTING, Phase.TRIAL)
"""The phases in which the outcome of a release is still open."""


STOP_MACHINES = 2
"""The fewest machines whose rollback stops a rollout: one alone may be broken, or lie, and only delays it."""
_MOST_NAMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCounts:
    """The machines of a channel, counted by the effect of a release.

    ``invited`` machines may take it. ``back`` have rolled it back, ``done`` have applied it, ``lost`` no longer report.
    ``rolled_back`` are the machine-ids of those that rolled it back.
    """

    all: int = 0
    invited: int = 0
    at_work: int = 0
    done: int = 0
    back: int = 0
    lost: int = 0
    rolled_back: tuple[str, ...] = ()

    def exceed(self, stop_at: float | None) -> bool:
        """Return whether more than the share ``stop_at`` of the machines that have the release rolled it back."""
        return stop_at is not None and self.back > 0 and self.back / (self.done + self.back) > stop_at


def count_machines(
    release: Release, reports: Iterable[MachineReport], state: RolloutState, now: float
) -> MachineCounts:
    """Count the machines in the channel of the release, without those that the rollout ignores."""
    counts = MachineCounts()
    for report in reports:
        if channel_of_report(report) != release.channel or report.machine in state.ignored:
            continue
        lost = is_lost(report, now)
        has_it = has_release(report, release)
        invited = has_it or position(report.machine, release.title) < state.share
        back = has_it and report.phase is Phase.ROLLED_BACK
        at_work = has_it and report.phase in AT_WORK
        counts = MachineCounts(
            all=counts.all + 1,
            invited=counts.invited + (invited and not lost),
            at_work=counts.at_work + at_work,
            done=counts.done + (has_it and not at_work and not back),
            back=counts.back + back,
            lost=counts.lost + lost,
            rolled_back=(*counts.rolled_back, report.machine) if back else counts.rolled_back,
        )
    return counts


def channel_of_report(report: MachineReport) -> str:
    """Return the channel of a machine by its label, "" if it has two; without facts, the channel of its release."""
    if report.facts is None:
        return report.release.channel
    try:
        return channel_of(report.facts)
    except SourceError:
        return ""


def has_release(report: MachineReport, release: Release) -> bool:
    """Return whether a machine reports this release: a higher number, or another hash, is nothing that it can have."""
    has = report.release
    return (has.channel, has.number) == (release.channel, release.number) and has.hash in ("", release.hash)


def advance(release: Release, reports: Sequence[MachineReport], state: RolloutState | None, now: float) -> RolloutState:
    """Return the state that follows ``state``.

    The rollout stops when too many machines have rolled back: more than the share of the release, and at least
    `STOP_MACHINES`, if the channel has so many. The next stage opens when all invited machines are done, not too large
    a share of them rolled back, and the stage has lasted for its soak time. Lost machines delay nothing.
    """
    stages = release.rollout.stages or (1.0,)
    if state is None or state.number != release.number:
        state = initial_state(release, now)
    if state.halted:
        return state
    counts = count_machines(release, reports, state, now)
    finished = counts.done + counts.back
    if counts.exceed(release.rollout.stop_at):
        if counts.back < min(STOP_MACHINES, counts.all):
            return state
        reason = f"{counts.back} of {finished} machines rolled back: {name_machines(reports, counts.rolled_back)}"
        return replace(state, halted=reason, rolled_back=counts.rolled_back)
    settled = finished >= counts.invited and not counts.at_work
    if settled and now - state.opened >= release.rollout.soak_sec:
        larger = [share for share in stages if share > state.share]
        if larger:
            return replace(state, share=larger[0], opened=now)
    return state


def initial_state(release: Release, now: float) -> RolloutState:
    """Return the state in which a rollout begins: its first stage is open."""
    return RolloutState(number=release.number, share=(release.rollout.stages or (1.0,))[0], opened=now)


def ignore(state: RolloutState, machines: Iterable[str]) -> RolloutState:
    """Return ``state`` without the reports of ``machines``; a rollout that reports stopped goes on, if it may."""
    ignored = tuple(sorted({*state.ignored, *machines}))
    if state.rolled_back:
        state = replace(state, halted="", rolled_back=())
    return replace(state, ignored=ignored)


def is_finished(release: Release, state: RolloutState) -> bool:
    """Return whether no stage is left to open."""
    return bool(state.halted) or state.share >= max(release.rollout.stages or (1.0,))


def name_machines(reports: Iterable[MachineReport], machines: Collection[str]) -> str:
    """Return the names of a few ``machines`` and the number of the others, for people.

    A machine says itself what it is called; one whose name is not a host name is called by its machine-id.
    """
    names = {report.machine: report.hostname for report in reports if HOSTNAME.fullmatch(report.hostname)}
    shown = [names.get(machine, machine) for machine in sorted(machines)]
    rest = len(shown) - _MOST_NAMES
    return ", ".join(shown[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")
