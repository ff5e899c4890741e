"""The status for users whom the agent does not answer: its last report, with the reason."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any, cast

import pytest

from ordain.agent.daemon.clients.client import BUS_NAME, ROOT_BUS_NAME
from ordain.agent.daemon.clients.remote import RemoteClient
from ordain.agent.delivery.fleet.report import PATH, MachineReport, ReportedCondition, ReportedUnit
from ordain.agent.errors import Denied, Unavailable
from ordain.agent.model import to_json
from ordain.agent.status import AgentState, Status
from ordain.agent.system.dbus.bus import BusError

REPORT = MachineReport(
    machine="a" * 32,
    phase=AgentState.DEGRADED,
    generation=7,
    conditions=(ReportedCondition(code="FileNotPlaced", what="/etc/a"),),
    units={"web.service": ReportedUnit(state="failed", result="exit-code"), "a.service": ReportedUnit(state="active")},
    drift=("web.service",),
    written="2026-01-02T03:04:05+00:00",
)
LIMIT = BusError("org.freedesktop.DBus.Error.LimitsExceeded", "more than 150 calls of all users in a second")


class FakeBus:
    """A bus whose agent fails with ``answer``, or gives it."""

    def __init__(self, answer: Exception | str) -> None:
        self.answer = answer

    async def call(self, *_: object, **__: object) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def observe() -> Status:
    """Return what the machine is without its agent."""
    return Status(generation=9)


def ask(root: Path, answer: Exception | str, name: str = BUS_NAME) -> Status:
    return asyncio.run(RemoteClient(cast(Any, FakeBus(answer)), root, name, observe).status())


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / PATH).parent.mkdir(parents=True)
    (tmp_path / PATH).write_text(json.dumps(to_json(REPORT)))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return tmp_path


SILENT = Unavailable("org.ordain.Agent1 did not answer Status within 20 s")
LOST = BusError(
    "org.freedesktop.DBus.Error.NoReply", "Message recipient disconnected from message bus without replying"
)


@pytest.mark.parametrize("failure", [LIMIT, SILENT, LOST])
def test_a_user_who_is_not_answered_sees_the_last_report_and_the_reason(root: Path, failure: Exception) -> None:
    status = ask(root, failure)

    assert (status.state, status.generation, status.agent) == (AgentState.DEGRADED, 7, True)
    assert [(unit.unit, unit.active_state, unit.ok) for unit in status.units] == [
        ("a.service", "active", True),
        ("web.service", "failed", False),
    ]
    assert [condition.code for condition in status.conditions] == ["FileNotPlaced", "AgentBusy"]
    assert "2026-01-02T03:04:05" in status.conditions[-1].what
    assert status.faulty


def test_an_answer_and_a_refusal_are_passed_on(root: Path) -> None:
    assert ask(root, json.dumps(to_json(Status(generation=3)))).generation == 3
    with pytest.raises(Denied):
        ask(root, Denied("no"))
    with pytest.raises(BusError):
        ask(root, BusError("org.freedesktop.DBus.Error.AccessDenied", "no"))


@pytest.mark.parametrize("failure", [SILENT, LOST])
@pytest.mark.parametrize("name", [BUS_NAME, ROOT_BUS_NAME])
def test_root_sees_what_the_machine_is_without_an_agent_that_does_not_answer(
    root: Path, failure: Exception, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    assert ask(root, failure, name).generation == 9


def test_a_call_whose_agent_ended_fails_in_plain_words(root: Path) -> None:
    with pytest.raises(Unavailable) as failure:
        asyncio.run(RemoteClient(cast(Any, FakeBus(LOST)), root).plan())

    assert "ordain-agent ended before it answered" in str(failure.value)
    assert "org.freedesktop" not in str(failure.value)


def test_root_is_told_that_the_agent_does_not_answer(root: Path) -> None:
    with pytest.raises(Unavailable):
        ask(root, LIMIT, ROOT_BUS_NAME)


@pytest.mark.parametrize("content", [None, b"[", b"{}", b"\xff" * 9])
def test_without_a_report_the_reason_is_an_error(root: Path, content: bytes | None) -> None:
    (root / PATH).unlink()
    if content is not None:
        (root / PATH).write_bytes(content)

    with pytest.raises(Unavailable, match="calls of all users"):
        ask(root, LIMIT)
