"""The lock of an apply."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from ordain.agent.errors import Busy
from ordain.agent.system.apply_lock import lock_holder, locked, other_holder


def test_two_applies_do_not_run_at_once(tmp_path: Path) -> None:
    async def both() -> None:
        async with locked(tmp_path, 0.0):
            with pytest.raises(Busy, match=f"another apply is running: `.*` \\(process {os.getpid()}\\)"):
                async with locked(tmp_path, 0.1):
                    pass
        async with locked(tmp_path, 0.0):
            pass

    asyncio.run(both())


def test_the_holder_of_the_lock_and_its_caller_are_named_to_others_only(tmp_path: Path) -> None:
    caller = os.getppid()

    async def look(process: int) -> str | None:
        async with locked(tmp_path, 0.0, caller=caller):
            assert lock_holder(tmp_path) == os.getpid()
            return other_holder(tmp_path, process)

    assert asyncio.run(look(os.getpid())) is None
    assert asyncio.run(look(caller)) is None
    other = max(os.getpid(), caller) + 1  # not 1, which is the caller if the parent of the tests has ended
    holder = asyncio.run(look(other)) or ""
    assert re.fullmatch(rf"`.+` \(process {os.getpid()}\), for `.+` \(process {caller}\)", holder)


def test_nobody_holds_a_lock_that_was_released(tmp_path: Path) -> None:
    async def hold() -> None:
        async with locked(tmp_path, 0.0):
            pass

    assert other_holder(tmp_path, 1) == ""
    asyncio.run(hold())
    assert other_holder(tmp_path, 1) == ""
