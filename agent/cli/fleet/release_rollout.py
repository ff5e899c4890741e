"""release rollout: opens the latest release of a channel stage by stage, as machines report success."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.fleet.fleet_status import note_unused_reports
from ordain.agent.cli.json_shapes import JsonRollout
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store.fleet_reports import FleetReader
from ordain.agent.cli.store.open_store import opened, require_reason, store_author, wait_for_reports
from ordain.agent.delivery.database.database import Conflict, Database, StoredEntry
from ordain.agent.delivery.fleet.fleet_holds import FleetHold, FleetHolds, HoldTarget, read_holds
from ordain.agent.delivery.fleet.report import MachineReport
from ordain.agent.delivery.fleet.reports import machines_named
from ordain.agent.delivery.fleet.rollout_policy import RolloutState, decode_rollout, encode_rollout
from ordain.agent.delivery.fleet.rollout_progress import (
    advance,
    count_machines,
    has_release,
    ignore,
    initial_state,
    is_finished,
    name_machines,
)
from ordain.agent.delivery.release.change_log import ChangeAction, new_change, record_change
from ordain.agent.delivery.release.manifest import Release, parse_share
from ordain.agent.delivery.release.publish import PUBLISH_AGAIN, read_head, rollout_key
from ordain.agent.errors import Failure
from ordain.agent.local_time import local_time
from ordain.agent.model import to_json
from ordain.transforms.document.formats.formats import FORMATS

LOOK_SEC = 10.0
"""The longest wait for news: lost machines report nothing, and the time of a stage passes without a report."""


def rollout(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl release rollout`."""
    return asyncio.run(_rollout(request, console))


async def _rollout(request: Namespace, console: Console) -> Exit:
    opening = _share(request.open) if request.open else None
    shown = ""
    reader = FleetReader()
    orders = _orders(request)
    async with opened(request) as database:
        author = store_author(Namespace(why=request.why or request.stop))
        if orders:
            author = await require_reason(database, author, console)
        while True:
            release, entry, state = await _read(database, request.channel)
            if entry and entry.conflict and not request.stop and opening is None:  # one of the servers may have stopped
                settle = "say which holds: --stop REASON or --open SHARE"
                raise Failure(f"{entry.key} {entry.conflict}; {settle}")
            reports = await reader.read(database, needs_list=not request.stop)  # a stop is always possible
            stored = await read_holds(database)
            if stored.doubt and not request.stop:
                raise Failure(stored.doubt)
            holding = _holding(stored.holds, reports.machines, release)
            # A machine that is held neither succeeds nor fails; one that has the release already counts.
            machines = tuple(report for report in reports.machines if report.machine not in holding)
            new = _step(request, release, machines, state, opening)
            is_held = any(hold.target is HoldTarget.CHANNEL for hold in holding.values())
            if is_held and not orders:  # with no machine left that may take it, every stage would open
                new = state if state and state.number == release.number else initial_state(release, time.time())
            if new == state or await _write(database, request.channel, new, entry):
                if orders:
                    change = new_change(ChangeAction.ROLLOUT, [release.title], author, what=", ".join(orders))
                    await record_change(database, change)
                    orders = []
                opening = None
                request.stop = None
                request.ignore = ()
                text = "; ".join(
                    [_summary(release, machines, new), *dict.fromkeys(hold.describe() for hold in holding.values())]
                )
                if text != shown:
                    shown = text
                    _print(request, release, machines, new, text, console)
                    note_unused_reports(reports, console)
                if request.once:
                    return Exit.ROLLED_BACK if new.halted else Exit.OK
                if is_finished(release, new) and _settled(release, machines, new) and not is_held:
                    return _exit(release, machines, new)
                await wait_for_reports(database, reports.revision, LOOK_SEC)


def _holding(holds: FleetHolds, machines: Sequence[MachineReport], release: Release) -> dict[str, FleetHold]:
    """Return the holds of machines that do not have the release yet, by machine-id."""
    now = datetime.now(UTC)
    waiting = (report for report in machines if not has_release(report, release))
    return {report.machine: hold for report in waiting if (hold := holds.of(report, now))}


def _orders(request: Namespace) -> list[str]:
    """Return the orders on the command line, for the log; the stages that reports open are not a person's change."""
    orders = [f"opened to {request.open}"] if request.open else []
    orders += ["stopped"] if request.stop else []
    return [*orders, *(f"ignores {machine}" for machine in request.ignore)]


