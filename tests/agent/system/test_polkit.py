"""Questions to polkit that nobody answers take no call of the agent away from root."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from ordain.agent.errors import Denied
from ordain.agent.system.bus_dbus_next import IN_FLIGHT
from ordain.agent.system.polkit import POLKIT, QUESTIONS_MAX, PolkitAuthority, Question


class SilentPolkit:
    """A bus with as many calls in flight as ours; polkit waits for a person, and everybody else answers."""

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(IN_FLIGHT)
        self.answer = asyncio.Event()

    async def call(self, destination: str, *_: object, **__: object) -> Any:
        async with self.turns:
            if destination != POLKIT:
                return 0
            await self.answer.wait()
            return True, False, {}


def test_questions_without_an_answer_do_not_delay_root() -> None:
    async def test() -> None:
        bus = SilentPolkit()
        authority = PolkitAuthority(cast(Any, bus))
        question = Question("apply", "May I?")
        waiting = [asyncio.ensure_future(authority.demand(f":1.{n}", question)) for n in range(2 * IN_FLIGHT)]
        await asyncio.sleep(0.01)

        assert await asyncio.wait_for(authority.is_root(":1.999"), 10)
        with pytest.raises(Denied, match="other questions wait"):
            await authority.demand(":1.5", question)

        bus.answer.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert results.count(None) == QUESTIONS_MAX
        await authority.demand(":1.5", question)  # there is room again

    asyncio.run(test())
