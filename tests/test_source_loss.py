"""`on-source-loss` is a part of the generation, for whoever notices that the documents are out of reach."""

from __future__ import annotations

import pytest

from ordain.agent.generation import member_from_json
from ordain.agent.model import to_json
from ordain.transforms.compile import compile
from ordain.transforms.documents import read
from ordain.transforms.systems import facts_for

HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("said", "usec"),
    [("keep", 0), ("{stop-after: 1h}", HOUR), ("{stop-after: 30s}", 30_000_000), ("null", 0)],
)
def test_it_is_a_time_in_the_member(said: str, usec: int) -> None:
    text = f"ordain: v1\nkind: Layer\nname: a\nservices: {{web: {{command: [/bin/w], on-source-loss: {said}}}}}\n"
    documents, wrong = read("x.yaml", text.encode())
    assert wrong == ()

    (member,) = compile(documents, facts_for("debian-13")).members

    assert member.stop_after_usec == usec
    assert member_from_json(to_json(member)) == member


def test_one_of_a_higher_layer_takes_the_other_away() -> None:
    text = """\
ordain: v1
kind: Layer
name: a
services: {web: {command: [/bin/w], on-source-loss: {stop-after: 1h}}}
---
ordain: v1
kind: Layer
name: b
tier: role
services: {web: {on-source-loss: keep}}
"""
    documents, wrong = read("x.yaml", text.encode())
    assert wrong == ()

    (member,) = compile(documents, facts_for("debian-13")).members

    assert member.stop_after_usec == 0
