"""match, facts: the layers that match a machine, and the facts that they match on."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.document_files import read_valid, transforms
from ordain.agent.cli.subcommand import Exit
from ordain.agent.cli.target_machine import facts_to_json, machine
from ordain.agent.settings import read_settings
from ordain.agent.source_settings import SourceKind
from ordain.transforms.catalog.names import shared_versions
from ordain.transforms.machine.facts import survey
from ordain.transforms.resolve.resolve import Candidate, candidates, with_node_labels


def match(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl match`."""
    documents, problems = read_valid(request.file or own_documents(request.root))
    facts, _ = machine(request, documents)
    shared = shared_versions((*transforms(request.root), *documents))
    layers = candidates(documents, with_node_labels(documents, facts, shared), shared)
    if request.json:
        console.json([_to_json(layer) for layer in layers])
        return Exit.OK
    console.problems(problems)
    matching = [layer for layer in layers if layer.match.holds]
    others = [layer for layer in layers if not layer.match.holds]
    columns = ("TIER", "WEIGHT", "DOCUMENT", "REASON")
    console.table(
        ("MATCHES", *columns),
        [_row(layer, ", ".join(layer.match.reasons) or "every machine", Style.PLAIN) for layer in matching],
    )
    if matching and others:
        console.line()
    console.table(
        ("DOES NOT MATCH", *columns), [_row(layer, "; ".join(layer.match.mismatches), Style.DIM) for layer in others]
    )
    if not layers:
        console.line("there are no layers", Style.DIM)
    return Exit.OK


def own_documents(root: Path) -> Sequence[str]:
    """Return the directory of this machine's documents; nothing if its source is not a directory."""
    settings, _ = read_settings(root)
    return [str(root / settings.source.path.lstrip("/"))] if settings.source.type is SourceKind.DIRECTORY else []


def _row(layer: Candidate, reason: str, style: Style) -> tuple[Cell, ...]:
    document = layer.document
    return (document.name, style), document.tier, str(document.weight), str(document.where), reason


def _to_json(layer: Candidate) -> dict[str, object]:
    document = layer.document
    return {
        "kind": document.kind,
        "name": document.name,
        "tier": document.tier,
        "weight": document.weight,
        "path": document.where.path,
        "line": document.where.line,
        "applies": layer.match.holds,
        "reasons": list(layer.match.reasons),
        "against": list(layer.match.mismatches),
    }


def facts(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl facts`."""
    surveyed, problems = survey(request.root)
    by_name = facts_to_json(surveyed)
    console.problems(problems)
    if request.json:
        console.json(by_name)
        return Exit.OK
    rows = [(name, _listed(value)) for name, value in by_name.items() if name not in {"labels", "pinned"}]
    for name, values in sorted(surveyed.labels.items()):
        pinned = " (from the kernel command line)" if name in surveyed.pinned else ""
        rows.append((f"label {name}", _listed(values) + pinned))
    console.table((), rows)
    return Exit.OK


def _listed(value: object) -> str:
    return ", ".join(value) if isinstance(value, (list, tuple)) else str(value)
