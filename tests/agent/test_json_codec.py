"""Values as JSON data, written by one version and read by another."""

from __future__ import annotations

import json

import pytest

from ordain.agent.json_codec import from_json
from ordain.agent.model import (
    Change,
    Effect,
    Job,
    Note,
    Observed,
    Outcome,
    Plan,
    UnitVerdict,
    Verb,
    to_json,
)
from ordain.transforms.errors import Problem, Severity, Where

CHANGE = Change(unit="web.service", section="Service", key="User", old=("a",), new=("b",), effect=Effect.RESTART)


PLAN = Plan(
    from_hash="1",
    to_hash="2",
    reload=True,
    stops=(Job(unit="old.service", verb=Verb.STOP, reason="removed"),),
    jobs=(Job(unit="web.service", verb=Verb.RESTART, reason="changed", changes=(CHANGE,)),),
    changes=(CHANGE,),
    notes=(Note(unit="x.service", what="held"),),
    problems=(Problem(where=Where(path="a.yaml", line=1), what="w", severity=Severity.BLOCKED, item="services/x"),),
)


def test_an_outcome_survives_json() -> None:
    verdict = UnitVerdict(unit="web.service", ok=True, what="running", result="done")
    outcome = Outcome(generation=1, hash="2", plan=PLAN, verdicts=(verdict,), exit_status=3)

    assert from_json(Outcome, json.loads(json.dumps(to_json(outcome)))) == outcome


def test_unknown_fields_are_ignored_and_missing_ones_get_their_defaults() -> None:
    assert from_json(Note, {"unit": "a", "what": "b", "colour": "red"}) == Note(unit="a", what="b")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({}, "expected the key unit"),
        ([], "expected a map, found list"),
        ({"unit": 5, "what": "b"}, "unit: expected a text, found 5"),
        ({"unit": "a", "what": "b", "why": "boredom"}, "why: expected one of held, "),
        ({"unit": "a" * 99, "what": None}, "what: expected a text, found None"),
    ],
)
def test_data_of_another_type_is_refused_with_its_place(data: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_json(Note, data)


@pytest.mark.parametrize("number", [True, "1", 1.0, 2**64, -(2**63) - 1, None])
def test_a_whole_number_has_64_bits_and_is_not_true(number: object) -> None:
    with pytest.raises(ValueError, match="units/a/n_restarts: expected a whole number"):
        from_json(Observed, {"units": {"a": {"name": "a", "n_restarts": number}}})


@pytest.mark.parametrize("data", ["abc", {"a": 1}, [1], 5])
def test_a_list_is_not_made_of_a_text(data: object) -> None:
    with pytest.raises(ValueError, match="expected a"):
        from_json(tuple[str, ...], data)
