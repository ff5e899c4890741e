"""plan, apply, diff, pause, resume, follow: through the agent, or in its place when it does not run."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.document_files import contents
from ordain.agent.cli.generations import in_force, numbered
from ordain.agent.cli.parse import Usage
from ordain.agent.daemon.client import Client, Documents
from ordain.agent.daemon.connect import connect
from ordain.agent.model import Change, Outcome, Plan, Verdict, to_json
from ordain.agent.plan.describe import describe, describe_change
from ordain.agent.plan.diff import diff as between
from ordain.transforms.errors import Refused

T = TypeVar("T")

VERBS = {
    "start": Style.GOOD,
    "stop": Style.BAD,
    "restart": Style.WARN,
    "reload": Style.WARN,
    "manager": Style.DIM,
}
RESULTS = {
    Exit.OK: "applied",
    Exit.REFUSED: "failed, nothing changed",
    Exit.DEGRADED: "applied, something is degraded",
    Exit.ROLLED_BACK: "failed and rolled back",
    Exit.INCOMPLETE: "failed, and the rollback is incomplete",
    Exit.BUSY: "busy",
}


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


def plan(request: Namespace, console: Console) -> Exit:
    """`ordainctl plan`."""
    texts = given(request)
    found = ask(request.root, lambda client: client.plan(texts))
    if request.json:
        console.json(to_json(found))
    else:
        _print(found, console)
    return Exit.CHANGES if found and request.exit_code else Exit.OK


def apply(request: Namespace, console: Console) -> Exit:
    """`ordainctl apply`."""
    seconds = _number(request.confirm, "--confirm takes a number of seconds")
    if request.confirm is not None and not seconds:
        raise Usage("--confirm takes a number of seconds")
    texts = given(request)
    with console.progress("applying"):
        outcome = ask(request.root, lambda client: client.apply(texts, once=request.once, confirm_sec=seconds))
    if request.json:
        console.json(to_json(outcome))
    else:
        report(outcome, console)
    return Exit(outcome.exit_status)


def confirm(request: Namespace, console: Console) -> Exit:
    """`ordainctl confirm`."""
    number = ask(request.root, lambda client: client.confirm())
    console.line(f"generation {number} stays", Style.GOOD)
    return Exit.OK


def rollback(request: Namespace, console: Console) -> Exit:
    """`ordainctl rollback`."""
    number = _number(request.n, "N is the number of a generation (`ordainctl history`)")
    with console.progress("going back"):
        outcome = ask(request.root, lambda client: client.rollback(number))
    if request.json:
        console.json(to_json(outcome))
    else:
        report(outcome, console)
    return Exit(outcome.exit_status)


def _number(word: str | None, what: str) -> int:
    if word is not None and not (word.isascii() and word.isdecimal()):
        raise Usage(what)
    return int(word or 0)


def report(outcome: Outcome, console: Console) -> None:
    """What was done, and what came of it."""
    _print(outcome.plan, console)
    _verdicts(outcome.verdicts, console)
    if outcome.back is not None:
        console.line(f"generation {outcome.rejected}: {outcome.why}", Style.BAD)
        console.line(f"back to generation {outcome.generation}:", Style.STRONG)
        _print(outcome.back, console)
        _verdicts(outcome.back_verdicts, console)
    if not outcome.persistent:
        console.note("it holds for this boot only: /etc could not be written [NotPersistent]", Style.WARN)
    status = Exit(outcome.exit_status)
    if outcome.plan or status:
        number = f"generation {outcome.generation}"
        console.line(f"{number}: {RESULTS[status]}", Style.BAD if status else Style.GOOD)
    if outcome.confirm_by:
        console.note(f"it goes back at {outcome.confirm_by}, unless: ordainctl confirm", Style.WARN)


def _verdicts(verdicts: Sequence[Verdict], console: Console) -> None:
    console.table((), [(v.unit, ("ok", Style.GOOD) if v.ok else ("failed", Style.BAD), v.what) for v in verdicts])


def diff(request: Namespace, console: Console) -> Exit:
    """`ordainctl diff`."""
    changes = _changes(request)
    if request.json:
        console.json(to_json(changes))
    for unit, of_unit in groupby(() if request.json else changes, key=lambda change: change.unit):
        console.line(unit, Style.STRONG)
        for change in of_unit:
            console.line(f"  {describe_change(change)}")
    return Exit.CHANGES if changes and request.exit_code else Exit.OK


def _changes(request: Namespace) -> tuple[Change, ...]:
    if request.n is None:
        return ask(request.root, lambda client: client.plan()).changes
    old = numbered(request.root, request.n)
    new = in_force(request.root) if request.m is None else numbered(request.root, request.m)
    return between(old, new)


def _print(found: Plan, console: Console) -> None:
    for line in describe(found).splitlines():
        console.line(line, VERBS.get(line.partition(" ")[0], Style.PLAIN))
    console.problems(found.problems)


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
