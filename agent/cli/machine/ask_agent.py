"""The way of a command to the agent: over D-Bus, or in this process if the agent does not run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from ordain.agent.daemon.clients.client import Client
from ordain.agent.daemon.clients.connect import connect
from ordain.agent.system.apply_lock import other_holder

T = TypeVar("T")
WAIT_SEC = 0.5
"""A command that takes longer looks for another apply that it waits for."""


def _say_nothing(text: str) -> None: ...


def ask(root: Path, question: Callable[[Client], Awaitable[T]], *, waits: Callable[[str], None] = _say_nothing) -> T:
    """Return the client's answer to ``question``. Raises `Refused` or `Failure`.

    ``waits`` gets the words for a wait until another apply has ended, once.
    """

    async def answer() -> T:
        async with connect(root) as client:
            task = asyncio.ensure_future(question(client))
            while not (await asyncio.wait({task}, timeout=WAIT_SEC))[0]:
                holder = other_holder(root, os.getpid())
                if holder:
                    waits(f"waiting for another apply, of {holder}")
                if holder != "":  # its own apply has begun, or the wait was told
                    break
            return await task

    return asyncio.run(answer())
