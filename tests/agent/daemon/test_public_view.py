"""The view of users other than root holds no value of a document, and no line of the journal."""

from __future__ import annotations

import json

from ordain.agent.apply.jobs.failure_details import FailureDetails
from ordain.agent.apply.jobs.jobs import JobResult
from ordain.agent.apply.jobs.verdicts import job_verdict
from ordain.agent.condition import StatusCondition
from ordain.agent.daemon.public_view import (
    public_explanation,
    public_plan,
    public_reason,
    public_status,
    public_verdict,
)
from ordain.agent.model import (
    Change,
    FileAction,
    FileChange,
    Job,
    Outcome,
    Plan,
    UnitState,
    UnitVerdict,
    Verb,
    to_json,
)
from ordain.agent.status import Status, StepsOfLastApply, UnitExplanation
from ordain.transforms.errors import Problem, Where
from ordain.transforms.model import Member, Wanted

SECRET = "hunter2"
CHANGE = Change(unit="web.service", section="Service", key="Environment", old=(f"A={SECRET}",), new=(SECRET,))
JOB = Job(unit="web.service", verb=Verb.RESTART, reason="Environment has changed", changes=(CHANGE,))
PROBLEM = Problem(
    where=Where(path="a.yaml", line=3, pointer="services/web/port"),
    what=f"expected a number, found {SECRET}",
    hint=SECRET,
)
FAILED = UnitState(name="web.service", active_state="failed", result="exit-code", exec_main_status=1)
VERDICT = job_verdict(
    JobResult(job=JOB, result="failed"), FAILED, FailureDetails(subject="/usr/bin/web", line=f"bad password {SECRET}")
)


def shown(value: object) -> str:
    text = json.dumps(to_json(value))
    assert SECRET not in text
    return text


def test_a_plan_names_what_changes_without_values() -> None:
    files = (FileChange(path="/etc/web", what=FileAction.CHANGED, changes=(CHANGE,)),)
    plan = Plan(stops=(JOB,), jobs=(JOB,), files=files, changes=(CHANGE,), settings=(CHANGE,), problems=(PROBLEM,))

    text = shown(public_plan(plan))

    assert all(word in text for word in ("web.service", "Environment has changed", "/etc/web", "services/web/port"))


def test_a_verdict_and_the_reason_of_a_rollback_do_not_quote_the_journal() -> None:
    assert SECRET in VERDICT.what
    assert "journalctl -u web.service" in shown(public_verdict(VERDICT))

    blamed = UnitVerdict(unit="web.service", ok=False, what=SECRET, blamed=True)
    outcome = Outcome(generation=1, hash="1", plan=Plan(), verdicts=(blamed,), why=f"web.service {SECRET}")
    assert "web.service" in shown(public_reason(outcome))


def test_conditions_name_the_place_of_a_problem_and_do_not_quote_it() -> None:
    conditions = (StatusCondition.of(PROBLEM, fault=True), StatusCondition(code="Drift", what="web.service (failed)"))
    status = public_status(Status(conditions=conditions))

    assert "a.yaml:3" in shown(status)
    assert status.conditions[1] == conditions[1]


def test_an_explanation_has_no_value_that_a_layer_overrode() -> None:
    place = {"layer": "base", "path": "base.yaml", "line": 4}
    entry = {**place, "value": SECRET, "overrode": [{**place, "layer": "site", "value": {"password": SECRET}}]}
    explanation = UnitExplanation(about="web", provenance={"files/~1etc~1web/content": entry})

    text = shown(public_explanation(explanation))

    assert all(word in text for word in ("base.yaml", "site", "files/~1etc~1web/content"))


def test_an_explanation_has_no_commands_of_checks_and_no_values() -> None:
    member = Member(unit="web.service", item="services/web", wanted=Wanted.RUNNING, ours=True, check=((SECRET,),))
    last = StepsOfLastApply(stops=(JOB,), jobs=(JOB,), verdicts=(VERDICT,))

    assert "services/web" in shown(
        public_explanation(UnitExplanation(about="web", member=member, last=last, actual={"files/~1a": SECRET}))
    )
