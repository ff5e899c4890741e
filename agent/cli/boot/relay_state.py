"""fleet relay: the state of a relay on this machine."""

from __future__ import annotations

import time
from argparse import Namespace
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.moments import spoken_ago, spoken_span
from ordain.agent.model import to_json
from ordain.agent.server.relay.relay_state import STALE_SEC, RelayState, read_state


def relay(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet relay`."""
    state = read_state(Path(request.state))
    silent_sec = time.time() - state.now
    if request.json:
        console.json(to_json(state))
    else:
        console.table((), [((title, Style.STRONG), value) for title, value in _lines(state, silent_sec)])
    is_bad = silent_sec > STALE_SEC or state.away_sec or state.dropped or state.queue_fault or state.older
    return Exit.DEGRADED if is_bad else Exit.OK


def _lines(state: RelayState, silent_sec: float) -> list[tuple[str, Cell]]:
    """Return title and value of each line."""
    now = state.now
    store: Cell = f"{state.store}, connected"
    if state.away_sec:
        store = f"{state.store} has not answered for {spoken_span(state.away_sec)}: {state.fault}", Style.BAD
    queue: Cell = "empty"
    if state.queued:
        waits = f"{plural(state.queued, 'report')}, the oldest for {spoken_span(state.oldest_sec)}"
        queue = f"{waits}: {state.queue_fault}" if state.queue_fault else waits, Style.WARN
    lines: list[tuple[str, Cell]] = [
        ("Relay", state.name),
        ("Store", store),
        (
            "Last good copy",
            f"{plural(state.entries, 'key')}, {spoken_ago(now - state.copied)}"
            if state.copied
            else ("none yet", Style.BAD),
        ),
        ("Queue", queue),
        ("Reports", f"{state.forwarded} went to the store, of {plural(state.machines, 'machine')}"),
    ]
    if state.dropped:
        lines.append(("Dropped", (f"{plural(state.dropped, 'report')}: too many or too old", Style.BAD)))
    if state.older:
        remedy = "machines refuse it; publish a release with a higher number than the last [ReleaseReplayed]"
        lines.append(("Older store", (f"{'; '.join(state.older)}: {remedy}", Style.BAD)))
    if silent_sec > STALE_SEC:
        lines.append(("Not running", (f"this was the state {spoken_ago(silent_sec)}", Style.BAD)))
    return lines
