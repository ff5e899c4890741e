"""The release that a machine boots: the head of its channel, or during a rollout the one that it had before its turn.

    pin of its Node ▶ a release that it has already ▶ stages and holds of the fleet ▶ boots that failed here

Only a relay has the stages; a server of a directory offers no release with a rollout. A machine that never booted here
waits with the release before the head, and if there is none, it does not wait.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from ordain.agent.delivery.release.channel import STABLE
from ordain.agent.delivery.release.manifest import Release
from ordain.agent.netboot.boot_count import rolls_back
from ordain.agent.netboot.machine_records import MachineRecords, NetbootRecord
from ordain.agent.server.relay.boot_stages import BootingMachine, BootStages, failed_boots
from ordain.agent.server.release_offers import OfferedReleases


@dataclass(frozen=True, slots=True, kw_only=True)
class BootTurn:
    """A release that a machine boots, 0 for documents without one; ``waiting`` is why it is not the head.

    ``told`` is the release that the machine hears of, as CHANNEL:NUMBER, and waits with as well (`RolloutGate`).
    """

    number: int = 0
    waiting: str = ""
    told: str = ""


def turn_of(
    offers: OfferedReleases,
    stages: BootStages,
    channel: str,
    machine: BootingMachine,
    records: MachineRecords,
) -> BootTurn:
    """Return the release that ``machine`` boots; ``records`` are those of all machines of this server."""
    number = offers.boot_heads.get(channel, 0)
    if not number:
        return BootTurn()
    head = offers.releases[channel, number].release
    before = [n for name, n in offers.releases if name == channel and n < number]
    record = records.get(machine.name)
    had = record.release if _is_of(channel, record) else 0
    if had == number or not before:
        return _turn(channel, number)
    waiting = stages.wait(head, machine, datetime.now(UTC).astimezone()) or _failures(head, records.all())
    if not waiting:
        return _turn(channel, number)
    return _turn(channel, had if had in before else max(before), waiting)


def _turn(channel: str, number: int, waiting: str = "") -> BootTurn:
    return BootTurn(number=number, waiting=waiting, told=f"{channel}:{number}")


def _is_of(channel: str, record: NetbootRecord) -> bool:
    return (record.channel or STABLE) == channel


def _failures(head: Release, records: Iterable[NetbootRecord]) -> str:
    if head.rollout.stop_at is None:
        return ""
    records = [record for record in records if _is_of(head.channel, record)]
    # Anybody can invent machines, which would stop a rollout, or hide failures. Some fleets have no Nodes at all.
    records = [record for record in records if record.node] or records
    tried = [record for record in records if record.release == head.number]
    failed = sum(map(rolls_back, tried))
    done = sum(bool(record.image) and record.good_image == record.image for record in tried)
    return failed_boots(head, done=done, failed=failed, machines=len(records))
