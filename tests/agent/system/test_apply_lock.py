"""The lock of an apply."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ordain.agent.errors import Busy
from ordain.agent.system.apply_lock import locked


def test_two_applies_do_not_run_at_once(tmp_path: Path) -> None:
    async def both() -> None:
        async with locked(tmp_path, 0.0):
            with pytest.raises(Busy):
                async with locked(tmp_path, 0.1):
                    pass
        async with locked(tmp_path, 0.0):
            pass

    asyncio.run(both())
