"""Golden cases: documents and a machine in, artifacts and problems out, as readable text.

``tests/cases/NAME/`` holds ``documents.yaml``, ``facts.yaml`` (arguments of `facts_for`; ``os`` alone may be a list),
``root/`` (the unit files of the machine; without it they are not known), ``expected.txt`` and ``problems.txt`` (absent
= none). ``pytest --update tests/transforms/test_golden_cases.py`` rewrites the last two; the diff is reviewed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ordain.transforms.artifact_text import as_text
from ordain.transforms.artifacts import Artifact
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused, sorted_problems
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import Document
from support.outputs.golden import compare

HERE = Path(__file__).parents[1]
CASES = sorted(path.name for path in (HERE / "cases").iterdir())
EXAMPLES = HERE.parent / "examples"
SYSTEMS = ("debian-12", "debian-13", "fedora-42", "rhel-9", "opensuse-leap-15.6", "arch")


def run(
    documents: tuple[Document, ...], problems: tuple[Problem, ...], facts: dict[str, Any], root: Path | None
) -> tuple[tuple[Artifact, ...], tuple[Problem, ...]]:
    installed = read_installed(root) if root else None
    labels = {name: (value,) for name, value in facts.pop("labels", {}).items()}
    try:
        compiled = compile(documents, facts_for(**facts, labels=labels), installed, shipped=shipped())
    except Refused as refused:
        return (), sorted_problems((*problems, *refused.problems))
    return compiled.artifacts, sorted_problems((*problems, *compiled.problems))


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_rendered_as_its_golden_text(name: str, request: pytest.FixtureRequest) -> None:
    case = HERE / "cases" / name
    documents, problems = read("documents.yaml", (case / "documents.yaml").read_bytes())
    facts = yaml.safe_load((case / "facts.yaml").read_text()) if (case / "facts.yaml").exists() else {"os": "debian-12"}
    root = case / "root" if (case / "root").is_dir() else None
    artifacts, problems = run(documents, problems, facts, root)
    update = request.config.getoption("--update")
    compare(case / "problems.txt", "".join(f"{problem}\n" for problem in problems), update)
    compare(case / "expected.txt", as_text(artifacts), update)


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the examples are not beside the tests")
@pytest.mark.parametrize("os", SYSTEMS)
def test_the_examples_are_rendered_as_their_golden_text(os: str, request: pytest.FixtureRequest) -> None:
    documents: list[Document] = []
    for path in sorted(EXAMPLES.glob("*.yaml")):
        found, problems = read(path.name, path.read_bytes())
        assert problems == ()
        documents += found
    artifacts, problems = run(tuple(documents), (), {"os": os, "hostname": "web-1"}, None)
    text = as_text(artifacts) + "".join(f"# {problem}\n" for problem in problems)
    compare(HERE / "golden" / f"examples-{os}.txt", text, request.config.getoption("--update"))
