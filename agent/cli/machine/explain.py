"""show, explain: the values and lines of this machine, with the documents that set them."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from ordain.agent.apply.deviations.administrator_overrides import override_files
from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.json_shapes import JsonBlockedSubject, JsonMergedDocument
from ordain.agent.cli.machine.ask_agent import ask
from ordain.agent.cli.machine.kept_generations import in_force
from ordain.agent.cli.machine.status import blocked_items, blocked_text
from ordain.agent.condition import StatusCondition
from ordain.agent.errors import Failure
from ordain.agent.generation import TRANSFORMS
from ordain.agent.local_time import local_time
from ordain.agent.model import to_json
from ordain.agent.plan.describe import describe_change
from ordain.agent.plan.explain import (
    ExplainedLine,
    Explanation,
    NotInGeneration,
    OverrideFile,
    ProvenanceEntry,
    provenance_entries,
    unit_name_of,
)
from ordain.agent.plan.explain import explain as trace
from ordain.agent.status import UnitExplanation


def show(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl show`."""
    generation = in_force(request.root)
    if request.json:
        shown = JsonMergedDocument(number=generation.number, hash=generation.hash, document=generation.document)
        if request.provenance:
            shown["provenance"] = generation.provenance
        console.json(shown)
    elif request.provenance:
        _print_provenance(provenance_entries("", generation), console)
    else:
        import yaml

        console.text(yaml.safe_dump(generation.document, sort_keys=True, allow_unicode=True, width=100))
    if not request.json:
        for name, condition in _blocked(request).items():
            console.note(blocked_text(name, condition), Style.WARN)
    return Exit.OK


def explain(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl explain`."""
    generation = in_force(request.root)
    unit = unit_name_of(request.subject)
    member = next((m for m in generation.members if m.unit == unit), None)
    try:
        explanation = trace(
            request.subject,
            generation,
            override_files(request.root, unit, ours=member is None or member.ours) if unit else (),
        )
    except NotInGeneration as unknown:
        blocked = _blocked(request)
        item = "/".join(request.subject.split("/")[:2])
        for name, condition in blocked.items():
            if name == unit or condition.item == item:
                if request.json:
                    blocked_subject = JsonBlockedSubject(
                        about=request.subject, item=condition.item, blocked=to_json(condition)
                    )
                    console.json(blocked_subject)
                else:
                    console.line(blocked_text(name, condition), Style.WARN)
                return Exit.DEGRADED
        raise Failure(str(unknown)) from unknown
    explanation = replace(explanation, origins=_with_evidence(explanation.origins, request.root))
    now = _now(request)
    if request.json:
        live: dict[str, object] = {"actual": now.actual, "differs": now.differs} if now else {}
        live |= {"state": now.state, "status": now.status, "last": now.last} if now and unit else {}
        console.json({**to_json(explanation), **{key: to_json(value) for key, value in live.items() if value}})
    else:
        _print(explanation, now or UnitExplanation(about=request.subject), console)
        if now and unit:
            _print_now(now, console)
    return Exit.OK


def _with_evidence(entries: tuple[ProvenanceEntry, ...], root: Path) -> tuple[ProvenanceEntry, ...]:
    """Return ``entries`` as `row_origins.with_evidence` does, which is loaded only if one may be a shipped row."""
    if not any(entry.pointer.startswith(TRANSFORMS) for entry in entries):
        return entries
    from ordain.agent.cli.machine.row_origins import with_evidence
    from ordain.transforms.machine.facts import read_facts

    return with_evidence(entries, read_facts(root))


def _blocked(request: Namespace) -> dict[str, StatusCondition]:
    """Return the blocked items (`blocked_items`); nothing if there is no systemd to ask."""
    try:
        return blocked_items(ask(request.root, lambda client: client.status()))
    except Failure:
        return {}


def _now(request: Namespace) -> UnitExplanation | None:
    """Return the values of the machine, and a unit's part in the last apply; None if there is no systemd to ask."""
    try:
        return ask(request.root, lambda client: client.explain(unit_name_of(request.subject) or request.subject))
    except Failure:
        return None


def _print_now(now: UnitExplanation, console: Console) -> None:
    console.line()
    console.line("Now", Style.STRONG)
    if state := now.state:
        console.line(f"  {state.load_state}, {state.active_state} ({state.sub_state})")
    for job in (*now.last.stops, *now.last.jobs):
        when = f" {local_time(now.last.started)}, generation {now.last.generation}" if now.last.started else ""
        by = f", asked for by {now.last.origin.by}" if now.last.origin.by else ""
        console.line(f"  last apply{when}{by}: {job.verb}, {job.reason}")
        for change in job.changes:
            console.line(f"    {describe_change(change)}")
    if (status := now.status) and status.what:
        console.line(f"  {status.what}", Style.PLAIN if status.ok else Style.WARN)
    for verdict in now.last.verdicts:
        console.line(f"  {verdict.what}", Style.PLAIN if verdict.ok else Style.BAD)


def _print(explanation: Explanation, now: UnitExplanation, console: Console) -> None:
    head = [f"generation {explanation.generation}"]
    if explanation.item:
        head.append(f"from {explanation.item}")
    if explanation.wanted:
        head.append(f"wanted {explanation.wanted}")
    console.line(explanation.about, Style.STRONG)
    console.line(f"  {', '.join(head)}")
    if explanation.origins:
        console.line()
        _print_provenance(explanation.origins, console, now)
    for file in explanation.files:
        console.line()
        console.line(f"{file.path} -> {file.link}" if file.link else file.path, Style.STRONG)
        rows: list[tuple[Cell, ...]] = []
        for section, lines in groupby(file.lines, key=lambda line: line.section):
            rows.append((f"  [{section}]", "", ""))
            rows += [(f"  {line.text}", _cause(line), line.pointer) for line in lines]
        console.table((), rows)
    if explanation.hands:
        console.line()
        console.line("Other files for this unit", Style.STRONG)
        for override in explanation.hands:
            style = Style.WARN if override.masks or override.replaces else Style.PLAIN
            console.line(f"  {override.path}: {_role(override)}", style)
            for section, key, value in override.assignments:
                ours = explanation.changed.get(f"[{section}] {key}")
                console.line(f"    [{section}] {key}={value}" + (f"  (ours: {ours})" if ours is not None else ""))


def _role(override: OverrideFile) -> str:
    if override.masks:
        return "masks the unit; `systemctl unmask` removes the mask"
    return "replaces our unit" if override.replaces else "drop-in" if override.assignments else "the unit itself"


def _cause(line: ExplainedLine) -> Cell:
    return f"{line.path}:{line.line} ({line.layer})" if line.path else (line.why, Style.DIM)


def _print_provenance(entries: Iterable[ProvenanceEntry], console: Console, now: UnitExplanation | None = None) -> None:
    """Print a line for each value; with the column IS, the value of the machine, if any is known."""
    rows: list[tuple[Cell, ...]] = []
    actual = now.actual if now else {}
    for entry in entries:
        differs = now is not None and entry.pointer in now.differs
        value = (actual.get(entry.pointer, ""), Style.BAD if differs else Style.PLAIN)
        rows.append((entry.pointer, str(entry), _short(entry.value), value))
        rows += [(("  overrides", Style.DIM), str(lower), _short(lower.value), "") for lower in entry.overrode]
    if actual:
        console.table(("KEY", "SET BY", "VALUE", "IS"), rows)
    else:
        console.table(("KEY", "SET BY", "VALUE"), [row[:3] for row in rows])


def _short(value: object) -> str:
    """Return a value on one line, in a form that YAML and JSON read alike."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
