"""A section ``network``, compiled for a system: its files and problems."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from ordain.agent.generation import generation
from ordain.agent.model import Generation
from ordain.transforms.artifacts import RegularFile
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Compiled, Document

Section = Mapping[str, Any]
SYSTEMS = {"networkd": "debian-13", "NetworkManager": "debian-12", "ifupdown": "debian-12"}
"""By renderer, the system whose version of the program the tests ask."""


def compiled(network: Section, renderer: str = "networkd") -> tuple[dict[str, str], tuple[Problem, ...]]:
    """Return the content of the files by path, and the problems; a document that is refused has no files."""
    made = _made(json.dumps(network), renderer)
    if not isinstance(made, Compiled):
        return {}, made
    return {a.path: a.content for a in made.artifacts if isinstance(a, RegularFile)}, made.problems


def generation_of(network: Section, renderer: str = "networkd") -> Generation:
    """Return the generation of a section that no renderer refuses."""
    made = _made(json.dumps(network), renderer)
    assert isinstance(made, Compiled), made
    assert refusals(made.problems) == []
    return generation(made)


@cache
def _made(network: str, renderer: str) -> Compiled | tuple[Problem, ...]:
    """Return the compilation of a section in JSON, or the problems for which the document is refused."""
    section = {"renderer": renderer, **json.loads(network)}
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "x", "network": section})
    documents, wrong = read("x.json", text.encode())
    return wrong or compile(documents, facts_for(SYSTEMS[renderer]), shipped=_shipped())


@cache
def _shipped() -> tuple[Document, ...]:
    return shipped()


def refusals(problems: tuple[Problem, ...]) -> list[Problem]:
    """Return the problems that are not warnings."""
    return [problem for problem in problems if problem.severity is not Severity.WARNING]
