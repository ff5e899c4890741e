"""Plans that go back, trials and decisions, apart from a machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ordain.agent.model import Generation, Job, Observed, Outcome, Plan, UnitState, UnitVerdict, Verb
from ordain.agent.plan import outcome
from ordain.agent.plan.rollback_plan import rollback_plan
from ordain.agent.state.apply_journal import ApplyJournal, ApplyPhase, JournalEntry
from ordain.agent.state.decisions import Decisions, Pin, RejectedGeneration
from ordain.agent.system.bus import BusError
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


def test_what_ran_is_planned_as_ever() -> None:
    planned = Plan(jobs=(job("web.service", Verb.RESTART),))

    assert rollback_plan(planned, generation("web"), states(web="active"), {"web.service"}) == planned


def test_what_the_apply_started_is_stopped_again() -> None:
    planned = Plan(jobs=(job("held.service", Verb.RESTART),))

    back = rollback_plan(planned, generation("held"), states(held="active"), set())

    assert verbs(back) == ([("held.service", "stop")], [])


def test_what_has_run_and_ended_is_not_run_once_more() -> None:
    planned = Plan(jobs=(job("once.service", Verb.START),))

    assert verbs(rollback_plan(planned, generation("once"), states(once="inactive"), set())) == ([], [])


def test_what_the_apply_took_down_comes_back() -> None:
    back = rollback_plan(Plan(), generation("web", "gone"), states(web="inactive"), {"web.service", "foreign.service"})

    assert verbs(back) == ([], [("web.service", "start")])


def test_what_is_stopped_on_the_way_comes_back() -> None:
    planned = Plan(stops=(job("web.service", Verb.STOP),))

    back = rollback_plan(planned, generation("web"), states(web="active"), {"web.service"})

    assert verbs(back) == ([("web.service", "stop")], [("web.service", "start")])


NOT_OK = UnitVerdict(unit="web.service", ok=False, what="is failed")


def test_one_outcome_tells_both_ways() -> None:
    failed = Outcome(generation=2, hash="b", plan=Plan(), verdicts=(NOT_OK,), why="because", usec=5)
    back = Outcome(generation=1, hash="a", plan=Plan(reload=True), verdicts=(NOT_OK,), usec=3)

    bad = outcome.rolled_back(failed, back, ())
    assert (bad.generation, bad.hash, bad.rejected, bad.exit_status, bad.usec) == (1, "a", 2, 5, 8)
    assert (bad.back, bad.back_verdicts) == (back.plan, back.verdicts)
    assert outcome.rolled_back(failed, back, {"web.service"}).exit_status == 4


def test_decisions_outlive_their_process(tmp_path: Path) -> None:
    bad, pin = RejectedGeneration(number=2, hash="b", why="x", complete=False), Pin(number=1, hash="a", revision="r")
    decisions = Decisions(tmp_path)
    decisions.reject(bad)
    decisions.hold(pin)

    assert (Decisions(tmp_path).rejected, Decisions(tmp_path).pin) == (bad, pin)
    decisions.reject(None)
    assert (Decisions(tmp_path).rejected, Decisions(tmp_path).pin) == (None, pin)


def test_decisions_hold_for_this_boot_where_var_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("no directory")
    decisions = Decisions(tmp_path)
    decisions.reject(RejectedGeneration(number=2, hash="b", why="x"))

    assert Decisions(tmp_path).rejected == decisions.rejected
    (tmp_path / "var").unlink()
    decisions.reject(None)
    assert Decisions(tmp_path).rejected is None
    assert list((tmp_path / "run/ordain").iterdir()) == []


def test_decisions_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    (tmp_path / "var/lib/ordain").mkdir(parents=True)
    for text in ("", "[]", '{"rejected": 5}', '{"rejected": {"number": 1}}'):
        (tmp_path / "var/lib/ordain/decided.json").write_text(text)
        assert Decisions(tmp_path).rejected is None


def test_a_way_back_is_resumed_from_its_journal(tmp_path: Path) -> None:
    failed = Outcome(generation=2, hash="b", plan=Plan(from_hash="a"), verdicts=(NOT_OK,), why="because")
    entry = JournalEntry(
        phase=ApplyPhase.ACT, number=2, plan=failed.plan, running=("web.service",), failing=("other.service",)
    )
    journal = ApplyJournal(tmp_path)
    journal.begin(entry)
    journal.fail(failed)

    assert ApplyJournal(tmp_path).unfinished() == replace(entry, phase=ApplyPhase.BACK, failed=failed)
    journal.begin(replace(entry, phase=ApplyPhase.STOP, number=1, failed=failed))
    found = ApplyJournal(tmp_path).unfinished()
    assert found is not None
    assert found.failed == failed


def test_an_error_of_the_bus_is_one_line() -> None:
    """dbus-next sends a traceback along."""
    error = BusError("com.dubstepdish.dbus.next.ServiceError", "it raised an error: x.\nFile y, line 1\n")

    assert str(error) == "it raised an error: x. [com.dubstepdish.dbus.next.ServiceError]"
    assert error.message.endswith("line 1\n")
