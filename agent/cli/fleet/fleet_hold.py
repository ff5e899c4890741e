"""fleet hold, follow: machines, labels and channels that take no other release for a while."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime, timedelta

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Console, Style
from ordain.agent.cli.fleet.fleet_status import machine_named
from ordain.agent.cli.labels import parse_label
from ordain.agent.cli.moments import terms_of
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store.open_store import require_reason, store_author, with_store
from ordain.agent.delivery.database.database import Database, Write
from ordain.agent.delivery.fleet.fleet_holds import (
    HOLDS,
    FleetHold,
    FleetHolds,
    HoldTarget,
    StoredHolds,
    encode_holds,
    read_holds,
)
from ordain.agent.delivery.release.change_log import Author, ChangeAction, change_entry, new_change
from ordain.agent.errors import Failure
from ordain.agent.instruction import Terms
from ordain.agent.model import to_json


def hold(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet hold`."""
    now = datetime.now(UTC)
    terms = terms_of(request, "", now.astimezone())

    async def work(database: Database) -> FleetHold:
        author = await require_reason(database, store_author(request), console)
        target, subject, name = await _target(request, database)
        held = FleetHold(
            target=target,
            subject=subject,
            name=name,
            since=now.isoformat(timespec="seconds"),
            by=author.by,
            why=author.why,
            until=_until(terms, now),
        )
        stored = await _stored(database, console)
        await _write(database, stored.holds.with_hold(held, now), stored.version, ChangeAction.HOLD, held, author)
        return held

    held = with_store(request, work)
    if request.json:
        console.json(to_json(held))
    else:
        console.line(f"{held.describe()}; machines take no other release until then or until `ordainctl fleet follow`")
    return Exit.OK


def follow(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl fleet follow`."""
    now = datetime.now(UTC)

    async def work(database: Database) -> FleetHold:
        author = await require_reason(database, store_author(request), console)
        target, subject, name = await _target(request, database)
        stored = await _stored(database, console)
        holds = stored.holds
        held = next((h for h in holds.in_force(now) if (h.target, h.subject) == (target, subject)), None)
        if held is None:
            names = ", ".join(h.title for h in holds.in_force(now)) or "none"
            raise Failure(f"{target} {name or subject} is not held; held are: {names}")
        await _write(database, holds.without(target, subject, now), stored.version, ChangeAction.FOLLOW, held, author)
        return held

    held = with_store(request, work)
    console.line(f"{held.title}: no longer held", Style.GOOD)
    return Exit.OK


async def _stored(database: Database, console: Console) -> StoredHolds:
    """Return the holds to change, and say what is kept of holds that are not clear."""
    stored = await read_holds(database)
    if stored.doubt:
        names = ", ".join(hold.title for hold in stored.holds.holds) or "nobody"
        console.note(f"{stored.doubt}; kept are the holds of {names}; hold others again", Style.WARN)
    return stored


async def _target(request: Namespace, database: Database) -> tuple[HoldTarget, str, str]:
    """Return the kind, the subject and the name of what the command line names. Raises `Usage` or `Failure`."""
    given = [word for word in (request.machine, request.label, request.channel) if word]
    if len(given) != 1:
        raise Usage("name one of MACHINE, --label KEY=VALUE and --channel CHANNEL")
    if request.label:
        name, value = parse_label(request.label)
        return HoldTarget.LABEL, f"{name}={value}", ""
    if request.channel:
        return HoldTarget.CHANNEL, request.channel, ""
    report = await machine_named(database, request.machine)
    return HoldTarget.MACHINE, report.machine, report.hostname


async def _write(
    database: Database, holds: FleetHolds, version: str | None, action: ChangeAction, held: FleetHold, author: Author
) -> None:
    """Write the holds and the entry of the log. Raises `Conflict`."""
    until = held.until if action is ChangeAction.HOLD else ""
    change = new_change(action, [held.title], author, until=until)
    await database.write([Write(key=HOLDS, data=encode_holds(holds), expect=version), change_entry(change)])


def _until(terms: Terms, now: datetime) -> str:
    """Return the end that terms set, in ISO 8601, "" if they set none."""
    if terms.lasts_sec:
        return (now + timedelta(seconds=terms.lasts_sec)).isoformat(timespec="seconds")
    return datetime.fromtimestamp(terms.until_sec, UTC).isoformat() if terms.until_sec else ""
