"""A section ``network``, compiled for a system: its files and problems."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ordain.transforms.artifacts import RegularFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Severity

Section = Mapping[str, Any]
SYSTEMS = {"networkd": "debian-13", "NetworkManager": "debian-12", "ifupdown": "debian-12"}
"""By renderer, the system whose version of the program the tests ask."""


def compiled(network: Section, renderer: str = "networkd") -> tuple[dict[str, str], tuple[Problem, ...]]:
    """Return the content of the files by path, and the problems; a document that is refused has no files."""
    section = {"renderer": renderer, **network}
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "x", "network": section})
    documents, wrong = read("x.json", text.encode())
    if wrong:
        return {}, wrong
    made = compile(documents, facts_for(SYSTEMS[renderer]), shipped=shipped())
    return {a.path: a.content for a in made.artifacts if isinstance(a, RegularFile)}, made.problems


def refusals(problems: tuple[Problem, ...]) -> list[Problem]:
    """Return the problems that are not warnings."""
    return [problem for problem in problems if problem.severity is not Severity.WARNING]
