"""The line of the agent in `systemctl status ordain-agent` says the same as `ordainctl status`."""

from __future__ import annotations

import pytest

from ordain.agent.daemon.main import _line
from ordain.agent.status import AgentState, Status


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (Status(), "starting"),
        (Status(state=AgentState.CONVERGED), "converged, no generation"),
        (Status(state=AgentState.CONVERGED, generation=3), "converged, generation 3"),
        (
            Status(state=AgentState.DEGRADED, generation=3, drift=("a.service",)),
            "degraded, generation 3, 1 not as wanted",
        ),
    ],
)
def test_the_line_names_state_generation_and_drift(status: Status, line: str) -> None:
    assert _line(status) == line
