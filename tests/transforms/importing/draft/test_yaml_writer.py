"""Our reader reads the YAML of an import back as the same values."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ordain.transforms.document.text import yaml_reader
from ordain.transforms.importing.draft import yaml_values
from ordain.transforms.importing.draft.document_draft import DocumentDraft, Plain
from ordain.transforms.importing.draft.yaml_writer import WIDTH, write

TRICKY = (
    "", " ", "~", "null", "true", "no", "0", "08", "0x1f", "1e3", ".5", "12:30", "- a", "-", "? a", "a: b", "a:", ":a",
    "a #b", "#a", "&a", "*a", "!a", "!!str a", "|", ">", "%a", "@a", "`a", "{a", "}", "[a", "]", "a, b", ",", "'", '"',
    "it's", "a\\", "\\n", "a\nb", "a\nb\n", " a\nb", "\na", "a\n\n", "a\n \nb", "a\tb\nc", "\ta\nb",
    "a \nb", "---", "...",
    "\u2028", "\x85", "\ufeff", "\x07", "\x7f", "\U0001f600", "<<", "=", "x" * 200, "x " * 100, "x" * 2000, "x\n" * 800,
)  # fmt: skip

texts = st.one_of(st.sampled_from(TRICKY), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12))
scalars = st.one_of(texts, st.booleans(), st.none(), st.integers(-(10**9), 10**9))
trees = st.recursive(
    scalars, lambda below: st.lists(below, max_size=4) | st.dictionaries(texts, below, max_size=5), max_leaves=12
)


def read_back(section: str, entries: dict[str, Plain]) -> Plain:
    (document,) = yaml_reader.read("x.yaml", write(DocumentDraft(sections={section: entries}), "x", header="a\nb"))
    whole = yaml_values.plain(document)
    assert isinstance(whole, dict)
    return whole.get(section)


@pytest.mark.thorough
@settings(max_examples=100, deadline=None)
@given(entries=st.dictionaries(texts, trees, min_size=1, max_size=4))
@example(entries={text: [text, {text: [text]}] for text in TRICKY})
def test_any_tree_is_read_back(entries: dict[str, Plain]) -> None:
    assert read_back("values", entries) == entries


@pytest.mark.parametrize("text", TRICKY)
def test_any_text_is_read_back_at_every_position(text: str) -> None:
    entries: dict[str, Plain] = {"a": text, "b": [text], "c": {text: text}, "d": [[text]], "e": [{"x": text, "y": {}}]}

    assert read_back("values", entries) == entries


def test_a_string_that_looks_like_a_number_has_quotes_only_where_numbers_are_allowed() -> None:
    text = write(DocumentDraft(sections={"values": {"a": "12"}, "services": {"b": {"umask": "022"}}}), "x", header="")

    assert 'a: "12"' in text
    assert "b: {umask: 022}" in text


def test_long_values_are_split_over_several_lines() -> None:
    words: list[Plain] = ["/usr/bin/x", *(f"--option-{n}" for n in range(20))]
    text = write(DocumentDraft(sections={"services": {"b": {"command": words}}}), "x", header="")

    assert max(map(len, text.split("\n"))) <= WIDTH
    assert "      - --option-3\n" in text


def test_comments_cannot_become_content() -> None:
    draft = DocumentDraft(sections={"values": {"a": 1}}, comments={("values", "a"): "x\nb: 2\r\x85c: 3"})

    (document,) = yaml_reader.read("x.yaml", write(draft, "x", header="x\r\ny: 1"))

    assert set(yaml_values.items(document)) == {"ordain", "kind", "name", "values"}
