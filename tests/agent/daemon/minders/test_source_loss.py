"""Units with `on-source-loss: stop-after`: the time until they stop, and the plan that stops them."""

from __future__ import annotations

import pytest

from ordain.agent.daemon.minders.source_loss import due_units
from ordain.agent.model import Generation, Job, Note, NoteReason, Observed, UnitState, Verb
from ordain.agent.plan.unit_decision import decide
from ordain.agent.plan.unit_view import unit_views
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.model import Member, Wanted

HOUR = 3_600_000_000


def member(name: str, stop_after_usec: int = 0) -> Member:
    return Member(
        unit=f"{name}.service",
        item=f"services/{name}",
        wanted=Wanted.RUNNING,
        ours=True,
        stop_after_usec=stop_after_usec,
    )


@pytest.mark.parametrize(
    ("lost_sec", "units", "left_sec"),
    [(0, set(), 3600), (3599, set(), 1), (3600, {"a.service"}, 3600), (9999, {"a.service", "b.service"}, None)],
)
def test_units_are_due_in_the_order_of_their_times(lost_sec: float, units: set[str], left_sec: float | None) -> None:
    assert due_units([member("a", HOUR), member("b", 2 * HOUR)], lost_sec) == (units, left_sec)


@pytest.mark.parametrize(
    ("active", "observed", "verb", "why"),
    [
        ("active", Observed(overdue=frozenset(["a.service"])), Verb.STOP, None),
        ("inactive", Observed(lost=frozenset(["a.service"])), None, NoteReason.LOST),
        ("active", Observed(lost=frozenset(["a.service"])), None, None),
        ("inactive", Observed(lost=frozenset(["a.service"]), released=frozenset(["a.service"])), Verb.START, None),
    ],
)
def test_a_unit_stops_once_stays_stopped_and_starts_again(
    active: str, observed: Observed, verb: Verb | None, why: NoteReason | None
) -> None:
    generation = Generation(
        hash="1",
        artifacts=(UnitFile(path="normal/a.service", content="[Service]\nExecStart=/bin/true\n", item="services/a"),),
        members=(member("a", HOUR),),
    )
    state = UnitState(name="a.service", load_state="loaded", active_state=active, sub_state="x", invocation_id="1")
    machine = Observed(
        units={"a.service": state}, lost=observed.lost, overdue=observed.overdue, released=observed.released
    )

    steps = list(decide(unit_views(generation, generation, machine)["a.service"]))

    assert [step.verb for step in steps if isinstance(step, Job)] == ([verb] if verb else [])
    assert [step.why for step in steps if isinstance(step, Note)] == ([why] if why else [])
