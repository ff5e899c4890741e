"""The evidence for the entries of `ordainctl explain` that are rows of the transformation database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ordain.agent.generation import TRANSFORMS
from ordain.agent.plan.explain import ProvenanceEntry
from ordain.transforms.catalog.row_evidence import ROWS, evidence, known_name
from ordain.transforms.catalog.shipped import DIRECTORY
from ordain.transforms.document.text.node import unescape_key
from ordain.transforms.model import Facts


def with_evidence(entries: Iterable[ProvenanceEntry], facts: Facts) -> tuple[ProvenanceEntry, ...]:
    """Return ``entries``, of which the shipped rows of the transformation database say how they are known."""
    system = known_name(facts.id, facts.version)
    return tuple(replace(entry, known=_evidence(entry, system)) for entry in entries)


def _evidence(entry: ProvenanceEntry, system: str) -> str:
    section, _, rest = entry.pointer.removeprefix(TRANSFORMS).partition("/")
    if not entry.pointer.startswith(TRANSFORMS) or Path(entry.path).parent != DIRECTORY or section not in ROWS:
        return ""
    name, _, key = rest.partition("/")
    return str(evidence(system, f"{section}/{unescape_key(name)}", key or "path", str(entry.value)))
