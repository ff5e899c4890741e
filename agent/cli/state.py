"""status and history: what is, and what was."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Sequence

from ordain.agent.cli.change import ask
from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.failure import Failure
from ordain.agent.model import to_json
from ordain.agent.status import State, Status, UnitStatus
from ordain.agent.store import Store
from ordain.transforms.errors import near

STATES = {
    State.CONVERGED: Style.GOOD,
    State.DEGRADED: Style.BAD,
    State.ROLLED_BACK: Style.BAD,
}


def status(request: Namespace, console: Console) -> Exit:
    """`ordainctl status`."""
    now = ask(request.root, lambda client: client.status())
    units = _chosen(now.units, request.unit)
    if request.json:
        data = to_json(now)
        data["units"] = to_json(units)
        console.json(data)
    else:
        if not request.unit:
            console.table((), _head(now))
            console.line()
        console.table(("UNIT", "WANTED", "IS", "NOTE"), map(_row, units))
        if not units:
            console.line("the documents speak of no unit", Style.DIM)
    degraded = now.state in {State.DEGRADED, State.ROLLED_BACK}
    if request.unit:
        degraded = any(not unit.ok for unit in units)
    return Exit.DEGRADED if degraded else Exit.OK


def unit_name(word: str) -> str:
    """The unit a word means, as systemctl reads it: ``web`` is web.service.

    >>> unit_name("web"), unit_name("web.timer")
    ('web.service', 'web.timer')
    """
    return word if "." in word else f"{word}.service"


def _chosen(units: Sequence[UnitStatus], words: Iterable[str]) -> tuple[UnitStatus, ...]:
    known = {unit.unit: unit for unit in units}
    names = [unit_name(word) for word in words]
    for name in names:
        if name not in known:
            hint = near(name, known)
            raise Failure(f"the documents do not speak of {name}" + (f"; {hint}" if hint else ""))
    return tuple(known[name] for name in names) if names else tuple(units)


def _head(now: Status) -> list[tuple[Cell, Cell]]:
    generation = f"{now.generation} ({now.hash[:12]})" if now.generation else "none"
    if now.wanted_hash and now.wanted_hash != now.hash:
        generation += f", documents want {now.wanted_generation or now.wanted_hash[:12]}"
    source = f"{now.source.type} {now.source.location}".strip()
    if now.agent and not now.source.connected:
        source += ", not readable"
    rows: list[tuple[Cell, Cell]] = [
        (("State", Style.STRONG), (str(now.state), STATES.get(now.state, Style.WARN))),
        (("Generation", Style.STRONG), generation),
        (("Source", Style.STRONG), source),
        (("Agent", Style.STRONG), "running" if now.agent else ("not running", Style.WARN)),
    ]
    if now.taken_over_by:
        rows.append((("Services", Style.STRONG), f"started by {now.taken_over_by}"))
    if now.source.problem:
        rows.append((("Documents", Style.STRONG), (now.source.problem, Style.BAD)))
    for condition in now.conditions:
        about = f"{condition.item}: " if condition.item else ""
        # What comes from a problem ends in its hint.
        hint = f" ({condition.hint})" if condition.hint and condition.hint not in condition.what else ""
        rows.append((("Condition", Style.STRONG), (f"{about}{condition.what}{hint} [{condition.code}]", Style.WARN)))
    return rows


def _row(unit: UnitStatus) -> tuple[Cell, ...]:
    state = f"{unit.active_state} ({unit.sub_state})" if unit.load_state == "loaded" else unit.load_state
    notes = [unit.what] if unit.what else []
    if unit.n_restarts:
        notes.append(f"restarted {unit.n_restarts}×")
    return unit.unit, unit.wanted, (state, Style.PLAIN if unit.ok else Style.BAD), ", ".join(notes)


def history(request: Namespace, console: Console) -> Exit:
    """`ordainctl history`."""
    kept = Store(request.root).history()
    current = Store(request.root).read_applied()
    if request.json:
        console.json([{**to_json(s), "in_force": current is not None and s.number == current.number} for s in kept])
        return Exit.OK
    rows: list[tuple[Cell, ...]] = []
    for saved in kept:
        here = current is not None and saved.number == current.number
        note: Cell = (saved.damaged, Style.BAD) if saved.damaged else ("in force", Style.GOOD) if here else ""
        rows.append((str(saved.number), saved.saved, saved.hash[:12], note))
    console.table(("NUMBER", "SAVED", "HASH", "NOTE"), rows)
    if not rows:
        console.line("no generation was applied yet", Style.DIM)
    return Exit.OK
