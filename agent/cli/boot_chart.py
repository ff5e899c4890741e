"""boot-chart: where the time of this boot went."""

from __future__ import annotations

import asyncio
from argparse import Namespace

from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.daemon.boot_chart import Chart, Step, chart
from ordain.agent.model import to_json
from ordain.agent.system.bus_pystemd import Pystemd

WIDTH = 32
"""Characters of the bars, for the time until the last of it was over."""


def boot_chart(request: Namespace, console: Console) -> Exit:
    """`ordainctl boot-chart`."""
    bus = Pystemd()
    try:
        found = asyncio.run(chart(bus, request.root))
    finally:
        bus.close()
    if request.json:
        console.json(to_json(found))
        return Exit.OK
    total = _end(found)
    console.table(("STEP", "START", "TOOK", "", "WHAT"), [_row(step, total) for step in found.steps])
    over = f"the boot was over after {_seconds(found.finished_usec)}" if found.finished_usec else "the boot goes on"
    console.line(f"{over}; times are from the start of PID 1", Style.DIM)
    return Exit.OK


def _end(found: Chart) -> int:
    ends = [step.start_usec + (step.took_usec or 0) for step in found.steps if step.start_usec is not None]
    return max([*ends, found.finished_usec or 0, 1])


def _row(step: Step, total: int) -> tuple[Cell, ...]:
    if step.start_usec is None:
        return (step.name, Style.DIM), "", "", ("", Style.DIM), ("not in this boot", Style.DIM)
    at = min(WIDTH - 1, step.start_usec * WIDTH // total)
    length = max(1, round((step.took_usec or 0) * WIDTH / total))
    bar = " " * at + ("█" if step.took_usec is not None else "▏") * min(length, WIDTH - at)
    took = _seconds(step.took_usec) if step.took_usec is not None else "goes on"
    return step.name, _seconds(step.start_usec), took, bar.ljust(WIDTH), step.what


def _seconds(usec: int | None) -> str:
    return f"{(usec or 0) / 1_000_000:7.3f} s"
