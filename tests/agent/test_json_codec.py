"""Values as JSON data, written by one version and read by another."""

from __future__ import annotations

import json

from ordain.agent.json_codec import from_json
from ordain.agent.model import (
    Change,
    Effect,
    Job,
    Note,
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
