"""boot-chart: the time that each step of this boot took."""

from __future__ import annotations

import asyncio
from argparse import Namespace

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.daemon.status.boot_chart import BootChart, BootStep, read_boot_chart
from ordain.agent.model import to_json
from ordain.agent.system.dbus.blocking_bus import open_blocking_bus

WIDTH = 32
"""The length of the bars in characters, for the time until the end of the last step."""


def boot_chart(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl boot-chart`."""
    bus = open_blocking_bus()
    try:
        measured = asyncio.run(read_boot_chart(bus, request.root))
    finally:
        bus.close()
    if request.json:
        console.json(to_json(measured))
        return Exit.OK
    total = _end(measured)
    console.table(("STEP", "START", "TOOK", "", "WHAT"), [_row(step, total) for step in measured.steps])
    if measured.finished_usec:
        end = f"the boot finished after {_seconds(measured.finished_usec).strip()}"
    else:
        end = "the boot has not finished yet"
    console.line(f"{end}; times count from the start of PID 1", Style.DIM)
    return Exit.OK


def _end(measured: BootChart) -> int:
    ends = [step.start_usec + (step.took_usec or 0) for step in measured.steps if step.start_usec is not None]
    return max([*ends, measured.finished_usec or 0, 1])


def _row(step: BootStep, total: int) -> tuple[Cell, ...]:
    if step.start_usec is None:
        return (step.name, Style.DIM), "", "", ("", Style.DIM), ("not in this boot", Style.DIM)
    at = min(WIDTH - 1, step.start_usec * WIDTH // total)
    length = max(1, round((step.took_usec or 0) * WIDTH / total))
    bar = " " * at + ("█" if step.took_usec is not None else "▏") * min(length, WIDTH - at)
    took = _seconds(step.took_usec) if step.took_usec is not None else "running"
    return step.name, _seconds(step.start_usec), took, bar.ljust(WIDTH), step.what


def _seconds(usec: int | None) -> str:
    return f"{(usec or 0) / 1_000_000:7.3f} s"
