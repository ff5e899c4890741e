"""A plan names the jobs that PID 1 does by itself, and leaves alone what would stop a held or protected unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ordain.agent.model import Generation, Hold, NoteReason, Observed, Plan, UnitState
from ordain.agent.plan.planner import plan
from ordain.agent.plan.rollback_plan import rollback_plan
from ordain.transforms.artifacts import UnitFile
from ordain.transforms.model import Member, Wanted

OLD = Generation(hash="old")


def generation(units: Mapping[str, str], word: str = "") -> Generation:
    """Return a generation of services with these lines in [Unit]."""
    return Generation(
        hash=f"new{word}",
        artifacts=tuple(
            UnitFile(path=f"normal/{name}", content=f"[Unit]\n{lines}\n[Service]\nExecStart=/bin/x {word}\n", item=name)
            for name, lines in units.items()
        ),
        members=tuple(
            Member(unit=name, item=f"services/{name}", wanted=Wanted.RUNNING, starter=True, ours=True) for name in units
        ),
    )


def machine(**states: str) -> Observed:
    """Return a machine with units of these names (``_`` for ``.``) and states."""
    units = {name.replace("_", "."): state for name, state in states.items()}
    return Observed(
        units={unit: UnitState(name=unit, load_state="loaded", active_state=state) for unit, state in units.items()}
    )


def caused(made: Plan) -> list[tuple[str, str, str]]:
    return [(job.verb, job.unit, job.reason) for job in made.consequences]


def test_a_start_names_what_it_stops_and_what_stops_with_that() -> None:
    new = generation({"web.service": "Conflicts=old.service"})
    now = machine(old_service="active", log_service="active", idle_service="inactive")
    now = replace(now, relations={"old.service": {"PropagatesStopTo": ("log.service", "idle.service")}})

    assert caused(plan(OLD, new, now)) == [
        ("stop", "log.service", "PID 1 stops it together with old.service"),
        ("stop", "old.service", "PID 1 stops it because it conflicts with web.service"),
    ]


def test_a_newer_pid_1_leaves_propagation_alone_when_a_conflict_stops_a_unit() -> None:
    new = generation({"web.service": "Conflicts=old.service"})
    now = machine(old_service="active", log_service="active", bound_service="active")
    now = replace(now, relations={"old.service": {"PropagatesStopTo": ("log.service",), "BoundBy": ("bound.service",)}})

    made = plan(OLD, new, replace(now, restart_stops=True))

    assert [unit for _, unit, _ in caused(made)] == ["bound.service", "old.service"]


def test_a_start_names_what_it_pulls_in_however_far_away() -> None:
    new = generation({"web.service": "Wants=online.target up.target\nRequires=missing.service"})
    now = machine(online_target="inactive", up_target="active", wait_service="inactive")
    now = replace(now, relations={"online.target": {"Wants": ("wait.service",)}})

    assert caused(plan(OLD, new, now)) == [
        ("start", "online.target", "PID 1 starts it, because web.service wants it"),
        ("start", "wait.service", "PID 1 starts it, because online.target wants it"),
    ]


def test_jobs_of_the_plan_are_not_named_twice() -> None:
    new = generation({"a.service": "Wants=b.service", "b.service": "Conflicts=c.service", "c.service": ""})

    made = plan(OLD, new, machine(a_service="inactive", b_service="inactive", c_service="inactive"))

    assert caused(made) == []
    assert [job.unit for job in made.jobs] == ["a.service", "b.service", "c.service"]


@pytest.mark.parametrize(
    ("obstacle", "text"),
    [
        ({"holds": {"old.service": Hold()}}, "waits for the end of the hold of old.service"),
        ({"protected": {"old.service": "the message bus"}}, "is not started"),
        ({"protected": {"old.service": "the session that asked for changes"}}, "waits for the end of the session"),
    ],
)
def test_a_unit_is_not_started_if_that_would_stop_a_held_or_protected_one(
    obstacle: Mapping[str, Mapping[str, object]], text: str
) -> None:
    new = generation({"web.service": "", "other.service": ""})
    now = replace(machine(old_service="active"), relations={"web.service": {"ConflictedBy": ("old.service",)}})

    made = plan(OLD, new, replace(now, **obstacle))  # type: ignore[arg-type]

    assert [job.unit for job in made.jobs] == ["other.service"]
    (note,) = made.notes
    assert note.what.startswith(text)
    assert note.why in (NoteReason.LATER, NoteReason.REBOOT)
    assert made.consequences == ()


def test_a_restart_that_would_only_stop_others_is_split_and_they_start_again() -> None:
    old, new = (generation({"a.service": "PropagatesStopTo=b.service", "b.service": ""}, word) for word in "12")
    new = replace(new, artifacts=(new.artifacts[0], old.artifacts[1]))
    now = replace(
        machine(a_service="active", b_service="active"),
        relations={"a.service": {"PropagatesStopTo": ("b.service",)}},
    )

    spared, split = plan(old, new, now), plan(old, new, replace(now, restart_stops=True))

    assert [(job.verb, job.unit) for job in spared.jobs] == [("restart", "a.service")]
    assert [job.unit for job in split.stops] == ["a.service"]
    assert [(job.verb, job.unit) for job in split.jobs] == [("start", "a.service"), ("start", "b.service")]
    assert "together with a.service" in split.jobs[1].reason


def test_a_rollback_starts_again_what_pid_1_has_stopped() -> None:
    now = machine(old_service="inactive", web_service="active")

    back = rollback_plan(Plan(), OLD, now, running={"old.service"}, stopped=("old.service", "never-ran.service"))

    assert [(job.verb, job.unit) for job in back.jobs] == [("start", "old.service")]
