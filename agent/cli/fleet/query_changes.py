"""query changes: the changes in a store between two times, by whom and why."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator
from datetime import datetime

from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style, plural
from ordain.agent.cli.moments import is_between, time_range
from ordain.agent.cli.parse import Usage
from ordain.agent.cli.store.open_store import with_store
from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.release.change_log import ChangeAction, ChangeLog, StoreChange, read_changes
from ordain.agent.delivery.release.manifest import Release
from ordain.agent.delivery.release.publish import list_releases
from ordain.agent.local_time import local_time
from ordain.agent.model import to_json
from ordain.transforms.errors import did_you_mean
from ordain.transforms.model import Branch
from ordain.transforms.query.evaluate import Subject, holds
from ordain.transforms.query.expression import Expression, QueryError, field_tests, parse_expression

ATTRIBUTES = ("action", "subject", "by", "why", "what")


def changes(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl query changes`."""
    expression = _expression(request)
    since, until = time_range(request)

    async def work(database: Database) -> tuple[ChangeLog, list[StoreChange]]:
        log = await read_changes(database)
        listed = await list_releases(database)
        return log, list(unlogged_releases(log, (release for release, _ in listed.releases)))

    log, older = with_store(request, work)
    everything = sorted((*log.changes, *older), key=lambda change: datetime.fromisoformat(change.time))
    results = [
        change
        for change in everything
        if is_between(change.time, since, until) and (expression is None or holds(expression, _subject(change)))
    ]
    if request.count:
        console.line(str(len(results)))
    elif request.json:
        console.json([to_json(change) for change in results])
    elif results:
        rows: list[tuple[Cell, ...]] = [
            (
                local_time(change.time),
                change.by,
                change.action,
                ", ".join(change.subjects),
                _what(change),
                change.why,
            )
            for change in results
        ]
        console.table(("TIME", "BY", "ACTION", "SUBJECT", "CHANGE", "WHY"), rows)
    else:
        console.line("no change matches", Style.DIM)
    if log.unreadable:
        console.note(
            f"the answer is not complete: {plural(len(log.unreadable), 'key')} of the log cannot be read, such as "
            f"{log.unreadable[0]}; find the program that writes there",
            Style.WARN,
        )
        return Exit.DEGRADED
    return Exit.OK


def unlogged_releases(log: ChangeLog, releases: Iterable[Release]) -> Iterator[StoreChange]:
    """Yield an entry for each release that earlier versions published: with its keys instead of an author."""
    logged = {subject for change in log.changes for subject in change.subjects}
    for release in releases:
        created = str(release.data.get("created", ""))
        if release.title not in logged and _is_time(created):
            yield StoreChange(
                time=datetime.fromisoformat(created).astimezone().isoformat(),
                action=ChangeAction.PUBLISH,
                subjects=(release.title,),
                by=", ".join(f"key {name}" for name in release.signatures),
                what=str(release.data.get("about", "")),
            )


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _what(change: StoreChange) -> str:
    return f"{change.what}; ends {local_time(change.until)}".removeprefix("; ") if change.until else change.what


def _expression(request: Namespace) -> Expression | None:
    text = " ".join(request.expression or ())
    if not text:
        return None
    try:
        expression = parse_expression(text)
    except QueryError as error:
        raise Usage(f"{text[:100]!r}: {error}; an example is: by=alice* and subject=layer/web") from None
    for test in field_tests(expression):
        if test.pointer or test.field not in ATTRIBUTES:
            hint = did_you_mean(test.field, ATTRIBUTES) or f"known: {', '.join(ATTRIBUTES)}"
            raise Usage(f"changes have no attribute {test.field} ({hint})")
    return expression


def _subject(change: StoreChange) -> Subject:
    texts = {"action": change.action, "by": change.by, "why": change.why, "what": change.what}
    attributes = {name: (text,) if text else () for name, text in texts.items()}
    return Subject(tree=Branch(), attributes={**attributes, "subject": change.subjects})
