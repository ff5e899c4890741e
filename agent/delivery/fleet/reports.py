"""What all machines report, read from the store: for people, previews and rollouts; effect."""

from __future__ import annotations

from collections.abc import Iterable

from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.fleet.report import MachineReport, decode_report
from ordain.agent.delivery.fleet.report_publisher import LOST_SEC, STATUS
from ordain.agent.status import AgentState
from ordain.transforms.document.conditions import FACTS

BAD = (AgentState.DEGRADED, AgentState.ROLLED_BACK)


async def read_reports(database: Database) -> tuple[tuple[MachineReport, ...], tuple[str, ...], str]:
    """Every report by hostname, the keys of those that cannot be read, and the revision of the store."""
    listing = await database.list(STATUS)
    found, unreadable = [], []
    for entry in listing.entries:
        try:
            found.append(decode_report(entry.data))
        except ValueError:
            unreadable.append(entry.key)
    return tuple(sorted(found, key=lambda r: (r.hostname, r.machine))), tuple(unreadable), listing.revision


def is_lost(report: MachineReport, now: float) -> bool:
    """Whether the machine has not been heard of for too long."""
    return now - report.seen > LOST_SEC


def having_labels(found: Iterable[MachineReport], labels: Iterable[tuple[str, str]]) -> tuple[MachineReport, ...]:
    """Those with all of these labels or facts."""
    wanted = tuple(labels)
    return tuple(report for report in found if all(value in _values(report, name) for name, value in wanted))


def _values(report: MachineReport, name: str) -> tuple[str, ...]:
    if name in FACTS:
        return FACTS[name](report.facts) if report.facts else ()
    return report.labels.get(name, ())


def machines_named(found: Iterable[MachineReport], name: str) -> tuple[MachineReport, ...]:
    """The machines that ``name`` may mean: a hostname, or the begin of a machine-id."""
    found = tuple(found)
    return tuple(r for r in found if r.hostname == name) or tuple(r for r in found if r.machine.startswith(name))
