"""The way of a command to the agent: over D-Bus, or in this process if the agent does not run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from ordain.agent.daemon.client import Client
from ordain.agent.daemon.connect import connect

T = TypeVar("T")


def ask(root: Path, question: Callable[[Client], Awaitable[T]]) -> T:
    """Return the client's answer to ``question``. Raises `Refused` or `Failure`."""

    async def answer() -> T:
        async with connect(root) as client:
            return await question(client)

    return asyncio.run(answer())
