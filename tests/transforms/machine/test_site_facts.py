"""The entries of facts.d are read from YAML, JSON or lines NAME=VALUE, and a wrong one is a fault in words."""

from __future__ import annotations

import pytest

from ordain.transforms.machine.site_facts import facts_or_fault


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (b"r12\n", {"facts.site": ("r12",)}),
        (b"[a, b]", {"facts.site": ("a", "b")}),
        (b"rack: r12\nrow: 7\nspare: true\nnone: null\n",
         {"facts.site-rack": ("r12",), "facts.site-row": ("7",), "facts.site-spare": ("true",), "facts.site-none": ()}),
        (b'{"rack": ["a", "b"]}', {"facts.site-rack": ("a", "b")}),
        (b"# ours\nrack=r12\n\nupper_slot=a=b\n", {"facts.site-rack": ("r12",), "facts.site-upper-slot": ("a=b",)}),
    ],
)  # fmt: skip
def test_an_entry_gives_facts(data: bytes, facts: dict[str, tuple[str, ...]]) -> None:
    assert facts_or_fault("site", data, "/etc/ordain/facts.d/site") == (facts, "")


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "it holds no value"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b"a: {b: c}", "write a text, a number"),
        (b"a: 1\n---\nb: 2\n", "more than one document"),
        (b"'a b': 1", "is not a name"),
        (b"a: " + b"x" * 300, "too long"),
        (b"[" * 60_000, "nested deeper"),
        (b"a=" * 30_000 + b"\n@", ""),
        (b"\n" * 60_000 + b"@", "line 60001"),
    ],
)
def test_a_wrong_entry_is_a_fault_and_takes_no_time(data: bytes, fault: str) -> None:
    facts, words = facts_or_fault("site", data, "/etc/ordain/facts.d/site")

    assert facts == {}
    assert fault in words
