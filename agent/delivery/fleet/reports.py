"""The reports of all machines, read from the store: for people, previews and rollouts.

    status/MACHINE-ID ──▶ report, held against its key ──▶ `FleetReports`
    releases/_machines ─▶ the machines that count, if somebody wrote the list
    machines/MACHINE-ID ▶ the key that must have signed the report, if the machine was enrolled

A machine may write its own report, and with a password that many machines share also those of others. So a report is
what somebody claims: it must be of the machine whose key it is under, machines that are not in the list of machines
are ignored, and the report of a machine that was enrolled must be signed by it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ordain.agent.delivery.database.database import Database, StoredEntry
from ordain.agent.delivery.database.listing_parts import list_parts
from ordain.agent.delivery.fleet.report import MachineReport, parse_report, report_from_json
from ordain.agent.delivery.fleet.report_publisher import LOST_SEC, STATUS
from ordain.agent.delivery.identity.identities import NO_IDENTITIES, Identities, Refusal, read_identities
from ordain.agent.delivery.release.publish_lock import INTERNAL
from ordain.agent.delivery.release.signing import SignatureCheck, valid_signers
from ordain.agent.errors import Failure
from ordain.agent.status import AgentState
from ordain.transforms.machine.facts import MACHINE_ID
from ordain.transforms.model import Facts
from ordain.transforms.resolve.match import has_value

BAD_STATES = (AgentState.DEGRADED, AgentState.ROLLED_BACK)
MACHINES = f"{INTERNAL}machines"
"""The key of the list of machines. It is below releases/, where machines cannot write."""
TOO_LARGE = "TooLarge"
_MAX_LIST_BYTES = 8 << 20
_MOST_BELIEVED = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReports:
    """The reports of the machines that count, by hostname, as of ``revision`` of the store.

    ``refused`` maps the keys of texts that are not the report of their machine to the reason. ``unlisted`` are reports
    of machines that are not in the list of machines, if there is one. ``identities`` are those of the fleet.
    ``doubt`` is the reason why it is not known which machines are in the list: then all that report are here.
    """

    machines: tuple[MachineReport, ...]
    refused: Mapping[str, Refusal] = field(default_factory=dict)
    unlisted: tuple[MachineReport, ...] = ()
    revision: str = ""
    identities: Identities = NO_IDENTITIES
    doubt: str = ""

    @property
    def silenced(self) -> tuple[str, ...]:
        """The machine-ids of the enrolled machines that have not reported; revoked machines are left out."""
        own_fault = ("BadReport", "ForeignReport", "NotEnrolled", "IdentityRevoked", TOO_LARGE)
        return tuple(key.removeprefix(STATUS) for key, refusal in self.refused.items() if refusal.code not in own_fault)


@dataclass(slots=True)
class ReportMemory:
    """The memory of a caller who reads the reports again and again.

    ``newest`` are the highest sequences of machines: an earlier report that somebody wrote back does not count.
    ``believed`` are reports by key, each with its text and `Identities.signer`: most are the same when they are read
    again, and need not be decoded and checked then. ``check`` checks signatures.
    """

    check: SignatureCheck = valid_signers
    newest: dict[str, int] = field(default_factory=dict)
    believed: dict[str, tuple[bytes, tuple[str, bytes] | None, MachineReport]] = field(default_factory=dict)


async def read_reports(
    database: Database, memory: ReportMemory | None = None, *, needs_list: bool = True
) -> FleetReports:
    """Return all reports. Raises `SourceError`.

    Raises `Failure` for a list of machines that cannot be read, if it ``needs_list``, as all that acts on reports does.
    """
    memory = memory or ReportMemory()
    listed, doubt = None, ""
    try:
        listed = await read_machine_list(database)
    except Failure as failure:
        if needs_list:
            raise
        doubt = str(failure)
    identities = await read_identities(database)
    reports: list[MachineReport] = []
    refused: dict[str, Refusal] = {}
    revision = ""
    async for part in list_parts(database, STATUS):
        revision = revision or part.listing.revision
        if part.fault:
            refused[f"{part.prefix}…"] = Refusal(
                code=TOO_LARGE, what=str(part.fault), remedy="look who may write there"
            )
        for entry in part.listing.entries:
            report = _accept(entry, identities, memory)
            if isinstance(report, Refusal):
                refused[entry.key] = report
            else:
                reports.append(report)
    reports.sort(key=lambda report: (report.hostname, report.machine))
    return FleetReports(
        machines=tuple(report for report in reports if listed is None or report.machine in listed),
        refused=refused,
        unlisted=tuple(report for report in reports if listed is not None and report.machine not in listed),
        revision=revision,
        doubt=doubt,
        identities=identities,
    )


def _accept(entry: StoredEntry, identities: Identities, memory: ReportMemory) -> MachineReport | Refusal:
    """Return the report in ``entry``, or why it is not believed."""
    machine = entry.key.removeprefix(STATUS)
    forget = f"`ordainctl fleet forget {entry.key}` deletes it"
    standing, signer = identities.standing_refusal(machine), identities.signer(machine)
    data, earlier, known = memory.believed.get(entry.key, (b"", None, None))
    if known and (data, earlier) == (entry.data, signer) and not standing:
        return _replayed(known, memory) if signer else known
    value: Any = None
    fault: ValueError | None = None
    try:
        value = parse_report(entry.data)
    except ValueError as error:
        fault = error
    statement = value if isinstance(value, dict) else None
    if standing:
        return standing
    if signer and (forged := identities.forgery(machine, signer, entry.key, statement, memory.check, entry.data)):
        return forged
    try:
        report = report_from_json(value)
    except ValueError as error:
        return Refusal(code="BadReport", what=str(fault or error), remedy=forget)
    if machine != report.machine:
        what = f"it is the report of another machine, {report.machine[:40]}"
        return Refusal(code="ForeignReport", what=what, remedy=forget)
    if len(memory.believed) >= _MOST_BELIEVED:
        memory.believed.clear()
    memory.believed[entry.key] = entry.data, signer, report
    return _replayed(report, memory) if signer else report


def _replayed(report: MachineReport, memory: ReportMemory) -> MachineReport | Refusal:
    """Return ``report`` of an enrolled machine, or the refusal if the machine has sent a later one."""
    if report.sequence < memory.newest.get(report.machine, 0):
        what = "somebody wrote an earlier report of the machine back"
        return Refusal(code="ReplayedReport", what=what, remedy="look who may write there")
    memory.newest[report.machine] = report.sequence
    return report


async def read_machine_list(database: Database) -> frozenset[str] | None:
    """Return the machine-ids of the list of machines, None if there is no list. Raises `Failure`."""
    entry = await database.get(MACHINES)
    if entry is None:
        return None
    if entry.conflict:
        raise Failure(f"{MACHINES} {entry.conflict}; write the list that you mean: ordainctl fleet allow FILE")
    try:
        return parse_machine_list(entry.data)
    except ValueError as error:
        message = f"{MACHINES}: cannot read the list of machines: {error}"
        raise Failure(f"{message}; write it again: ordainctl fleet allow FILE") from None


def parse_machine_list(data: bytes) -> frozenset[str]:
    """Read a list of machines: a machine-id on each line; the rest of a line, and lines after #, are for people.

    Raises ValueError.

    >>> sorted(parse_machine_list(b"# rack 1\\n" + b"0" * 32 + b" web1\\n"))
    ['00000000000000000000000000000000']
    """
    if len(data) > _MAX_LIST_BYTES:
        raise ValueError(f"it is larger than {_MAX_LIST_BYTES:,} bytes")
    machines = set()
    for number, line in enumerate(data.decode().splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        machine = re.split(r"\s", text, maxsplit=1)[0].lower().replace("-", "")
        if not MACHINE_ID.fullmatch(machine):
            raise ValueError(f"line {number} does not begin with a machine-id")
        machines.add(machine)
    return frozenset(machines)


def is_lost(report: MachineReport, now: float) -> bool:
    """Return whether the machine has not reported for too long, or its clock is that far ahead."""
    return abs(now - report.seen) > LOST_SEC


def having_labels(reports: Iterable[MachineReport], labels: Iterable[tuple[str, str]]) -> tuple[MachineReport, ...]:
    """Return the reports of machines with all of these labels or facts; a value is written as in `match`."""
    wanted = tuple(labels)
    return tuple(report for report in reports if all(_has(report, name, value) for name, value in wanted))


def _has(report: MachineReport, name: str, value: str) -> bool:
    facts = report.facts or Facts(id="", systemd=0, arch="", virtualization="", hostname="", root="")
    return has_value(replace(facts, labels=report.labels), name, value)


def machines_named(reports: Iterable[MachineReport], name: str) -> tuple[MachineReport, ...]:
    """Return the machines with the hostname ``name``, or else those whose machine-id begins with it."""
    reports = tuple(reports)
    return tuple(r for r in reports if r.hostname == name) or tuple(r for r in reports if r.machine.startswith(name))
