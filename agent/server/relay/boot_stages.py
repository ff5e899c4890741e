"""The rollouts of a fleet for machines that boot from the network, as the copy of a relay tells them.

    copy ─boot_stages▶ `BootStages` ─wait▶ the reason why a machine does not boot the head of its channel yet

A machine that boots has a place among all machines by its MAC address, because nobody knows its machine-id yet. The
share of the machines that a stage admits is the same. Windows, splay and slots do not count: a boot is a moment of its
own, which an administrator chose.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ordain.agent.delivery.fleet.fleet_holds import HOLDS, NO_HOLDS, FleetHolds, HoldTarget, decode_holds
from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.rollout_policy import RolloutState, decode_rollout, stage_wait
from ordain.agent.delivery.fleet.rollout_progress import STOP_MACHINES, MachineCounts
from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.delivery.release.manifest import Release
from ordain.agent.delivery.release.publish import rollout_key
from ordain.agent.delivery.release.publish_lock import INTERNAL, RELEASES
from ordain.agent.delivery.spread import position
from ordain.agent.server.relay.last_copy import LastCopy


@dataclass(frozen=True, slots=True, kw_only=True)
class BootingMachine:
    """A machine before any system runs on it: its MAC address or UUID, and the Node that matches it with its labels."""

    name: str
    node: str = ""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootStages:
    """The progress of the rollout of each channel, and the holds of the fleet."""

    states: Mapping[str, RolloutState] = field(default_factory=dict)
    holds: FleetHolds = NO_HOLDS

    def wait(self, head: Release, machine: BootingMachine, now: datetime) -> str:
        """Return the reason why ``machine`` does not boot ``head`` yet, "" if it may."""
        reported = MachineReport(
            machine="", labels=machine.labels, release=ReleaseReference(channel=head.channel, number=head.number)
        )
        for hold in self.holds.in_force(now):
            # A hold of a machine names its machine-id, and for people its host name, which is that of the Node.
            by_name = hold.target is HoldTarget.MACHINE and bool(machine.node) and hold.name == machine.node
            if by_name or hold.includes(reported):
                return hold.wait().why
        state = self.states.get(head.channel)
        wait = stage_wait(head.rollout, head.number, state, position(machine.name, head.title))
        return wait.why if wait else ""


def boot_stages(copy: LastCopy | None) -> BootStages:
    """Return the rollouts and holds in a copy; a text that cannot be read opens the first stage, and holds nobody."""
    if copy is None:
        return BootStages()
    states, holds = {}, NO_HOLDS
    for entry in copy.list([RELEASES]).entries:
        channel = entry.key.removeprefix(RELEASES).partition("/")[0]
        with contextlib.suppress(ValueError):
            if entry.key == HOLDS:
                holds = decode_holds(entry.data)
            elif entry.key == rollout_key(channel) and not entry.key.startswith(INTERNAL):
                states[channel] = decode_rollout(entry.data)
    return BootStages(states=states, holds=holds)


def failed_boots(head: Release, *, done: int, failed: int, machines: int) -> str:
    """Return the reason why no other machine boots ``head``, "" if there is none.

    Of the ``machines`` of the channel that boot here, ``done`` completed a boot of it and ``failed`` did not. The share
    that is too large is that of the release, as for machines that roll back.
    """
    counts = MachineCounts(done=done, back=failed)
    if not counts.exceed(head.rollout.stop_at) or failed < min(STOP_MACHINES, machines):
        return ""
    return f"{failed} of {done + failed} machines could not boot it"
