"""The status of a unit tells whether it is as the documents want it, and otherwise the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ordain.agent.model import Generation, Job, Observed, UnitState, Verb
from ordain.agent.plan.planner import plan
from ordain.agent.plan.unit_status import differences, in_progress, unit_statuses
from ordain.transforms.model import Member, Wanted


def state(active: str, sub: str = "", *, result: str = "success", condition: bool = True, ran: str = "1") -> UnitState:
    return UnitState(
        name="web.service",
        load_state="loaded",
        active_state=active,
        sub_state=sub,
        result=result,
        condition_result=condition,
        invocation_id=ran,
    )


def member(wanted: Wanted = Wanted.RUNNING, *, starter: bool = True) -> Member:
    return Member(unit="web.service", item="services/web", wanted=wanted, ours=True, starter=starter)


@pytest.mark.parametrize(
    ("which", "found", "oneshot", "ok", "words"),
    [
        (member(), state("active", "running"), False, True, ""),
        (member(), replace(state("active", "running"), load_state="masked"), False, False, "is masked"),
        (member(Wanted.PRESENT), replace(state("active", "running"), load_state="masked"), False, True, ""),
        (member(), state("activating", "auto-restart"), False, False, ""),
        (member(), state("failed", "failed", result="exit-code"), False, False, "exit-code"),
        (member(), state("inactive", "dead"), False, False, "stopped manually"),
        (member(), state("inactive", "dead", ran=""), False, False, "not started in this boot"),
        (member(), state("inactive", "dead", ran=""), True, False, "not started in this boot"),
        (member(), state("inactive", "dead"), True, True, ""),
        (member(), state("inactive", "dead", condition=False), False, True, "conditions"),
        (member(starter=False), state("inactive", "dead", ran=""), False, True, ""),
        (member(Wanted.STOPPED), state("active", "running"), False, False, "manually"),
        (member(Wanted.STOPPED), state("inactive", "dead"), False, True, ""),
        (member(Wanted.PRESENT), state("inactive", "dead"), False, True, ""),
        (member(Wanted.PRESENT), state("failed", "failed"), False, False, ""),
    ],
)
def test_a_unit_that_differs_from_the_documents_is_reported(
    which: Member, found: UnitState, oneshot: bool, ok: bool, words: str
) -> None:
    generation = Generation(number=1, hash="1", members=(which,))
    oneshots = ["web.service"] if oneshot else []

    (status,) = unit_statuses(generation, Observed(units={"web.service": found}), oneshots)

    assert status.ok is ok
    assert words in status.what


def test_a_timer_that_has_no_next_time_is_as_wanted_and_says_so() -> None:
    """Its status is not a fault: it may have done all that it was meant to do."""
    timer = replace(member(), unit="web.timer")
    elapsed, waiting = (replace(state("active", sub), name="web.timer") for sub in ("elapsed", "waiting"))

    found = [
        unit_statuses(Generation(number=1, hash="1", members=(timer,)), Observed(units={"web.timer": now}), [])[0]
        for now in (elapsed, waiting)
    ]

    assert [(status.ok, status.what) for status in found] == [(True, "has elapsed; no further run is due"), (True, "")]


@pytest.mark.parametrize("unit", ["web.service", "web.timer"])
def test_a_start_that_pid_1_refused_is_not_called_a_stop(unit: str) -> None:
    """The plan and the status say the same."""
    refused = Observed(units={unit: replace(state("inactive", "dead", ran=""), name=unit)})
    generation = Generation(number=1, hash="1", members=(replace(member(), unit=unit),))

    (status,) = unit_statuses(generation, refused, [])
    (note,) = plan(generation, generation, refused).notes

    assert status.what == "was not started in this boot"
    assert note.what == f"{status.what}; starts when its definition changes, or at the next boot"


def test_a_unit_that_an_apply_is_about_to_start_has_no_condition() -> None:
    generation = Generation(number=1, hash="1", members=(member(),))
    observed = Observed(units={"web.service": state("inactive", "dead", ran="")})
    units = unit_statuses(generation, observed, ())
    start = Job(unit="web.service", verb=Verb.START, reason="new in the documents")

    assert [condition.code for condition in differences(units)] == ["Drift"]
    (busy,) = in_progress(units, [start])
    assert (busy.ok, busy.what) == (False, "the apply that is under way has yet to start it")
    assert not list(differences([busy]))
    assert in_progress(units, [replace(start, unit="other.service")]) == units
