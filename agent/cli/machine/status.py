"""status, watch: the state of this machine, once or at every change."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.machine.ask_agent import ask
from ordain.agent.condition import StatusCondition
from ordain.agent.daemon.clients.connect import connect
from ordain.agent.errors import Failure
from ordain.agent.local_time import local_time
from ordain.agent.model import to_json
from ordain.agent.status import AGENT_SILENT, AgentState, Status, UnitStatus
from ordain.transforms.document.text.node import unescape_key
from ordain.transforms.errors import did_you_mean
from ordain.transforms.model import BOOT_ITEM

FEW_UNITS = 20
"""With more units than this, a last line has their number: the head of the status has scrolled away."""
STATES = {
    AgentState.CONVERGED: Style.GOOD,
    AgentState.DEGRADED: Style.BAD,
    AgentState.ROLLED_BACK: Style.BAD,
}


def status(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl status`."""
    now = ask(request.root, lambda client: client.status())
    missing = blocked_items(now)
    words = [word for word in request.unit if unit_name(word) not in missing]
    units = _chosen(now.units, words) if words or not request.unit else ()
    if request.unit:
        missing = {name: missing[name] for name in map(unit_name, request.unit) if name in missing}
    if request.json:
        data = to_json(now)
        data["units"] = to_json(units)
        console.json(data)
    else:
        if not request.unit:
            console.table((), _head(now))
            console.line()
        # There are dozens of them: their number is enough while they stay out.
        kept_out = [] if request.unit else [unit for unit in units if unit.item == BOOT_ITEM and unit.ok]
        shown = [unit for unit in units if unit not in kept_out and not (request.problems and _is_plain(unit))]
        rows = [_row(unit) for unit in shown]
        rows += [(name, "", ("blocked", Style.BAD), condition_text(reason)) for name, reason in missing.items()]
        console.table(("UNIT", "WANTED", "STATE", "NOTE"), rows)
        if kept_out:
            console.line(
                f"{plural(len(kept_out), 'unit')} of the distribution kept out by `boot: {{mode: exclusive}}`",
                Style.DIM,
            )
        if len(units) > FEW_UNITS or request.problems:
            console.line(_count(units, len(missing)), Style.DIM)
        if not units and not missing:
            reason = "the documents name no unit" if now.generation else "no generation has been applied yet"
            console.line(reason, Style.DIM)
    faulty = bool(missing) or any(not unit.ok for unit in units) if request.unit else now.faulty
    return Exit.DEGRADED if faulty else Exit.OK


def _is_plain(unit: UnitStatus) -> bool:
    """Return whether there is nothing to say about a unit: it is as wanted, by itself, without a restart or an edit."""
    return unit.ok and not unit.what and not unit.n_restarts and not unit.edited


def _count(units: Sequence[UnitStatus], blocked: int) -> str:
    """Return the number of units, and of those that are not as the documents want."""
    wrong = sum(not unit.ok for unit in units)
    text = f"{plural(len(units), 'unit')}: {len(units) - wrong} as wanted, {wrong} not"
    return f"{text}, {blocked} blocked" if blocked else text


