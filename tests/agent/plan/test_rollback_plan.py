"""Rollback plans and decisions, without a machine."""

from __future__ import annotations

from ordain.agent.model import Generation, Job, Observed, Outcome, Plan, UnitState, UnitVerdict, Verb
from ordain.agent.plan import outcome
from ordain.agent.plan.rollback_plan import rollback_plan
from ordain.transforms.model import Member, Wanted


def job(unit: str, verb: Verb) -> Job:
    return Job(unit=unit, verb=verb, reason="as planned")


def states(**active: str) -> Observed:
    return Observed(
        units={
            f"{name}.service": UnitState(name=f"{name}.service", active_state=state) for name, state in active.items()
        }
    )


def generation(*names: str) -> Generation:
    members = (Member(unit=f"{n}.service", item=f"services/{n}", wanted=Wanted.RUNNING, ours=True) for n in names)
    return Generation(number=1, hash="a", members=tuple(members))


def verbs(plan: Plan) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    return [(j.unit, j.verb) for j in plan.stops], [(j.unit, j.verb) for j in plan.jobs]


def test_units_that_ran_are_planned_as_usual() -> None:
    planned = Plan(jobs=(job("web.service", Verb.RESTART),))

    assert rollback_plan(planned, generation("web"), states(web="active"), {"web.service"}) == planned


def test_units_that_the_apply_started_are_stopped() -> None:
    planned = Plan(jobs=(job("held.service", Verb.RESTART),))

    back = rollback_plan(planned, generation("held"), states(held="active"), set())

    assert verbs(back) == ([("held.service", "stop")], [])


def test_a_oneshot_that_has_run_is_not_run_again() -> None:
    planned = Plan(jobs=(job("once.service", Verb.START),))

    assert verbs(rollback_plan(planned, generation("once"), states(once="inactive"), set())) == ([], [])


def test_units_that_the_apply_stopped_are_started() -> None:
    back = rollback_plan(Plan(), generation("web", "gone"), states(web="inactive"), {"web.service", "foreign.service"})

    assert verbs(back) == ([], [("web.service", "start")])


def test_units_that_the_rollback_has_to_stop_are_started_again() -> None:
    planned = Plan(stops=(job("web.service", Verb.STOP),))

    back = rollback_plan(planned, generation("web"), states(web="active"), {"web.service"})

    assert verbs(back) == ([("web.service", "stop")], [("web.service", "start")])


NOT_OK = UnitVerdict(unit="web.service", ok=False, what="is failed")


def test_one_outcome_covers_the_apply_and_its_rollback() -> None:
    failed = Outcome(generation=2, hash="b", plan=Plan(), verdicts=(NOT_OK,), why="because", usec=5)
    back = Outcome(generation=1, hash="a", plan=Plan(reload=True), verdicts=(NOT_OK,), usec=3)

    bad = outcome.rolled_back(failed, back, ())
    assert (bad.generation, bad.hash, bad.rejected, bad.exit_status, bad.usec) == (1, "a", 2, 5, 8)
    assert (bad.back, bad.back_verdicts) == (back.plan, back.verdicts)
    assert outcome.rolled_back(failed, back, {"web.service"}).exit_status == 4
