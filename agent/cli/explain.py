"""show and explain: from what is on the machine back to the documents that say so."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from ordain.agent.apply.admin_overrides import hands
from ordain.agent.cli.apply import ask
from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.generations import in_force
from ordain.agent.errors import Failure
from ordain.agent.json_codec import from_json
from ordain.agent.model import Change, to_json
from ordain.agent.plan.describe import describe_change
from ordain.agent.plan.explain import Explanation, Hand, Line, NotInGeneration, Origin, origins, unit_of
from ordain.agent.plan.explain import explain as trace


def show(request: Namespace, console: Console) -> Exit:
    """`ordainctl show`."""
    generation = in_force(request.root)
    if request.json:
        shown = {"number": generation.number, "hash": generation.hash, "document": generation.document}
        console.json({**shown, "provenance": generation.provenance} if request.provenance else shown)
    elif request.provenance:
        _print_origins(origins("", generation), console)
    else:
        import yaml

        text = yaml.safe_dump(generation.document, sort_keys=True, allow_unicode=True, width=100)
        for line in text.rstrip("\n").split("\n"):
            console.line(line)
    return Exit.OK


def explain(request: Namespace, console: Console) -> Exit:
    """`ordainctl explain`."""
    generation = in_force(request.root)
    unit = unit_of(request.subject)
    member = next((m for m in generation.members if m.unit == unit), None)
    try:
        found = trace(
            request.subject, generation, hands(request.root, unit, ours=member is None or member.ours) if unit else ()
        )
    except NotInGeneration as unknown:
        raise Failure(str(unknown)) from unknown
    now = _now(request) if unit else {}
    if request.json:
        console.json({**to_json(found), **now})
    else:
        _print(found, console)
        _print_now(now, console)
    return Exit.OK


def _now(request: Namespace) -> Mapping[str, Any]:
    """How the unit is and what the last apply did about it; nothing where there is no systemd to ask."""
    try:
        told = ask(request.root, lambda client: client.explain(unit_of(request.subject)))
    except Failure:
        return {}
    return {key: told[key] for key in ("state", "status", "last") if told.get(key)}


def _print_now(now: Mapping[str, Any], console: Console) -> None:
    if not now:
        return
    console.line()
    console.line("Now", Style.STRONG)
    if state := now.get("state"):
        console.line(f"  {state['load_state']}, {state['active_state']} ({state['sub_state']})")
    last = now.get("last", {})
    for job in (*last.get("stops", ()), *last.get("jobs", ())):
        console.line(f"  last apply: {job['verb']}, {job['reason']}")
        for change in job["changes"]:
            console.line(f"    {describe_change(from_json(Change, change))}")
    if (status := now.get("status")) and status["what"]:
        console.line(f"  {status['what']}", Style.PLAIN if status["ok"] else Style.WARN)
    for verdict in last.get("verdicts", ()):
        console.line(f"  {verdict['what']}", Style.PLAIN if verdict["ok"] else Style.BAD)


def _print(found: Explanation, console: Console) -> None:
    head = [f"generation {found.generation}"]
    if found.item:
        head.append(f"from {found.item}")
    if found.wanted:
        head.append(f"wanted {found.wanted}")
    console.line(found.about, Style.STRONG)
    console.line(f"  {', '.join(head)}")
    if found.origins:
        console.line()
        _print_origins(found.origins, console)
    for file in found.files:
        console.line()
        console.line(f"{file.path} -> {file.link}" if file.link else file.path, Style.STRONG)
        rows: list[tuple[Cell, ...]] = []
        for section, lines in groupby(file.lines, key=lambda line: line.section):
            rows.append((f"  [{section}]", "", ""))
            rows += [(f"  {line.text}", _cause(line), line.pointer) for line in lines]
        console.table((), rows)
    if found.hands:
        console.line()
        console.line("Not ours", Style.STRONG)
        for hand in found.hands:
            console.line(f"  {hand.path}: {_says(hand)}", Style.WARN if hand.masks or hand.replaces else Style.PLAIN)
            for section, key, value in hand.assignments:
                ours = found.changed.get(f"[{section}] {key}")
                console.line(f"    [{section}] {key}={value}" + (f"  (ours: {ours})" if ours is not None else ""))


def _says(hand: Hand) -> str:
    if hand.masks:
        return "masks the unit; `systemctl unmask` gives it back"
    return "takes the place of ours" if hand.replaces else "drop-in" if hand.assignments else "the unit itself"


def _cause(line: Line) -> Cell:
    return f"{line.path}:{line.line} ({line.layer})" if line.path else (line.why, Style.DIM)


def _print_origins(found: Iterable[Origin], console: Console) -> None:
    rows: list[tuple[Cell, ...]] = []
    for origin in found:
        rows.append((origin.pointer, str(origin), _short(origin.value)))
        rows += [(("  overrode", Style.DIM), str(each), _short(each.value)) for each in origin.overrode]
    console.table(("VALUE", "SET BY", "IS"), rows)


def _short(value: object) -> str:
    """A value on one line, as YAML and JSON would both read it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
