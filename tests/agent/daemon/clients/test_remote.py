"""The client of an agent that goes away in the middle of an apply, on a private bus."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import MessageType
from dbus_next.message import Message
from dbus_next.signature import Variant

from ordain.agent.daemon.clients import remote
from ordain.agent.daemon.clients.client import BUS_NAME
from ordain.agent.daemon.clients.remote import RemoteClient
from ordain.agent.errors import Unavailable
from ordain.agent.model import Outcome, Plan, to_json
from ordain.agent.state.last_outcome import PATH, write_last_outcome
from ordain.agent.system.dbus.dbus_next_driver import DbusNext
from support.machines.private_bus import private_bus

LATER = "2999-01-01T00:00:00+00:00"
EARLIER = "2000-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with private_bus() as address:
        yield address


class Agent:
    """An agent that leaves the bus at the first ``losses`` calls of Apply, and is busy for a while when it is back."""

    def __init__(self, address: str, losses: int) -> None:
        self.calls: list[str] = []
        self._address = address
        self._losses = losses
        self._states: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def join(self) -> None:
        bus = await MessageBus(bus_address=self._address).connect()
        bus.add_message_handler(lambda message: self._answer(bus, message))
        await bus.request_name(BUS_NAME)
        self.bus = bus

    def leave(self, bus: MessageBus) -> None:
        bus.disconnect()  # type: ignore[no-untyped-call]
        asyncio.get_running_loop().remove_reader(bus._fd)
        bus._sock.close()

    def _answer(self, bus: MessageBus, call: Message) -> bool:
        if call.message_type is not MessageType.METHOD_CALL:
            return False
        self.calls.append(str(call.member))
        if call.member == "Get":
            state = self._states.pop(0) if self._states else "paused"
            bus.send(Message.new_method_return(call, "v", [Variant("s", state)]))
        elif self._losses:
            self._losses -= 1
            self._states = ["starting", "applying"]
            self.leave(bus)
            self._tasks.add(asyncio.ensure_future(self.join()))
        else:
            answer = Outcome(generation=8, hash="answered", plan=Plan())
            bus.send(Message.new_method_return(call, "s", [json.dumps(to_json(answer))]))
        return True


@pytest.fixture
def client(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that applies while the agent is lost so many times; it returns the outcome and the calls."""
    (tmp_path / PATH).parent.mkdir(parents=True)
    connect = DbusNext.open

    async def connect_here() -> DbusNext:
        return await connect(address)

    monkeypatch.setattr(DbusNext, "open", connect_here)
    monkeypatch.setattr(remote, "POLL_SEC", 0.01)

    def apply(losses: int, **options: Any) -> tuple[Outcome, list[str]]:
        async def run() -> tuple[Outcome, list[str]]:
            agent = Agent(address, losses)
            await agent.join()
            asked = RemoteClient(await connect_here(), tmp_path)
            try:
                return await asked.apply(**options), agent.calls
            finally:
                asked.close()
                agent.leave(agent.bus)

        return asyncio.run(run())

    return apply


@pytest.mark.parametrize(
    ("is_own", "started", "result"),
    [(True, LATER, "finished"), (False, LATER, "answered"), (True, EARLIER, "answered")],
    ids=["its own apply", "an apply of somebody else", "an earlier apply"],
)
def test_a_caller_whose_agent_is_lost_gets_the_outcome_of_its_apply_or_asks_again(
    client: Any, tmp_path: Path, is_own: bool, started: str, result: str
) -> None:
    caller = os.getpid() if is_own else 1
    last = Outcome(generation=7, hash="finished", plan=Plan(), exit_status=4, started=started, caller=caller)
    write_last_outcome(tmp_path, last)

    outcome, calls = client(losses=1)

    assert outcome.hash == result
    assert calls[:4] == ["Apply", "Get", "Get", "Get"], "the caller waits until the agent is idle"
    assert calls.count("Apply") == (1 if result == "finished" else 2)


def test_an_agent_that_is_lost_again_and_again_is_reported(client: Any) -> None:
    with pytest.raises(Unavailable, match="again and again"):
        client(losses=9)


def test_a_trial_is_not_begun_again(client: Any) -> None:
    with pytest.raises(Unavailable, match="what has become of the trial"):
        client(losses=1, confirm_sec=60)
