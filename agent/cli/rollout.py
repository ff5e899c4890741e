"""release rollout: the stages of a channel's latest release, opened as machines report well."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

from ordain.agent.cli.command import Exit
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store_option import opened
from ordain.agent.delivery.database.database import Conflict, Database, StoredEntry
from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.report_publisher import STATUS
from ordain.agent.delivery.fleet.reports import read_reports
from ordain.agent.delivery.fleet.rollout_policy import RolloutState, decode_rollout, encode_rollout
from ordain.agent.delivery.fleet.staged_rollout import advance, count_machines, is_finished
from ordain.agent.delivery.release.manifest import Release, parse_share
from ordain.agent.delivery.release.publish import read_head, rollout_key
from ordain.agent.errors import Failure
from ordain.agent.model import to_json
from ordain.transforms.document.formats import FORMATS

LOOK_SEC = 10.0
"""Machines that are lost say nothing, and stages last a while: so long without news, look again."""


def rollout(request: Namespace, console: Console) -> Exit:
    """`ordainctl release rollout`."""
    return asyncio.run(_rollout(request, console))


async def _rollout(request: Namespace, console: Console) -> Exit:
    opening = _share(request.open) if request.open else None
    shown = ""
    async with opened(request) as database:
        while True:
            release, entry, state = await _now(database, request.channel)
            found, _, revision = await read_reports(database)
            new = _step(request, release, found, state, opening)
            if new == state or await _write(database, request.channel, new, entry):
                opening = None
                request.stop = None
                said = _said(release, found, new)
                if said != shown:
                    shown = said
                    _tell(request, release, found, new, said, console)
                if request.once or (is_finished(release, new) and _settled(release, found, new)):
                    return Exit.ROLLED_BACK if new.halted else Exit.OK
                await _news(database, revision)


def _step(
    request: Namespace,
    release: Release,
    found: Sequence[MachineReport],
    state: RolloutState | None,
    opening: float | None,
) -> RolloutState:
    now = time.time()
    if request.stop or opening is not None:
        base = state if state and state.number == release.number else RolloutState(number=release.number, share=0.0)
        if request.stop:
            return replace(base, halted=request.stop)
        assert opening is not None
        return replace(base, halted="", share=opening, opened=now)
    return advance(release, found, state, now)


async def _now(database: Database, channel: str) -> tuple[Release, StoredEntry | None, RolloutState | None]:
    release, _ = await read_head(database, channel)
    if release is None:
        raise Failure(f"there is no release of {channel} in {database.location}")
    entry = await database.get(rollout_key(channel))
    try:
        return release, entry, decode_rollout(entry.data) if entry else None
    except ValueError:
        return release, entry, None


async def _write(database: Database, channel: str, state: RolloutState, entry: StoredEntry | None) -> bool:
    try:
        await database.put(rollout_key(channel), encode_rollout(state), expect=entry.version if entry else None)
    except Conflict:
        return False  # another one is at it: look at what it came to
    return True


def _settled(release: Release, found: Sequence[MachineReport], state: RolloutState) -> bool:
    """Whether no machine is on its way any more; a rollout that is stopped waits for nobody."""
    counted = count_machines(release, found, state.share, time.time())
    return bool(state.halted) or (counted.done + counted.back >= counted.invited and not counted.at_work)


def _said(release: Release, found: Sequence[MachineReport], state: RolloutState) -> str:
    counted = count_machines(release, found, state.share, time.time())
    have = f"{counted.done} have it, {counted.at_work} at work, {counted.back} went back"
    lost = f", {counted.lost} lost" if counted.lost else ""
    machines = f"{counted.invited} of {counted.all} machines may: {have}{lost}"
    return f"release {release.title}, open to {100 * state.share:g}%; {machines}" + (
        f"; stopped: {state.halted}" if state.halted else ""
    )


def _tell(
    request: Namespace,
    release: Release,
    found: Sequence[MachineReport],
    state: RolloutState,
    said: str,
    console: Console,
) -> None:
    if request.json:
        counted = count_machines(release, found, state.share, time.time())
        console.json({"release": release.title, "state": to_json(state), "machines": to_json(counted)})
    else:
        console.line(f"{time.strftime('%H:%M:%S')}  {said}", Style.BAD if state.halted else Style.PLAIN)
    console.out.flush()


async def _news(database: Database, revision: str) -> None:
    try:
        async with asyncio.timeout(LOOK_SEC), aclosing(database.watch((STATUS,), revision)) as woken:
            async for _ in woken:
                await asyncio.sleep(1.0)
                return
    except TimeoutError:
        return


def _share(text: str) -> float:
    try:
        FORMATS["share"](text)
    except ValueError as error:
        raise Usage(f"--open {text}: {error}") from None
    return parse_share(text)
