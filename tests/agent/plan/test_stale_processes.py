"""The record of the definitions that processes have, and the changes that wait for a restart."""

from __future__ import annotations

from dataclasses import replace

from ordain.agent.model import Applied, AppliedUnit, Change, Effect, Generation, Job, Observed, Plan, UnitState, Verb
from ordain.agent.plan.planner import plan
from ordain.agent.plan.stale_processes import applied_units, merge_pending, pending_changes, restart_if_running
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.model import Member, Wanted

WEB = "web.service"
USER = Change(unit=WEB, section="Service", key="User", old=("a",), new=("b",))
LIMIT = Change(unit=WEB, section="Service", key="MemoryMax", old=("1G",), new=("2G",), effect=Effect.MANAGER)


def applied(*waiting: Change) -> Applied:
    return Applied(number=1, hash="1", units={WEB: AppliedUnit(hash="old", invocation_id="one", waits=waiting)})


def after(
    before: Applied | None, *changes: Change, reloaded: str = "one", now: str = "one", done: tuple[Job, ...] = ()
) -> AppliedUnit:
    plan = Plan(changes=changes)
    found = applied_units(before, plan, hashes={WEB: "new"}, reloaded={WEB: reloaded}, running={WEB: now}, done=done)
    return found[WEB]


def test_a_process_that_started_after_the_reload_has_its_whole_definition() -> None:
    assert after(applied(), USER, now="two") == AppliedUnit(hash="new", invocation_id="two")


def test_a_process_that_started_before_the_reload_lacks_changes_that_need_a_restart() -> None:
    found = after(applied(), USER, LIMIT)

    assert found == AppliedUnit(hash="old", invocation_id="one", waits=(USER,))


def test_a_process_that_started_between_stop_and_reload_lacks_them_too() -> None:
    assert after(applied(), USER, reloaded="two", now="two").waits == (USER,)


def test_changes_that_need_only_the_reload_of_the_manager_do_not_wait() -> None:
    assert after(applied(), LIMIT) == AppliedUnit(hash="new", invocation_id="one")


def test_a_successful_reload_of_the_unit_brings_all_changes() -> None:
    job = Job(unit=WEB, verb=Verb.RELOAD, reason="changed")

    assert after(applied(), USER, done=(job,)) == AppliedUnit(hash="new", invocation_id="one")


def test_waiting_changes_are_kept_until_they_are_undone() -> None:
    further = replace(USER, old=("b",), new=("c",))
    back = replace(USER, old=("b",), new=("a",))

    assert after(applied(USER), further).waits == (replace(USER, new=("c",)),)
    assert after(applied(USER), back) == AppliedUnit(hash="new", invocation_id="one")
    assert after(applied(USER)).waits == (USER,)
    assert merge_pending((USER,), (back,)) == ()


def test_a_new_process_lacks_nothing() -> None:
    assert pending_changes(applied(USER), {WEB: "one"}) == {WEB: (USER,)}
    assert pending_changes(applied(USER), {WEB: "two"}) == {}
    assert pending_changes(None, {WEB: "one"}) == {}


def test_a_start_becomes_a_restart_if_the_service_already_runs_with_its_old_definition() -> None:
    start = Job(unit=WEB, verb=Verb.START, reason="its documents changed", changes=(USER,))
    states = {WEB: UnitState(name=WEB, active_state="active")}

    assert [job.verb for job in restart_if_running([start], states)] == [Verb.RESTART]
    assert restart_if_running([start], {WEB: UnitState(name=WEB)}) == (start,)
    assert restart_if_running([replace(start, changes=(LIMIT,))], states) == (replace(start, changes=(LIMIT,)),)


def test_a_change_that_is_undone_is_in_the_plan_and_does_not_wait() -> None:
    def web(user: str) -> Generation:
        text = f"[Service]\nUser={user}\n"
        member = Member(unit=WEB, item="services/web", wanted=Wanted.RUNNING, ours=True)
        return Generation(hash=user, artifacts=(UnitFile(path="normal/web.service", content=text),), members=(member,))

    state = UnitState(name=WEB, load_state="loaded", active_state="active")
    steps = plan(web("b"), web("a"), Observed(units={WEB: state}, waits={WEB: (USER,)}))

    assert steps.jobs == ()
    found = applied_units(
        applied(USER), steps, hashes={WEB: "new"}, reloaded={WEB: "one"}, running={WEB: "one"}, done=()
    )
    assert found[WEB].waits == ()
