"""The interface of the agent on the bus: its members are a contract (docs/reference/dbus.md)."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from dbus_next.errors import DBusError
from dbus_next.signature import Variant

from ordain.agent.condition import StatusCondition
from ordain.agent.daemon.clients.client import BUS_NAME, OBJECT_PATH
from ordain.agent.daemon.dbus_service import AgentInterface
from ordain.agent.daemon.status.status_publisher import StatusPublisher
from ordain.agent.instruction import Instruction, InstructionKind, StandingInstruction, Terms
from ordain.agent.model import Hold
from ordain.agent.status import AgentState, SourceState, Status
from ordain.agent.system.dbus.dbus_guard import current_call
from support.samples.status_samples import unit_status

DOCS = Path(__file__).parents[3] / "docs/reference/dbus.md"
METHODS = {
    "Plan": ("a(ss)", "s"),
    "PlanFile": ("a(st)h", "s"),
    "Apply": ("a(ss)a{sv}", "s"),
    "ApplyFile": ("a(st)ha{sv}", "s"),
    "Confirm": ("", "u"),
    "Rollback": ("u", "s"),
    "RollbackWith": ("ua{sv}", "s"),
    "Status": ("", "s"),
    "Explain": ("s", "s"),
    "Hold": ("sa{sv}", "s"),
    "Unhold": ("s", "s"),
    "Pause": ("", ""),
    "PauseWith": ("a{sv}", "s"),
    "Resume": ("", ""),
    "Follow": ("", ""),
    "FollowUnit": ("s", "s"),
    "Refresh": ("", ""),
}
PROPERTIES = {
    "State": "s",
    "Generation": "u",
    "WantedGeneration": "u",
    "SourceState": "a{sv}",
    "Conditions": "a(sss)",
    "Drift": "a(ss)",
    "Instructions": "a(ssssss)",
}
SIGNALS = {"PlanStarted": "s", "UnitConverged": "sbs", "Converged": "u", "RolledBack": "us"}
UNIT = unit_status(ok=False, active_state="failed")


def interface() -> tuple[AgentInterface, StatusPublisher]:
    status = StatusPublisher(cast(Any, None), Status(agent=True))
    return AgentInterface(cast(Any, SimpleNamespace()), status, cast(Any, None)), status


def test_the_members_of_the_interface() -> None:
    described = interface()[0].introspect()

    assert described.name == BUS_NAME
    assert {method.name: (method.in_signature, method.out_signature) for method in described.methods} == METHODS
    assert {prop.name: prop.signature for prop in described.properties} == PROPERTIES
    assert {signal.name: signal.signature for signal in described.signals} == SIGNALS


@pytest.mark.skipif(not DOCS.exists(), reason="no source tree here")
def test_the_reference_names_every_member() -> None:
    text = DOCS.read_text()

    assert f"`{BUS_NAME}`" in text
    assert f"`{OBJECT_PATH}`" in text
    assert {*METHODS, *PROPERTIES, *SIGNALS} <= set(re.findall(r"`([A-Za-z]+)`", text))


def test_a_change_of_the_status_is_announced_with_the_properties_that_changed() -> None:
    made, publisher = interface()
    announced: list[dict[str, Any]] = []
    cast(Any, made).emit_properties_changed = announced.append
    made.announce()

    publisher.publish(Status(agent=True, state=AgentState.CONVERGED, generation=3, wanted_generation=3))
    publisher.publish(
        Status(
            agent=True,
            state=AgentState.DEGRADED,
            generation=3,
            wanted_generation=3,
            conditions=(StatusCondition(code="X", what="y", hint="z"),),
            units=(UNIT,),
        )
    )
    held = StandingInstruction(
        kind=InstructionKind.HOLD, subject="a.service", since="s", by="alice", why="new disk", until="u"
    )
    publisher.publish(
        Status(agent=True, state=AgentState.DEGRADED, source=SourceState(connected=True), instructions=(held,))
    )

    assert set(announced[0]) == set(PROPERTIES)
    assert announced[2]["Instructions"] == [["hold", "a.service", "alice", "s", "new disk", "u"]]
    assert announced[1] == {"State": "degraded", "Conditions": [["X", "y", "z"]], "Drift": [["a.service", "failed"]]}
    assert announced[2]["SourceState"]["connected"].value is True


def test_a_status_that_did_not_change_is_not_announced() -> None:
    made, publisher = interface()
    announced: list[dict[str, Any]] = []
    cast(Any, made).emit_properties_changed = announced.append
    made.announce()

    for _ in range(2):
        publisher.publish(Status(agent=True, state=AgentState.CONVERGED))

    assert len(announced) == 1


def test_listeners_end() -> None:
    publisher = StatusPublisher(cast(Any, None), Status(agent=True))
    heard: list[Status] = []
    end = publisher.listen(heard.append)
    publisher.publish(Status(agent=True, generation=1))
    end()
    publisher.publish(Status(agent=True, generation=2))

    assert [status.generation for status in heard] == [1]


def test_a_status_is_observed_one_at_a_time() -> None:
    running = 0

    class Reader:
        async def read(self) -> Status:
            nonlocal running
            running += 1
            assert running == 1
            await asyncio.sleep(0)
            running -= 1
            return Status(agent=True)

    async def test() -> None:
        publisher = StatusPublisher(cast(Any, Reader()), Status(agent=True))
        await asyncio.gather(publisher.refresh(), publisher.refresh())

    asyncio.run(test())


def test_all_who_ask_during_an_observation_share_the_next_one() -> None:
    observations = 0

    class Reader:
        async def read(self) -> Status:
            nonlocal observations
            observations += 1
            await asyncio.sleep(0.01)
            return Status(agent=True, generation=observations)

    async def test() -> list[int]:
        publisher = StatusPublisher(cast(Any, Reader()), Status(agent=True))
        first = asyncio.ensure_future(publisher.refresh())
        await asyncio.sleep(0.001)
        statuses = await asyncio.gather(first, *(publisher.refresh() for _ in range(50)))
        return [status.generation for status in statuses]

    assert asyncio.run(test()) == [1, *[2] * 50]


class Asked:
    """A client and an authority in one, which allow everything and record the requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def is_root(self, _sender: str) -> bool:
        return True

    async def process(self, _sender: str) -> int:
        return 42

    async def pause(self, terms: Terms, *, caller: int) -> Instruction:
        self.asked.append(("pause", terms, caller))
        return Instruction(by="alice")

    async def hold(self, unit: str, *, unmask: bool, terms: Terms, caller: int) -> Hold:
        self.asked.append(("hold", unit, unmask, terms, caller))
        return Hold()

    async def rollback(self, number: int, *, why: str, caller: int) -> None:
        self.asked.append(("rollback", number, why, caller))


