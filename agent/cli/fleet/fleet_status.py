"""fleet status, show, allow, forget: the reports of machines in the store."""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.documents.document_files import STANDARD_INPUT
from ordain.agent.cli.json_shapes import JsonReportMore
from ordain.agent.cli.labels import parse_label
from ordain.agent.cli.machine.status import STATES
from ordain.agent.cli.moments import spoken_ago, spoken_span
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store.fleet_reports import FleetReader
from ordain.agent.cli.store.open_store import opened, wait_for_reports, with_store
from ordain.agent.delivery.database.database import ANY, Database
from ordain.agent.delivery.fleet.fleet_holds import FleetHolds, read_holds
from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.report_publisher import LOST_SEC, STATUS, status_key
from ordain.agent.delivery.fleet.reports import (
    BAD_STATES,
    MACHINES,
    FleetReports,
    having_labels,
    is_lost,
    machines_named,
    parse_machine_list,
    read_machine_list,
)
from ordain.agent.delivery.fleet.rollout_progress import name_machines
from ordain.agent.delivery.identity.identities import Identities
from ordain.agent.delivery.identity.statement import key_id
from ordain.agent.errors import Failure
from ordain.agent.instruction import InstructionKind, StandingInstruction, describe
from ordain.agent.model import to_json
from ordain.agent.status import AgentState
from ordain.transforms.errors import did_you_mean

BEAT_SEC = 30.0
"""The longest wait of --watch for news: a lost machine reports nothing, so only time shows that it is lost."""

MOST_LINES = 5
INSTRUCTION_CODES = ("Held", "Paused", "Pinned")


