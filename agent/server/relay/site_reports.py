"""The reports of a fleet's machines and its rollouts, as a relay reads them in the store, for the API and the page."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.reports import FleetReports, ReportMemory, is_lost, read_reports
from ordain.agent.delivery.fleet.rollout_policy import RolloutState, decode_rollout
from ordain.agent.delivery.fleet.rollout_progress import count_machines, initial_state
from ordain.agent.delivery.release.manifest import Release, read_release
from ordain.agent.delivery.release.publish import rollout_key
from ordain.agent.delivery.release.publish_lock import RELEASES
from ordain.agent.server.relay.last_copy import LastCopy
from ordain.agent.server.relay.relay import Relay
from ordain.transforms.errors import Refused

LIST_SEC = 5.0
"""The reports are read once in this time, however many pages look at them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedMachine:
    """A machine by its last report, as `ordainctl fleet status` shows it.

    ``behind`` is the relay that took the report, "" if it went to the store itself. ``seen`` is the time of the report,
    in seconds since 1970; ``lost``: that was too long ago. ``drift`` are the units that are not as the documents want,
    and ``conditions`` have the text, the item and the code of each condition.
    """

    machine: str
    hostname: str
    behind: str
    state: str
    lost: bool
    release: str
    generation: int
    wanted_generation: int
    drift: tuple[str, ...]
    conditions: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    seen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteReports:
    """All machines that report, by name. ``refused`` has the reason by key for each report that does not count."""

    machines: tuple[ReportedMachine, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRollout:
    """The rollout of the head of a channel: ``share`` (0 to 1) of its machines may take it.

    ``halted`` is the reason why no machine may, "" if they may. Of ``all`` machines of the channel, ``done`` have
    applied it, ``at_work`` are applying it, ``rolled_back`` have rolled it back, and ``lost`` no longer report.
    """

    channel: str
    number: int
    share: float
    halted: str
    all: int
    done: int
    at_work: int
    rolled_back: int
    lost: int


class SiteReader:
    """The reports that ``relay`` reads. Raises `SourceError` while the store does not answer."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self._memory = ReportMemory()
        self._read = float("-inf")
        self._reports = FleetReports(machines=())

    async def reports(self) -> SiteReports:
        """Return the machines that report."""
        now = time.time()
        known = await self._current()
        return SiteReports(
            machines=tuple(_machine(report, now) for report in known.machines),
            refused={key: str(refusal) for key, refusal in sorted(known.refused.items())},
        )

    async def rollouts(self) -> tuple[ReportedRollout, ...]:
        """Return the rollouts of all channels."""
        known, copy, now = await self._current(), self.relay.require_copy(), time.time()
        return tuple(_rollout(head, copy, known, now) for head in _heads(copy))

    async def _current(self) -> FleetReports:
        if time.monotonic() - self._read > LIST_SEC:
            self._reports = await self.relay.asked(read_reports(self.relay.database, self._memory))
            self._read = time.monotonic()
        return self._reports


def _machine(report: MachineReport, now: float) -> ReportedMachine:
    return ReportedMachine(
        machine=report.machine,
        hostname=report.hostname,
        behind=report.behind,
        state=str(report.phase),
        lost=is_lost(report, now),
        release=report.release.title,
        generation=report.generation,
        wanted_generation=report.wanted_generation,
        drift=report.drift,
        conditions=tuple(
            f"{condition.item}: {condition.what} [{condition.code}]".removeprefix(": ")
            for condition in report.conditions
        ),
        labels=report.labels,
        seen=report.seen,
    )


def _heads(copy: LastCopy) -> tuple[Release, ...]:
    heads = []
    for entry in copy.list([RELEASES]).entries:
        if entry.key.endswith("/head"):
            with contextlib.suppress(Refused):
                heads.append(read_release(entry.key, entry.data))
    return tuple(heads)


def _rollout(head: Release, copy: LastCopy, known: FleetReports, now: float) -> ReportedRollout:
    entry = copy.get(rollout_key(head.channel))
    state: RolloutState | None = None
    if entry is not None:
        with contextlib.suppress(ValueError):
            state = decode_rollout(entry.data)
    if state is None or state.number != head.number:
        state = initial_state(head, now)
    counts = count_machines(head, known.machines, state, now)
    return ReportedRollout(
        channel=head.channel,
        number=head.number,
        share=state.share,
        halted=state.halted,
        all=counts.all,
        done=counts.done,
        at_work=counts.at_work,
        rolled_back=counts.back,
        lost=counts.lost,
    )
