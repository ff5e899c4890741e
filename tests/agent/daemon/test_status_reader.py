"""The state in the status follows from its conditions; the first reason in the order of the table decides."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ordain.agent.daemon.status_reader import AGENT_DOWN, AgentPhase, AgentView, StatusReader
from ordain.agent.model import UnitVerdict
from ordain.agent.plan.unit_status import differences, left_undone
from ordain.agent.state.decisions import RejectedGeneration
from ordain.agent.status import AgentState, Status, StatusCondition
from support.status_samples import unit_status

FAULT = StatusCondition(code="Drift", what="a.service", fault=True)
NOTE = StatusCondition(code="Pinned", what="generation 2")
REJECTED = RejectedGeneration(number=2, hash="2", why="x")


def view(phase: AgentPhase = AgentPhase.FOLLOWING, **fields: Any) -> AgentView:
    return AgentView(phase=phase, **fields)


@pytest.mark.parametrize(
    ("trial", "stays", "rejected", "conditions", "agent", "state"),
    [
        (True, "paused", REJECTED, (FAULT,), view(AgentPhase.APPLYING), AgentState.APPLYING),
        (True, "paused", REJECTED, (FAULT,), view(AgentPhase.STARTING), AgentState.STARTING),
        (True, "paused", REJECTED, (FAULT,), view(), AgentState.TRIAL),
        (False, "paused", REJECTED, (FAULT,), view(), AgentState.PAUSED),
        (False, "pinned", REJECTED, (FAULT,), view(), AgentState.ROLLED_BACK),
        (False, "pinned", None, (NOTE, FAULT), view(), AgentState.DEGRADED),
        (False, "pinned", None, (NOTE,), view(), AgentState.PAUSED),
        (False, "", REJECTED, (FAULT,), view(), AgentState.ROLLED_BACK),
        (False, "", None, (NOTE, FAULT), view(), AgentState.DEGRADED),
        (False, "", None, (AGENT_DOWN,), None, AgentState.DEGRADED),
        (False, "", None, (NOTE,), view(), AgentState.CONVERGED),
        (False, "", None, (), view(), AgentState.CONVERGED),
    ],
)
def test_the_state(
    trial: bool,
    stays: str,
    rejected: RejectedGeneration | None,
    conditions: tuple[StatusCondition, ...],
    agent: AgentView | None,
    state: AgentState,
) -> None:
    parts = SimpleNamespace(
        trials=SimpleNamespace(pending=lambda: trial),
        decisions=SimpleNamespace(paused=stays == "paused", pin=stays == "pinned", rejected=rejected),
    )
    reader = StatusReader(parts=cast(Any, parts), source=cast(Any, None))

    assert reader._state(conditions, agent) is state


@pytest.mark.parametrize("state", [AgentState.PAUSED, AgentState.TRIAL, AgentState.APPLYING, AgentState.CONVERGED])
def test_a_fault_shows_in_the_exit_status_in_every_state(state: AgentState) -> None:
    assert Status(state=state, conditions=(NOTE, FAULT)).faulty
    assert not Status(state=state, conditions=(NOTE,)).faulty


def test_a_unit_that_is_not_as_wanted_is_a_fault_unless_it_is_held() -> None:
    failed = unit_status("b.service", ok=False, active_state="failed")
    gone = replace(unit_status("c.service", ok=False, active_state="inactive"), load_state="not-found")
    held = replace(unit_status("d.service", ok=False, active_state="inactive"), why="held")

    found = list(differences([unit_status(), failed, gone, held]))

    assert [(condition.code, condition.fault) for condition in found] == [("NotInstalled", True), ("Drift", True)]
    assert ["c.service" in found[0].what, "b.service" in found[1].what] == [True, True]
    assert list(differences([unit_status(), held])) == []


def test_work_that_the_last_apply_left_undone_is_a_fault_unless_a_unit_shows_it() -> None:
    verdicts = [UnitVerdict(unit=unit, ok=False, what="failed") for unit in ("a.service", "/etc/motd")]

    found = list(left_undone([unit_status()], verdicts))

    assert [(condition.code, "/etc/motd" in condition.what) for condition in found] == [("Undone", True)]