def status(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet status`."""
    return asyncio.run(_status(request, console))


async def _status(request: Namespace, console: Console) -> Exit:
    labels = [parse_label(word) for word in request.label]
    reader = FleetReader()
    async with opened(request) as database:
        while True:
            reports = await reader.read(database)
            machines = having_labels(reports.machines, labels)
            stored = await read_holds(database)
            _print(machines, stored.holds, request, console)
            if stored.doubt:
                console.note(stored.doubt, Style.WARN)
            note_unused_reports(reports, console)
            console.out.flush()
            if not request.watch:
                break
            await wait_for_reports(database, reports.revision, BEAT_SEC)
            console.line()
    now = time.time()
    is_bad = any(report.phase in BAD_STATES or is_lost(report, now) for report in machines)
    return Exit.DEGRADED if is_bad or reports.silenced or reports.doubt else Exit.OK


def note_unused_reports(reports: FleetReports, console: Console) -> None:
    """Print a line for each kind of report that does not count, and why that is perhaps not known."""
    if reports.doubt:
        console.note(f"the reports of all machines are shown: {reports.doubt}", Style.WARN)
    for key, reason in sorted(reports.refused.items())[:MOST_LINES]:
        console.note(f"{key} does not count: {reason}", Style.WARN)
    if len(reports.refused) > MOST_LINES:
        console.note(f"{len(reports.refused) - MOST_LINES} further reports do not count", Style.WARN)
    if reports.unlisted:
        names = name_machines(reports.unlisted, [report.machine for report in reports.unlisted])
        console.note(
            f"{plural(len(reports.unlisted), 'report')} of machines that are not in the list of machines: {names}; "
            "add them with `ordainctl fleet allow FILE`, or look who writes there",
            Style.WARN,
        )


def allow(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet allow`."""
    if request.file and request.everybody:
        raise Usage("give either FILE or --everybody")

    async def work(database: Database) -> tuple[bool, frozenset[str]]:
        entry = await database.get(MACHINES)
        if request.everybody:
            if entry:
                await database.delete(MACHINES, expect=entry.version)
        elif request.file:
            data = _file(request.file)
            parse_machine_list(data)
            await database.put(MACHINES, data, expect=entry.version if entry else None)
        listed = await read_machine_list(database)
        return listed is not None, listed or frozenset()

    try:
        exists, listed = with_store(request, work)
    except ValueError as error:
        raise Failure(f"{request.file}: {error}; write a machine-id on each line") from None
    if request.json:
        console.json(sorted(listed) if exists else None)
    elif exists:
        console.line(f"the reports of {plural(len(listed), 'listed machine')} count, and no others", Style.GOOD)
    else:
        console.line("there is no list of machines: every report counts")
    return Exit.OK


def _file(name: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if name == STANDARD_INPUT else Path(name).read_bytes()
    except OSError as error:
        raise Failure(f"{name}: {error.strerror}") from None


def show(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet show`."""
    reports = with_store(request, FleetReader().read)
    report = machine_among(reports, request.machine)
    if request.json:
        console.json(to_json(report))
        return Exit.OK
    now = time.time()
    lines = [*report_lines(report, now), ("Identity", _identity(report, reports.identities))]
    console.table((), [((title, Style.STRONG), value) for title, value in lines])
    console.line()
    drifted = set(report.drift)
    console.table(
        ("UNIT", "STATE", "RESULT", "RESTARTS"),
        [
            (name, (unit.state, Style.BAD if name in drifted else Style.PLAIN), unit.result, str(unit.restarts))
            for name, unit in sorted(report.units.items())
        ],
    )
    return Exit.OK


def report_lines(report: MachineReport, now: float) -> Iterator[tuple[str, Cell]]:
    """Yield title and value of each line of `fleet show` before the units."""
    yield "Machine", f"{report.hostname} ({report.machine})"
    yield "State", _state(report, now)
    yield "Release", release_text(report) or "none"
    yield "Generation", f"{report.generation} ({report.hash[:12]})"
    yield "Source", f"{report.source.type}, {'connected' if report.source.connected else 'lost'}"
    if report.behind:
        yield "Behind", f"relay {report.behind}"
    yield "Boot", f"from {report.boot.generated_from or 'nothing'}"
    yield "Last report", _ago(now - report.seen)
    for name, values in sorted(report.labels.items()):
        yield "Label", f"{name}: {', '.join(values)}"
    for instruction in report.instructions:
        yield "Instruction", (instruction_text(instruction), Style.WARN)
    for condition in report.conditions:
        if condition.code in INSTRUCTION_CODES and report.instructions:
            continue  # they are the instructions
        item = f"{condition.item}: " if condition.item else ""
        yield "Condition", (f"{item}{condition.what} [{condition.code}]", Style.WARN)
    if report.dropped:
        yield "Dropped", f"{plural(report.dropped, 'report')} before this one"


def forget(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet forget`."""

    async def work(database: Database) -> str:
        key = name = str(request.machine)
        if key.startswith(STATUS):  # a text that is not the report of its machine has only a key
            if await database.get(key) is None:
                raise Failure(f"there is no report {key}")
        else:
            report = await machine_named(database, request.machine)
            key, name = status_key(report.machine), f"{report.hostname} ({report.machine})"
        await database.delete(key, expect=ANY)
        return name

    name = with_store(request, work)
    console.line(f"{name}: report deleted", Style.GOOD)
    return Exit.OK


def _identity(report: MachineReport, identities: Identities) -> Cell:
    """Return the key that signed the report."""
    record = identities.machines.get(report.machine)
    if record is None:
        return "none: others can report in its name", Style.WARN
    return f"key {key_id(record.public)}, enrolled by {record.by}: {record.reason}"


async def machine_named(database: Database, name: str) -> MachineReport:
    """Return the report of the machine with a hostname, or the beginning of a machine-id. Raises `Failure`."""
    return machine_among(await FleetReader().read(database), name)


def machine_among(reports: FleetReports, name: str) -> MachineReport:
    """Return the report of the machine called ``name``; see `machine_named`."""
    known = (*reports.machines, *reports.unlisted)
    matching = machines_named(known, name)
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise Failure(f"{name} matches {len(matching)} machines: {', '.join(r.machine for r in matching)}")
    hint = did_you_mean(name, [report.hostname for report in known])
    raise Failure(f"no machine called {name} reports to the store" + (f"; {hint}" if hint else ""))


def _print(machines: Iterable[MachineReport], holds: FleetHolds, request: Namespace, console: Console) -> None:
    now, moment = time.time(), datetime.now(UTC)
    machines = tuple(machines)
    if request.json:
        console.json(
            [
                {
                    **to_json(report),
                    **JsonReportMore(lost=is_lost(report, now), fleet_hold=to_json(holds.of(report, moment))),
                }
                for report in machines
            ]
        )
        return
    titles = ("MACHINE", "RELEASE", "GENERATION", "STATE", "SOURCE", "LAST REPORT", "CONDITIONS")
    if any(report.behind for report in machines):
        rows = [(*(row := table_row(r, now))[:5], r.behind, *row[5:]) for r in machines]
        console.table((*titles[:5], "BEHIND", *titles[5:]), rows)
    else:
        console.table(titles, [table_row(r, now) for r in machines])
    for hold in holds.in_force(moment):
        console.line(hold.describe(), Style.WARN)
    for report in machines:
        for instruction in report.instructions:
            console.line(f"{report.hostname or report.machine}: {instruction_text(instruction)}", Style.WARN)
    faulty = [report for report in machines if report.phase in BAD_STATES or is_lost(report, now)]
    if machines:
        summary = plural(len(machines), "machine")
        summary += f", {len(faulty)} degraded, rolled back or lost" if faulty else ""
        console.line(summary, Style.BAD if faulty else Style.GOOD)
    else:
        console.line("no machine reports to the store", Style.DIM)


def table_row(report: MachineReport, now: float) -> tuple[Cell, ...]:
    """Return the line of `fleet status` for a machine."""
    codes = [condition.code for condition in report.conditions]
    source = "connected" if report.source.connected else f"lost for {spoken_span(report.source.lag)}"
    return (
        report.hostname or report.machine,
        release_text(report),
        str(report.generation),
        _state(report, now),
        source,
        _ago(now - report.seen),
        (", ".join(dict.fromkeys(codes)), Style.WARN),
    )


def release_text(report: MachineReport) -> str:
    """Return the release whose documents a machine has, and the one that it rolled back, if it did."""
    if report.phase is not AgentState.ROLLED_BACK or not report.release.title:
        return report.release.title
    has = report.in_force or "an earlier one"
    return f"{has} ({report.release.title} rolled back)"


def instruction_text(instruction: StandingInstruction) -> str:
    """Return an instruction of an administrator in a line for people: ``web.service is held by alice …``."""
    subject = {
        InstructionKind.HOLD: f"{instruction.subject} is held",
        InstructionKind.PAUSE: "paused",
        InstructionKind.PIN: f"generation {instruction.subject} stays",
    }[instruction.kind]
    return f"{subject} {describe(instruction)}"


def _state(report: MachineReport, now: float) -> tuple[str, Style]:
    if is_lost(report, now):
        return f"lost ({report.phase})", Style.BAD
    return str(report.phase), STATES.get(report.phase, Style.WARN)


def _ago(seconds: float) -> str:
    if seconds < -LOST_SEC:
        return f"{spoken_span(-seconds)} in the future: check the clock"
    return spoken_ago(seconds)