def watch(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl watch`."""
    asyncio.run(_watch(request, console))
    return Exit.OK


async def _watch(request: Namespace, console: Console) -> None:
    last = Status()
    async with connect(request.root) as client:
        async for now in client.watch():
            if request.json:
                console.text(f"{json.dumps(to_json(now), ensure_ascii=False)}\n")
            else:
                time = local_time(datetime.now(UTC))
                console.table((), [(time, change) for change in changes(last, now)])
            console.out.flush()
            last = now


def changes(last: Status, now: Status) -> Iterator[tuple[str, Style]]:
    """Yield a line for each difference of ``now`` from ``last``."""
    if (now.state, now.generation) != (last.state, last.generation):
        yield f"{now.state}, generation {now.generation}", STATES.get(now.state, Style.WARN)
    if now.source.problem not in ("", last.source.problem) and not now.source.code:
        yield now.source.problem, Style.BAD
    for condition in now.conditions:
        if condition not in last.conditions:
            yield condition_text(condition), Style.WARN
    before = {unit.unit: unit for unit in last.units}
    for unit in now.units:
        if unit != before.pop(unit.unit, None):
            note = f", {unit.what}" if unit.what else ""
            yield f"{unit.unit} {unit.active_state} ({unit.sub_state}){note}", Style.PLAIN if unit.ok else Style.BAD
    for name in before:
        yield f"{name} is no longer in the documents", Style.PLAIN


def unit_name(word: str) -> str:
    """Return the unit that a word means, as systemctl reads it: ``web`` is web.service.

    >>> unit_name("web"), unit_name("web.timer")
    ('web.service', 'web.timer')
    """
    return word if "." in word else f"{word}.service"


DIFFERENCES = frozenset(
    {
        *("Account", "DeviceFailed", "DeviceMissing", "FileChanged", "NetworkDiffers", "SocketChanged"),
        *("PackageChanged", "PackageKept", "PackagePending"),
    }
)
"""The codes of items that the machine has, but otherwise than the documents say: they are not blocked."""


def blocked_items(now: Status) -> dict[str, StatusCondition]:
    """Return the conditions of items that the documents want and this machine cannot have, by unit or item.

    Their units are not in the generation, so the status has no line for them.
    """
    present = {unit.item for unit in now.units}
    blocked: dict[str, StatusCondition] = {}
    for condition in now.conditions:
        section, _, name = condition.item.partition("/")
        if condition.fault and name and condition.item not in present and condition.code not in DIFFERENCES:
            unit = unit_name(unescape_key(name)) if section in ("services", "units") else condition.item
            blocked.setdefault(unit, condition)
    return blocked


def blocked_text(name: str, condition: StatusCondition) -> str:
    """Return the sentence for a blocked unit, with the reason and the remedy."""
    return f"{name} is in the documents, but blocked: {condition_text(condition)}"


def _chosen(units: Sequence[UnitStatus], words: Iterable[str]) -> tuple[UnitStatus, ...]:
    known = {unit.unit: unit for unit in units}
    names = [unit_name(word) for word in words]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise Failure(f"{name} is not in the documents" + (f"; {hint}" if hint else ""))
    return tuple(known[name] for name in names) if names else tuple(units)


def _head(now: Status) -> list[tuple[Cell, Cell]]:
    generation = f"{now.generation} ({now.hash[:12]})" if now.generation else "none"
    if now.wanted_hash and now.wanted_hash != now.hash:
        generation += f"; the documents want {now.wanted_generation or now.wanted_hash[:12]}"
    source = f"{now.source.type} {now.source.location}".strip()
    if now.agent and not now.source.connected:
        since = f" since {local_time(now.source.since)}" if now.source.since else ""
        source += f"; lost{since} [{now.source.code}]" if now.source.code else "; not read yet"
    if now.source.waiting:
        source += f"; no newer release yet: {now.source.waiting}"
    rows: list[tuple[Cell, Cell]] = [
        (("State", Style.STRONG), (str(now.state), STATES.get(now.state, Style.WARN))),
        (("Generation", Style.STRONG), generation),
        (("Source", Style.STRONG), source),
        (("Agent", Style.STRONG), _agent(now)),
    ]
    if now.taken_over_by:
        rows.append((("Services", Style.STRONG), f"started by {now.taken_over_by}"))
    if now.source.problem and not now.source.code:
        rows.append((("Documents", Style.STRONG), (now.source.problem, Style.BAD)))
    rows += [(("Condition", Style.STRONG), (condition_text(condition), Style.WARN)) for condition in now.conditions]
    return rows


def _agent(now: Status) -> Cell:
    if now.agent:
        return "running"
    silent = any(condition.code == AGENT_SILENT for condition in now.conditions)
    return ("does not answer" if silent else "not running"), Style.WARN


def condition_text(condition: StatusCondition) -> str:
    """Return a condition on one line. The text of a problem already contains its item, hint and code."""
    parts = [f"{condition.item}:", condition.what, f"({condition.hint})", f"[{condition.code}]"]
    values = [condition.item, "", condition.hint, condition.code]
    return " ".join(
        part
        for part, value in zip(parts, values, strict=True)
        if part == condition.what or (value and value not in condition.what)
    )


def _row(unit: UnitStatus) -> tuple[Cell, ...]:
    state = f"{unit.active_state} ({unit.sub_state})"
    if unit.load_state != "loaded":
        state = unit.load_state if unit.active_state == "inactive" else f"{state}, {unit.load_state}"
    notes = [unit.what] if unit.what else []
    section, _, name = unit.item.partition("/")
    if section and not name:  # nobody has asked for this unit by its name
        notes.append(f"applies `{section}` of the documents")
    if section == "services" and unescape_key(name) not in unit.unit:
        notes.append(f"{unescape_key(name)} in the documents")  # a role, or a name of another system
    if unit.n_restarts:
        notes.append(f"restarted {unit.n_restarts} times" if unit.n_restarts > 1 else "restarted once")
    if unit.edited:
        unread = " (not loaded yet; run systemctl daemon-reload)" if unit.unread else ""
        notes.append(f"changed by {', '.join(unit.edited)}{unread}")
    return unit.unit, unit.wanted, (state, Style.PLAIN if unit.ok else Style.BAD), ", ".join(notes)
