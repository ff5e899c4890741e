"""Requests of administrators to the agent: each is passed on, and the follower learns of it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ordain.agent.daemon.agent_client import AgentClient
from ordain.agent.daemon.minders.minder import REAPPLY, Work
from ordain.agent.errors import Failure, Unavailable
from ordain.agent.status import Status


class Recorder:
    """Stands in for the client in this process, the follower and the publisher; ``calls`` are in order."""

    def __init__(self, failing: str = "", failure: Failure | None = None) -> None:
        self.calls: list[object] = []
        self.failing = failing
        self.failure = failure or Failure("no")
        self.current = Status(agent=True)
        self.status = SimpleNamespace(refresh=self._call("refresh status"), listen=None, current=self.current)

    def __getattr__(self, name: str) -> Any:
        return self._call(name)

    def _call(self, name: str) -> Any:
        async def call(*arguments: object, **fields: object) -> object:
            self.calls.append(name)
            if name == self.failing:
                raise self.failure
            return name

        return call

    def request(self, work: Work) -> None:
        self.calls.append(work)

    def record(self, outcome: object) -> None:
        self.calls.append(f"record {outcome}")

    def used(self) -> None:
        self.calls.append("used")

    @contextmanager
    def applying(self) -> Any:
        self.calls.append("begin")
        try:
            yield
        finally:
            self.calls.append("end")


REQUESTS: dict[str, tuple[tuple[object, ...], list[object]]] = {
    "plan": ((), ["plan", "used"]),
    "apply": ((), ["begin", "apply", "end", "record apply", Work.LOOK]),
    "confirm": ((), ["confirm", Work.READ]),
    "rollback": ((), ["begin", "rollback", "end", "record rollback", Work.READ]),
    "explain": (("a",), ["explain"]),
    "hold": (("a.service",), ["hold", Work.LOOK]),
    "unhold": (("a.service",), ["begin", "unhold", "end", REAPPLY]),
    "refresh": ((), [REAPPLY]),
    "pause": ((), ["pause", "refresh status", Work.LOOK]),
    "resume": ((), ["follow", REAPPLY]),
    "follow": ((), ["follow", REAPPLY]),
    "status": ((), ["refresh status"]),
}


@pytest.mark.parametrize(("request_", "arguments", "calls"), [(name, *row) for name, row in REQUESTS.items()])
def test_each_request_is_passed_on_and_the_follower_learns_of_it(
    request_: str, arguments: tuple[object, ...], calls: list[object]
) -> None:
    recorder = Recorder()
    client = AgentClient(cast(Any, recorder), cast(Any, recorder))

    asyncio.run(getattr(client, request_)(*arguments))

    assert recorder.calls == calls


@pytest.mark.parametrize("request_", ["apply", "rollback"])
def test_the_follower_finishes_an_apply_in_which_pid_1_was_lost(request_: str) -> None:
    recorder = Recorder(failing=request_, failure=Unavailable("PID 1 did not answer"))
    client = AgentClient(cast(Any, recorder), cast(Any, recorder))

    with pytest.raises(Unavailable):
        asyncio.run(getattr(client, request_)())

    assert recorder.calls == ["begin", request_, "end", Work.RESUME]


@pytest.mark.parametrize(("request_", "calls"), [("apply", ["begin", "apply", "end"]), ("plan", ["plan", "used"])])
def test_a_request_that_fails_leaves_no_apply_under_way(request_: str, calls: list[object]) -> None:
    recorder = Recorder(failing=request_)
    client = AgentClient(cast(Any, recorder), cast(Any, recorder))

    with pytest.raises(Failure):
        asyncio.run(getattr(client, request_)())

    assert recorder.calls == calls
