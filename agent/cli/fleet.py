"""fleet status, show, forget: what machines report to the store."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import Iterable
from contextlib import aclosing

from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.status import STATES
from ordain.agent.cli.store_option import opened, with_store
from ordain.agent.delivery.database.database import ANY, Database
from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.report_publisher import STATUS, status_key
from ordain.agent.delivery.fleet.reports import BAD, having_labels, is_lost, machines_named, read_reports
from ordain.agent.errors import Failure
from ordain.agent.model import to_json
from ordain.transforms.errors import near

BEAT_SEC = 30.0
"""With --watch: what is lost says nothing, so the table is made again."""


def status(request: Namespace, console: Console) -> Exit:
    """`ordainctl fleet status`."""
    return asyncio.run(_status(request, console))


async def _status(request: Namespace, console: Console) -> Exit:
    labels = [_label(word) for word in request.label]
    async with opened(request) as database:
        while True:
            found, unreadable, revision = await read_reports(database)
            machines = having_labels(found, labels)
            _print(machines, request, console)
            for name in unreadable:
                console.note(f"{name}: no report of a machine", Style.WARN)
            console.out.flush()
            if not request.watch:
                break
            await _news(database, revision)
            console.line()
    now = time.time()
    return Exit.DEGRADED if any(r.phase in BAD or is_lost(r, now) for r in machines) else Exit.OK


async def _news(database: Database, revision: str) -> None:
    """Wait until something changes, or `BEAT_SEC`."""
    try:
        async with asyncio.timeout(BEAT_SEC), aclosing(database.watch((STATUS,), revision)) as woken:
            async for _ in woken:
                await asyncio.sleep(1.0)  # machines that take one release report one after the other
                return
    except TimeoutError:
        return


def show(request: Namespace, console: Console) -> Exit:
    """`ordainctl fleet show`."""
    report = with_store(request, lambda database: _machine(database, request.machine))
    if request.json:
        console.json(to_json(report))
        return Exit.OK
    now = time.time()
    state, style = _state(report, now)
    rows: list[tuple[Cell, Cell]] = [
        (("Machine", Style.STRONG), f"{report.hostname} ({report.machine})"),
        (("State", Style.STRONG), (state, style)),
        (("Release", Style.STRONG), report.release.title or "none"),
        (("Generation", Style.STRONG), f"{report.generation} ({report.hash[:12]})"),
        (("Source", Style.STRONG), f"{report.source.type}, {'connected' if report.source.connected else 'lost'}"),
        (("Boot", Style.STRONG), f"from {report.boot.generated_from or 'nothing'}"),
        (("Last seen", Style.STRONG), _ago(now - report.seen)),
    ]
    rows += [
        (("Label", Style.STRONG), f"{name}: {', '.join(values)}") for name, values in sorted(report.labels.items())
    ]
    rows += [
        (("Condition", Style.STRONG), (f"{c.item}: {c.what} [{c.code}]".removeprefix(": "), Style.WARN))
        for c in report.conditions
    ]
    if report.dropped:
        rows.append((("Dropped", Style.STRONG), f"{plural(report.dropped, 'report')} before this one"))
    console.table((), rows)
    console.line()
    off = set(report.drift)
    console.table(
        ("UNIT", "STATE", "RESULT", "RESTARTS"),
        [
            (name, (unit.state, Style.BAD if name in off else Style.PLAIN), unit.result, str(unit.restarts))
            for name, unit in sorted(report.units.items())
        ],
    )
    return Exit.OK


def forget(request: Namespace, console: Console) -> Exit:
    """`ordainctl fleet forget`."""

    async def work(database: Database) -> MachineReport:
        report = await _machine(database, request.machine)
        await database.delete(status_key(report.machine), expect=ANY)
        return report

    report = with_store(request, work)
    console.line(f"{report.hostname} ({report.machine}) is forgotten until it reports again", Style.GOOD)
    return Exit.OK


async def _machine(database: Database, name: str) -> MachineReport:
    found, _, _ = await read_reports(database)
    meant = machines_named(found, name)
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise Failure(f"{name} is {len(meant)} machines: {', '.join(r.machine for r in meant)}")
    hint = near(name, [r.hostname for r in found])
    raise Failure(f"no machine called {name} reports" + (f"; {hint}" if hint else ""))


def _print(machines: Iterable[MachineReport], request: Namespace, console: Console) -> None:
    now = time.time()
    machines = tuple(machines)
    if request.json:
        console.json([{**to_json(report), "lost": is_lost(report, now)} for report in machines])
        return
    console.table(
        ("MACHINE", "RELEASE", "GENERATION", "STATE", "CONDITIONS", "SOURCE", "SEEN"), [_row(r, now) for r in machines]
    )
    off = [r for r in machines if r.phase in BAD or is_lost(r, now)]
    if machines:
        summary = plural(len(machines), "machine") + (f", {len(off)} not well" if off else "")
        console.line(summary, Style.BAD if off else Style.GOOD)
    else:
        console.line("no machine reports", Style.DIM)


def _row(report: MachineReport, now: float) -> tuple[Cell, ...]:
    codes = [condition.code for condition in report.conditions]
    source = "connected" if report.source.connected else f"lost for {_span(report.source.lag)}"
    return (
        report.hostname or report.machine,
        report.release.title,
        str(report.generation),
        _state(report, now),
        (", ".join(dict.fromkeys(codes)), Style.WARN),
        source,
        _ago(now - report.seen),
    )


def _state(report: MachineReport, now: float) -> tuple[str, Style]:
    if is_lost(report, now):
        return f"lost ({report.phase})", Style.BAD
    return str(report.phase), STATES.get(report.phase, Style.WARN)


def _ago(seconds: float) -> str:
    return "just now" if seconds < 10 else f"{_span(seconds)} ago"


def _span(seconds: float) -> str:
    """A time in its largest unit.

    >>> _span(59), _span(3600), _span(200_000)
    ('59 s', '60 min', '56 h')
    """
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= (4 if unit == "d" else 2) * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def _label(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not (name and equals):
        raise Usage(f"--label {word}: a label is KEY=VALUE")
    return name, value