def _step(
    request: Namespace,
    release: Release,
    machines: Sequence[MachineReport],
    state: RolloutState | None,
    opening: float | None,
) -> RolloutState:
    """Return the next state: as --stop, --open and --ignore say, else as the reports of the machines allow."""
    now = time.time()
    if request.ignore:
        base = state if state and state.number == release.number else advance(release, (), None, now)
        state = ignore(base, [_machine(machines, name) for name in request.ignore])
    if request.stop or opening is not None:
        base = state if state and state.number == release.number else RolloutState(number=release.number, share=0.0)
        if request.stop:
            return replace(base, halted=request.stop, rolled_back=())
        assert opening is not None
        return replace(base, halted="", rolled_back=(), share=opening, opened=now)
    return advance(release, machines, state, now)


def _machine(machines: Sequence[MachineReport], name: str) -> str:
    """Return the machine-id of the machine called ``name``. Raises `Failure`."""
    matching = {report.machine for report in machines_named(machines, name)}
    if len(matching) != 1:
        count = f"{len(matching)} machines match" if matching else "no machine that counts is called"
        raise Failure(f"--ignore: {count} {name}; name one by its machine-id, see `ordainctl fleet status`")
    return matching.pop()


async def _read(database: Database, channel: str) -> tuple[Release, StoredEntry | None, RolloutState | None]:
    release, head = await read_head(database, channel)
    if head and head.conflict:
        raise Failure(f"{head.key} {head.conflict}; {PUBLISH_AGAIN}")
    if release is None:
        raise Failure(f"channel {channel} has no release in {database.location}")
    entry = await database.get(rollout_key(channel))
    try:
        return release, entry, decode_rollout(entry.data) if entry else None
    except ValueError:
        return release, entry, None


async def _write(database: Database, channel: str, state: RolloutState, entry: StoredEntry | None) -> bool:
    try:
        await database.put(rollout_key(channel), encode_rollout(state), expect=entry.version if entry else None)
    except Conflict:
        return False  # another process has written it: read its state again
    return True


def _settled(release: Release, machines: Sequence[MachineReport], state: RolloutState) -> bool:
    """Tell whether no machine is still applying the release; a stopped rollout does not wait for any."""
    counted = count_machines(release, machines, state, time.time())
    return bool(state.halted) or (counted.done + counted.back >= counted.invited and not counted.at_work)


def _exit(release: Release, machines: Sequence[MachineReport], state: RolloutState) -> Exit:
    if state.halted:
        return Exit.ROLLED_BACK
    counted = count_machines(release, machines, state, time.time())
    return Exit.DEGRADED if counted.exceed(release.rollout.stop_at) else Exit.OK


def _summary(release: Release, machines: Sequence[MachineReport], state: RolloutState) -> str:
    counted = count_machines(release, machines, state, time.time())
    progress = f"{counted.done} have it, {counted.at_work} are applying it, {counted.back} rolled back"
    lost = f", {counted.lost} lost" if counted.lost else ""
    stopped = f"; stopped: {state.halted}" if state.halted else ""
    if not state.halted and counted.exceed(release.rollout.stop_at):
        names = name_machines(machines, counted.rolled_back)
        stopped = f": {names}"
        if not is_finished(release, state):
            stopped += "; no further stage opens: look there, then use --ignore MACHINE or --stop REASON"
    if state.ignored:
        stopped += f"; ignored: {name_machines(machines, state.ignored)}"
    share = f"open to {100 * state.share:g}%, {counted.invited} of {counted.all} machines"
    return f"release {release.title}: {share}; {progress}{lost}{stopped}"


def _print(
    request: Namespace,
    release: Release,
    machines: Sequence[MachineReport],
    state: RolloutState,
    text: str,
    console: Console,
) -> None:
    if request.json:
        counted = count_machines(release, machines, state, time.time())
        console.json(JsonRollout(release=release.title, state=to_json(state), machines=to_json(counted)))
    else:
        console.table((), [(local_time(datetime.now(UTC)), (text, Style.BAD if state.halted else Style.PLAIN))])
    console.out.flush()


def _share(text: str) -> float:
    try:
        FORMATS["share"](text)
    except ValueError as error:
        raise Usage(f"--open {text}: {error}") from None
    return parse_share(text)
