"""The reports of all machines, read from the store: for people, previews and rollouts."""

from __future__ import annotations

from collections.abc import Iterable

from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.fleet.report import MachineReport, decode_report
from ordain.agent.delivery.fleet.report_publisher import LOST_SEC, STATUS
from ordain.agent.status import AgentState
from ordain.transforms.document.conditions import FACTS

BAD_STATES = (AgentState.DEGRADED, AgentState.ROLLED_BACK)


async def read_reports(database: Database) -> tuple[tuple[MachineReport, ...], tuple[str, ...], str]:
    """Return all reports by hostname, the keys of those that cannot be read, and the revision of the store."""
    listing = await database.list(STATUS)
    reports, unreadable = [], []
    for entry in listing.entries:
        try:
            reports.append(decode_report(entry.data))
        except ValueError:
            unreadable.append(entry.key)
    return tuple(sorted(reports, key=lambda r: (r.hostname, r.machine))), tuple(unreadable), listing.revision


def is_lost(report: MachineReport, now: float) -> bool:
    """Return whether the machine has not reported for too long."""
    return now - report.seen > LOST_SEC


def having_labels(reports: Iterable[MachineReport], labels: Iterable[tuple[str, str]]) -> tuple[MachineReport, ...]:
    """Return the reports of machines with all of these labels or facts."""
    wanted = tuple(labels)
    return tuple(report for report in reports if all(value in _values(report, name) for name, value in wanted))


def _values(report: MachineReport, name: str) -> tuple[str, ...]:
    if name in FACTS:
        return FACTS[name](report.facts) if report.facts else ()
    return report.labels.get(name, ())


def machines_named(reports: Iterable[MachineReport], name: str) -> tuple[MachineReport, ...]:
    """Return the machines with the hostname ``name``, or else those whose machine-id begins with it."""
    reports = tuple(reports)
    return tuple(r for r in reports if r.hostname == name) or tuple(r for r in reports if r.machine.startswith(name))
