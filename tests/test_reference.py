"""The document reference is what the schema says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ordain.transforms.model import Kind
from ordain.transforms.reference import markdown
from ordain.transforms.schema import schema

DOCS = Path(__file__).parents[1] / "docs"


def test_the_committed_reference_is_current() -> None:
    if not DOCS.exists():
        pytest.skip("no source tree here")

    assert (DOCS / "documents.md").read_text() == markdown()


@pytest.mark.parametrize("kind", Kind)
def test_every_section_is_in_it_and_says_what_it_is(kind: Kind) -> None:
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \| (.*) \|$", markdown(), re.MULTILINE)
    named = {name for name, _, _ in rows}

    assert set(schema(kind)["properties"]) <= named
    assert all(value for _, value, _ in rows)


def test_its_links_lead_to_its_headings() -> None:
    text = markdown()
    anchors = {
        re.sub(r"[^a-z0-9_-]", "", heading.lower().replace(" ", "-"))
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)

    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= anchors
    assert len(headings) == len(set(headings))
