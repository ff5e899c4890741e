"""match, facts: the layers that match a machine, and the facts that they match on."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.documents.document_files import read_valid, transforms, valid
from ordain.agent.cli.documents.target_machine import facts_to_json, machine
from ordain.agent.cli.json_shapes import JsonLayerMatch
from ordain.agent.daemon.status.source_reader import open_configured_source
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.release.admission import admit_snapshot
from ordain.agent.errors import Failure
from ordain.agent.settings import read_settings
from ordain.transforms.catalog.impossible_matches import impossible_conditions
from ordain.transforms.catalog.names import shared_versions
from ordain.transforms.document.formats.fact_table import FACT_TABLE
from ordain.transforms.errors import Problem
from ordain.transforms.machine.fact_readers import read_now
from ordain.transforms.machine.facts import survey
from ordain.transforms.machine.observed_facts import read_observed
from ordain.transforms.model import Document
from ordain.transforms.resolve.match import MAX_SHOWN
from ordain.transforms.resolve.resolve import Candidate, candidates, with_node_labels

_APART = frozenset(("labels", "pinned", "details", "unknown"))


def match(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl match`."""
    documents, problems = read_valid(request.file) if request.file else own_documents(request.root)
    facts, _ = machine(request, documents)
    shared = shared_versions((*transforms(request.root), *documents))
    layers = candidates(documents, with_node_labels(documents, facts, shared), shared)
    if request.json:
        console.json([_to_json(layer) for layer in layers])
        return Exit.OK
    console.problems((*problems, *impossible_conditions(documents)))
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
    where = "FILE" if request.file else read_settings(request.root)[0].source.location
    if not layers:
        console.line(f"there are no layers in {where}", Style.DIM)
    elif not matching:
        console.line("no layer matches, so nothing is configured; `ordainctl facts` shows what layers match on")
    return Exit.OK


def own_documents(root: Path) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """Return the documents that this machine accepts from its source, and warnings, as the agent reads them.

    Raises `Failure` if the source cannot be read, `Refused` for documents with errors.
    """
    settings, _ = read_settings(root)
    try:
        snapshot = asyncio.run(open_configured_source(settings, root).read())
        admitted, _, _ = admit_snapshot(root, settings.trust, snapshot, record=False)
    except SourceError as error:
        raise Failure(f"{error} [{error.code}]" + (f"; {error.hint}" if error.hint else "")) from None
    return valid(admitted.texts)


def _row(layer: Candidate, reason: str, style: Style) -> tuple[Cell, ...]:
    document = layer.document
    return (document.name, style), document.tier, str(document.weight), str(document.where), reason


def _to_json(layer: Candidate) -> JsonLayerMatch:
    document = layer.document
    return JsonLayerMatch(
        kind=document.kind,
        name=document.name,
        tier=document.tier,
        weight=document.weight,
        path=document.where.path,
        line=document.where.line,
        applies=layer.match.holds,
        reasons=layer.match.reasons,
        against=layer.match.mismatches,
    )


def facts(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl facts`."""
    surveyed, problems = survey(request.root)
    observed = read_observed(request.root)
    details = {**(observed.values if observed else {}), **read_now(request.root, FACT_TABLE)}
    surveyed = replace(surveyed, details=dict(sorted(details.items())))
    by_name = facts_to_json(surveyed)
    console.problems(problems)
    if request.json:
        console.json(by_name)
        return Exit.OK
    rows = [(name, _listed(value)) for name, value in by_name.items() if name not in _APART]
    rows += [(name, _listed(values)) for name, values in surveyed.details.items() if values]
    for name, values in sorted(surveyed.labels.items()):
        pinned = " (from the kernel command line)" if name in surveyed.pinned else ""
        rows.append((f"label {name}", _listed(values) + pinned))
    console.table((), rows)
    return Exit.OK


def _listed(value: object) -> str:
    if not isinstance(value, (list, tuple)):
        return str(value)
    more = f" and {len(value) - MAX_SHOWN:,} more" if len(value) > MAX_SHOWN else ""
    return ", ".join(value[:MAX_SHOWN]) + more
