"""Every document and every agent.yaml in README and docs is read without a problem, and documents can be rendered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ordain.agent.settings import read_settings
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.keys.agent_keys import SETTINGS
from ordain.transforms.document.keys.language import SECTIONS
from ordain.transforms.document.reader import read
from ordain.transforms.document_tests.read_tests import read_tests
from ordain.transforms.errors import Severity

TREE = Path(__file__).parents[1]
GENERATED = {TREE / "docs/reference", TREE / "docs/design"}
"""Pages that are made from the tables, and those that describe formats with placeholders."""
PAGES = [TREE / "README.md", *(p for p in sorted((TREE / "docs").rglob("*.md")) if not GENERATED & set(p.parents))]

ELSEWHERE = frozenset({"SecretUnknown"})
"""Problems with what a page makes by a command, and not in its documents."""


def yaml_blocks(page: Path) -> Iterator[tuple[int, str]]:
    """Yield the first line (from 1) and the text of each block, fenced or indented, that is a map in YAML."""
    text = page.read_text()
    fenced = r"^```(?:yaml)?\n(?P<fenced>.*?)^```$"
    indented = r"(?:\A|\n\n)(?P<indented>(?:    [^\n]*\n|\n(?=    ))+)"
    for match in re.finditer(f"{fenced}|{indented}", text, re.MULTILINE | re.DOTALL):
        block = match["fenced"] or re.sub("^    ", "", match["indented"] or "", flags=re.MULTILINE)
        try:
            value = list(yaml.safe_load_all(block))
        except yaml.YAMLError:
            continue
        if value and all(isinstance(one, dict) for one in value):
            yield text.count("\n", 0, match.start(1 if match["fenced"] else 2)) + 1, block


def faults(block: str, tmp_path: Path) -> list[str] | None:
    """Return the faults of a block, None if it is neither a document nor an agent.yaml."""
    keys = {key for one in yaml.safe_load_all(block) for key in one}
    if "ordain" not in keys and keys <= set(SETTINGS.keys):
        (tmp_path / "etc/ordain").mkdir(parents=True, exist_ok=True)
        (tmp_path / "etc/ordain/agent.yaml").write_text(block)
        return [str(problem) for problem in read_settings(tmp_path)[1]]
    if "kind: Test\n" in block:
        return [str(problem) for problem in read_tests("page.yaml", block.encode())[1]]
    if "ordain" not in keys and not keys <= set(SECTIONS):
        return None
    head = "" if "ordain" in keys else "ordain: v1\nkind: Layer\nname: page\n"
    documents, problems = read("page.yaml", f"{head}{block}".encode())
    if problems:
        return [str(problem) for problem in problems]
    compiled = compile(documents, facts_for("debian-13"), shipped=shipped())
    wrong = (problem for problem in compiled.problems if problem.severity is not Severity.WARNING)
    return [str(problem) for problem in wrong if problem.code not in ELSEWHERE]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(TREE)))
def test_the_documents_of_a_page_are_valid(page: Path, tmp_path: Path) -> None:
    found = {line: faults(block, tmp_path) for line, block in yaml_blocks(page)}

    assert {line: wrong for line, wrong in found.items() if wrong} == {}


def test_documents_are_found_in_many_pages(tmp_path: Path) -> None:
    checked = {page.name for page in PAGES for _, block in yaml_blocks(page) if faults(block, tmp_path) == []}

    assert {"exclusive-boot.md", "README.md", "secrets.md", "network-changes.md"} <= checked
