"""Golden texts: every section on every family of systems, from the examples of its page, in one text per family.

``pytest --update tests/transforms/test_sections.py`` rewrites them; the diff is reviewed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.transforms.artifact_text import as_text
from ordain.transforms.catalog.known_systems import facts_for, known_systems
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.keys.schema import schema
from ordain.transforms.document.reader import HEADER, read
from ordain.transforms.model import Kind
from ordain.transforms.section_pages import HEAD, page_texts

GOLDEN = Path(__file__).parents[1] / "golden" / "sections"
FAMILIES = (
    *("debian-12", "ubuntu-24.04", "fedora-42", "rocky-8", "rhel-10", "amzn-2023", "opensuse-leap-15.6", "sles-16"),
    *("arch", "gentoo", "flatcar"),
)


def rendered(system: str) -> str:
    """Return the example of every section on one system, with the items that it cannot have."""
    parts: list[str] = []
    for section, said in page_texts().items():
        documents, problems = read("example.yaml", f"{HEAD}{said['example']}".encode())
        assert problems == ()
        compiled = compile(documents, facts_for(system), shipped=shipped())
        parts.append(f"##### {section}\n{as_text(compiled.artifacts, compiled.packages)}")
        parts += (f"! {problem}\n" for problem in compiled.problems)
    return "".join(parts)


@pytest.mark.parametrize("system", FAMILIES)
def test_every_section_is_rendered_as_its_golden_text(system: str, request: pytest.FixtureRequest) -> None:
    text = rendered(system)
    path = GOLDEN / f"{system}.txt"
    if request.config.getoption("--update"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_every_section_and_every_family_is_covered() -> None:
    sections = {name for name in schema(Kind.LAYER)["properties"] if name not in HEADER}
    texts = {path.stem: path.read_text(encoding="utf-8") for path in GOLDEN.glob("*.txt")}

    assert set(texts) == set(FAMILIES)
    assert {s for s in sections for text in texts.values() if f"##### {s}\n" not in text} == set()
    covered = {
        name for system in FAMILIES for name in (known_systems()[system]["id"], *known_systems()[system]["like"])
    }
    assert [name for name, row in known_systems().items() if not {row["id"], *row["like"]} & covered] == []
