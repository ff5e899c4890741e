"""The facts that documents depend on: each place that can name one counts, and no other fact does."""

from __future__ import annotations

import pytest

from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document.reader import read
from ordain.transforms.resolve.used_facts import boot_time_facts, further_facts, used_facts


def used(body: str) -> frozenset[str]:
    documents, problems = read("a.yaml", f"ordain: v1\nkind: Layer\nname: a\n{body}\n".encode())
    assert problems == ()
    return used_facts(documents, shipped())


@pytest.mark.parametrize(
    "body",
    [
        "match: {root: ram}",
        "files: {/a: {content: {template: '{{ facts.root }}'}}}",
        "files: {/a: {template: '{{ facts.root }}'}}",
        "services: {a: {command: /bin/a, files: {b: {template: '{{ facts.root }}'}}}}",
        "settings: {message-of-the-day: {template: '{{ facts.root }}'}}",
        "settings: {x: 1}\n---\nordain: v1\nkind: Transform\nname: t\nsettings: {x: {type: number, writes: "
        "{a: {file: /etc/a, content: '{{ facts.root }}'}}}}",
    ],
)
def test_each_place_that_names_a_fact_counts(body: str) -> None:
    assert used(body) == {"root"}


def test_the_facts_of_a_shipped_setting_count_where_a_document_uses_it() -> None:
    assert used("settings: {hosts: {192.0.2.1: a}}") == {"hostname"}
    assert used("settings: {message-of-the-day: a}") == frozenset()


def test_the_shipped_transforms_ask_for_no_fact_of_a_boot_and_no_further_fact() -> None:
    """A boot server could prebuild no cache otherwise, and each compile would read more of the machine."""
    assert boot_time_facts(shipped()) == frozenset()
    assert further_facts(shipped(), shipped()) == frozenset()
