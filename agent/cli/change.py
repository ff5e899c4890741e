"""plan, apply, diff, pause, resume, follow: through the agent, or in its place when it does not run."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Console
from ordain.agent.cli.documents import contents
from ordain.agent.client import Client, Documents, connect
from ordain.transforms.errors import Refused

T = TypeVar("T")


def ask(root: Path, question: Callable[[Client], Awaitable[T]]) -> T:
    """The client's answer to ``question``. Raises `Refused` or `Failure`."""

    async def asked() -> T:
        async with connect(root) as client:
            return await question(client)

    return asyncio.run(asked())


def given(request: Namespace) -> Documents | None:
    """The documents on the command line; ``None`` stands for the source's. Raises `Refused`."""
    if not request.file:
        return None
    documents, problems = contents(request.file)
    if problems:
        raise Refused(problems)
    return documents


def pause(request: Namespace, console: Console) -> Exit:
    """`ordainctl pause`."""
    ask(request.root, lambda client: client.pause())
    console.line("paused: changes of the documents wait for `ordainctl resume`")
    return Exit.OK


def resume(request: Namespace, console: Console) -> Exit:
    """`ordainctl resume`."""
    ask(request.root, lambda client: client.resume())
    console.line("resumed")
    return Exit.OK


def follow(request: Namespace, console: Console) -> Exit:
    """`ordainctl follow`."""
    ask(request.root, lambda client: client.follow())
    console.line("following the source")
    return Exit.OK