def asked_by(member: str, *arguments: object) -> list[tuple[Any, ...]]:
    asked = Asked()
    made = AgentInterface(cast(Any, asked), cast(Any, None), cast(Any, asked))
    method = next(m for m in type(made).__dict__.values() if getattr(m, "__name__", "") == member)
    current_call.set(cast(Any, SimpleNamespace(sender=":1.1")))
    asyncio.run(method.__wrapped__(made, *arguments))
    return asked.asked


@pytest.mark.parametrize(
    ("member", "arguments", "request_"),
    [
        ("Pause", (), ("pause", Terms(), 42)),
        (
            "PauseWith",
            ({"why": Variant("s", "x"), "for": Variant("t", 60)},),
            ("pause", Terms(why="x", lasts_sec=60), 42),
        ),
        (
            "Hold",
            ("a.service", {"until": Variant("x", 2000), "why": Variant("s", "x")}),
            ("hold", "a.service", False, Terms(why="x", until_sec=2000), 42),
        ),
        ("RollbackWith", (3, {"why": Variant("s", "x")}), ("rollback", 3, "x", 42)),
        ("Rollback", (3,), ("rollback", 3, "", 42)),
    ],
)
def test_reasons_and_ends_are_passed_on(member: str, arguments: tuple[Any, ...], request_: tuple[Any, ...]) -> None:
    assert asked_by(member, *arguments) == [request_]


@pytest.mark.parametrize("options", [{"for": Variant("x", -1)}, {"why": Variant("t", 1)}, {"end": Variant("t", 1)}])
def test_an_option_that_the_method_does_not_have_is_refused(options: dict[str, Variant]) -> None:
    with pytest.raises(DBusError, match="PauseWith"):
        asked_by("PauseWith", options)
