"""The reference of documents agrees with the schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ordain.transforms.document.keys.schema import schema
from ordain.transforms.document.reader import HEADER
from ordain.transforms.document.reference import markdown
from ordain.transforms.model import Kind
from ordain.transforms.section_pages import page, page_texts

DOCS = Path(__file__).parents[3] / "docs/reference"


def test_the_committed_reference_is_current() -> None:
    if not DOCS.exists():
        pytest.skip("no source tree here")

    made_by = "python3 -m ordain.transforms.document.reference >docs/reference/documents.md"
    assert (DOCS / "documents.md").read_text() == markdown(), made_by


@pytest.mark.parametrize("section", page_texts())
def test_the_committed_page_of_a_section_is_current(section: str) -> None:
    if not DOCS.exists():
        pytest.skip("no source tree here")

    made_by = "python3 -m ordain.transforms.section_pages docs/reference/sections"
    assert (DOCS / "sections" / f"{section}.md").read_text() == page(section), made_by


def committed(section: str) -> str:
    """Return the page that is committed, which equals the one that is made; to make one takes up to 2 s."""
    path = DOCS / "sections" / f"{section}.md"
    return path.read_text() if path.exists() else page(section)


def test_every_section_has_a_page_that_the_index_leads_to() -> None:
    sections = {name for name in schema(Kind.LAYER)["properties"] if name not in HEADER} | {"transforms"}

    assert set(page_texts()) == sections
    assert set(re.findall(r"\]\(sections/([a-z]+)\.md\)", markdown())) == sections


@pytest.mark.parametrize("section", page_texts())
def test_a_page_names_the_value_of_every_key(section: str) -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \| (.*) \|$", committed(section).partition("## Example")[0], re.MULTILINE)

    keys = [f"{name}" for name, value, about in rows if not value]
    assert keys == []
    assert "```yaml" in committed(section)


@pytest.mark.parametrize("kind", Kind)
def test_every_section_is_in_the_reference_with_its_value(kind: Kind) -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \| (.*) \|$", markdown(), re.MULTILINE)
    named = {name for name, _, _ in rows}

    assert set(schema(kind)["properties"]) <= named
    assert all(value for _, value, _ in rows)


@pytest.mark.parametrize("name", ["index", *page_texts()])
def test_the_links_of_a_page_lead_to_its_headings(name: str) -> None:
    text = markdown() if name == "index" else committed(name)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9_-]", "", heading.lower().replace(" ", "-")) for heading in headings}

    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
    assert len(headings) == len(set(headings))
