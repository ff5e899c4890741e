"""match: which layers are for a machine, and why the others are not."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.document_files import read_valid, transforms
from ordain.agent.cli.target_machine import machine
from ordain.agent.settings import read_settings
from ordain.agent.source_settings import SourceKind
from ordain.transforms.catalog.names import shared_versions
from ordain.transforms.resolve.resolve import Candidate, candidates, with_node


def match(request: Namespace, console: Console) -> Exit:
    """`ordainctl match`."""
    documents, problems = read_valid(request.file or own_documents(request.root))
    facts, _ = machine(request, documents)
    shared = shared_versions((*transforms(request.root), *documents))
    found = candidates(documents, with_node(documents, facts, shared), shared)
    if request.json:
        console.json([_to_json(candidate) for candidate in found])
        return Exit.OK
    console.problems(problems)
    applying = [c for c in found if c.match.holds]
    others = [c for c in found if not c.match.holds]
    console.table(
        ("LAYER", "TIER", "WEIGHT", "APPLIES SINCE", "DOCUMENT"),
        [_row(c, ", ".join(c.match.reasons) or "it is for every machine", Style.PLAIN) for c in applying],
    )
    if others:
        if applying:
            console.line()
        console.table(
            ("NOT FOR THIS MACHINE", "TIER", "WEIGHT", "BECAUSE", "DOCUMENT"),
            [_row(c, "; ".join(c.match.against), Style.DIM) for c in others],
        )
    if not found:
        console.line("there is no layer", Style.DIM)
    return Exit.OK


def own_documents(root: Path) -> Sequence[str]:
    """The directory this machine's documents come from; none if they come from elsewhere."""
    settings, _ = read_settings(root)
    return [str(root / settings.source.path.lstrip("/"))] if settings.source.type is SourceKind.DIRECTORY else []


def _row(candidate: Candidate, why: str, style: Style) -> tuple[Cell, ...]:
    document = candidate.document
    return (document.name, style), document.tier, str(document.weight), why, str(document.where)


def _to_json(candidate: Candidate) -> dict[str, object]:
    document = candidate.document
    return {
        "kind": document.kind,
        "name": document.name,
        "tier": document.tier,
        "weight": document.weight,
        "path": document.where.path,
        "line": document.where.line,
        "applies": candidate.match.holds,
        "reasons": list(candidate.match.reasons),
        "against": list(candidate.match.against),
    }
