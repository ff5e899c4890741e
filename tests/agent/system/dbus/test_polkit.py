"""Questions to polkit that nobody answers take no call of the agent away from root."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, cast

import pytest

from ordain.agent.errors import Denied
from ordain.agent.system.dbus.dbus_next_driver import IN_FLIGHT
from ordain.agent.system.dbus.polkit import ACTIONS, POLKIT, QUESTIONS_MAX, PolkitAuthority, Question

POLICY = Path(__file__).parents[4] / "packaging/polkit/org.ordain.Agent1.policy"


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


@pytest.mark.skipif(not POLICY.exists(), reason="needs the source tree")
def test_polkit_asks_for_a_password_before_each_change() -> None:
    """A consent that is kept would let any program of the session apply any documents for minutes."""
    actions = {action.get("id"): action for action in ET.parse(POLICY).iter("action")}
    assert set(actions) == set(ACTIONS.values())

    defaults = {name: [rule.text for rule in action.find("defaults") or ()] for name, action in actions.items()}
    assert defaults[ACTIONS["apply"]] == ["auth_admin"] * 3
    assert set(defaults[ACTIONS["plan"]]) <= {"auth_admin", "auth_admin_keep"}
