"""The state in the status: the first reason in the order of the table decides."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ordain.agent.daemon.status_reader import AgentPhase, AgentView, StatusReader
from ordain.agent.model import Outcome, Plan, UnitVerdict
from ordain.agent.state.decisions import RejectedGeneration
from ordain.agent.status import AgentState, UnitStatus
from support.status_samples import unit_status

WELL = unit_status()
FAILED = unit_status("b.service", ok=False, active_state="failed")
REJECTED = RejectedGeneration(number=2, hash="2", why="x")


def left_undone(unit: str) -> Outcome:
    return Outcome(generation=1, hash="1", plan=Plan(), verdicts=(UnitVerdict(unit=unit, ok=False, what="failed"),))


def view(phase: AgentPhase = AgentPhase.FOLLOWING, **fields: Any) -> AgentView:
    return AgentView(phase=phase, **fields)


@pytest.mark.parametrize(
    ("trial", "paused", "rejected", "units", "agent", "state"),
    [
        (True, True, REJECTED, (FAILED,), view(AgentPhase.APPLYING), AgentState.APPLYING),
        (True, True, REJECTED, (FAILED,), view(AgentPhase.STARTING), AgentState.STARTING),
        (True, True, REJECTED, (FAILED,), view(), AgentState.TRIAL),
        (False, True, REJECTED, (FAILED,), view(), AgentState.PAUSED),
        (False, False, REJECTED, (FAILED,), view(), AgentState.ROLLED_BACK),
        (False, False, None, (WELL, FAILED), view(), AgentState.DEGRADED),
        (False, False, None, (WELL, FAILED), None, AgentState.DEGRADED),
        (False, False, None, (WELL,), view(incomplete=True), AgentState.DEGRADED),
        (False, False, None, (WELL,), view(wanted=left_undone("gone.service")), AgentState.DEGRADED),
        (False, False, None, (WELL,), view(wanted=left_undone("a.service")), AgentState.CONVERGED),
        (False, False, None, (WELL,), view(), AgentState.CONVERGED),
        (False, False, None, (), None, AgentState.CONVERGED),
    ],
)
def test_the_state(
    trial: bool,
    paused: bool,
    rejected: RejectedGeneration | None,
    units: tuple[UnitStatus, ...],
    agent: AgentView | None,
    state: AgentState,
) -> None:
    parts = SimpleNamespace(
        trials=SimpleNamespace(pending=lambda: trial), decisions=SimpleNamespace(paused=paused, rejected=rejected)
    )
    reader = StatusReader(parts=cast(Any, parts), source=cast(Any, None))

    assert reader._state(units, agent) is state
