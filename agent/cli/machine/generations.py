"""history, diff: the generations of this machine, read from the store without the agent."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from ordain.agent.apply.change_origin import names
from ordain.agent.cli.commands.subcommand import Exit
from ordain.agent.cli.console import Cell, Console, Style
from ordain.agent.cli.json_shapes import JsonHistoryMore
from ordain.agent.cli.machine.apply import RESULTS
from ordain.agent.cli.machine.ask_agent import ask
from ordain.agent.cli.machine.kept_generations import in_force, numbered
from ordain.agent.cli.moments import is_between, time_range
from ordain.agent.local_time import local_time
from ordain.agent.model import Change, ChangeCause, FileAction, FileChange, to_json
from ordain.agent.plan.changes.diff import diff as differences
from ordain.agent.plan.changes.diff import same_generation
from ordain.agent.plan.changes.file_changes import changed_files
from ordain.agent.plan.changes.file_contents import shown_changes
from ordain.agent.plan.changes.setting_changes import setting_changes
from ordain.agent.plan.describe import describe_change, file_step
from ordain.agent.state.history_events import SOURCE, HistoryEvent
from ordain.agent.state.store import HistoryEntry, Store

MAX_STEPS = 4
"""The jobs and files of an event that a line shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One line of the history: what happened, and the generation that it is about.

    ``saved`` is None if that generation is no longer kept, ``event`` if nothing is known about its apply.
    """

    number: int
    time: str
    saved: HistoryEntry | None = None
    event: HistoryEvent | None = None


def history(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl history`."""
    store = Store(request.root)
    since, until = time_range(request)
    rows = history_rows(store.history(), store.events())
    current = store.applied().number  # as in the status: the two must not disagree
    applied = [at for at, row in enumerate(rows) if not (row.event and row.event.is_instruction)]
    last = max((at for at in applied if rows[at].number == current and rows[at].saved), default=-1)
    listed = [(at, row) for at, row in enumerate(rows) if is_between(row.time, since, until)]
    if request.count:
        console.line(str(len(listed)))
        return Exit.OK
    if request.json:
        console.json([_to_json(row, store, in_force=at == last) for at, row in listed])
        return Exit.OK
    table: list[tuple[Cell, ...]] = []
    for at, row in listed:
        note: Cell = ("in force", Style.GOOD) if at == last else "" if row.saved else ("removed", Style.DIM)
        by = row.event.origin.by if row.event else ""
        damaged = row.saved.damaged if row.saved else ""
        change: Cell = (damaged, Style.BAD) if damaged else describe_event(row.event) if row.event else ""
        table.append((str(row.number), local_time(row.time), by, note, change))
    console.table(("NUMBER", "TIME", "BY", "NOTE", "CHANGE"), table)
    if not listed:
        lost = f"the history is empty, although generation {current} is in force: see `ordainctl status`"
        nothing = lost if current else "no generation has been applied yet"
        console.line("nothing changed in this time" if rows else nothing, Style.DIM)
    return Exit.OK


def history_rows(saved: Iterable[HistoryEntry], events: Iterable[HistoryEvent]) -> tuple[HistoryRow, ...]:
    """Return a row for each event, and for each generation without one, in the order of time.

    An event is about the generation that was tried. Those of the time before the oldest generation are left out.
    """
    by_number = {entry.number: entry for entry in saved}
    rows = [HistoryRow(number=n, time=e.saved, saved=e) for n, e in by_number.items()]
    first = min((entry.saved for entry in by_number.values() if entry.saved), default="")
    known = set()
    for event in events:
        number = event.rejected or event.generation
        if not event.is_instruction and (
            event.origin.cause is not ChangeCause.ROLLBACK or event.rejected
        ):  # the first boot saves one without an apply
            known.add(number)
        if _seconds(event.time) >= _seconds(first):
            rows.append(HistoryRow(number=number, time=event.time, saved=by_number.get(number), event=event))
    rows = [row for row in rows if row.event or row.number not in known]
    return tuple(sorted(rows, key=lambda row: (_seconds(row.time), row.number)))


def _seconds(time: str) -> float:
    """Return a time in ISO 8601 as seconds since 1970; 0 for a text that is not a time."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except ValueError:
        return 0.0


def describe_event(event: HistoryEvent) -> str:
    """Return an event in a line for people: who or what asked for it, its jobs and files, and its result.

    >>> describe_event(HistoryEvent(time="", generation=2, jobs=("restart web.service",), exit_status=3))
    'restart web.service; applied, but something is degraded'
    """
    removed = dict.fromkeys(event.removed, FileAction.REMOVED)
    steps = [*event.jobs, *(f"{file_step(path, removed.get(path, FileAction.NEW))} {path}" for path in event.files)]
    shown = ", ".join(steps[:MAX_STEPS]) or "no jobs"
    more = len(steps[MAX_STEPS:]) + event.more
    text = f"{shown} and {more} more" if more else shown
    if event.is_instruction:
        return _describe_instruction(event)
    if event.origin.cause is ChangeCause.ROLLBACK and not event.rejected:
        text = f"rolled back to {event.generation}: {text}"
    elif event.origin.cause is ChangeCause.FILE:
        text = f"apply FILE: {text}"
    if documents := names(document for document in event.origin.documents if document.owner):
        text += f"; from {documents}"
    if event.origin.revision:
        text += f"; from {event.origin.revision}"
    if event.origin.why:
        text += f"; because: {event.origin.why}"
    if event.rejected:
        result = "failed and rolled back" if event.exit_status != Exit.INCOMPLETE else RESULTS[Exit.INCOMPLETE]
        return f"{text}; {result} to {event.generation}: {event.why}"
    if event.why:
        text += f"; {event.why}"
    return f"{text}; {RESULTS[Exit(event.exit_status)]}" if event.exit_status else text


def _describe_instruction(event: HistoryEvent) -> str:
    """Return the beginning or the end of a hold or a pause in a line for people.

    >>> from ordain.agent.model import ChangeOrigin
    >>> origin = ChangeOrigin(cause=ChangeCause.HOLD, why="disk")
    >>> _describe_instruction(HistoryEvent(time="", generation=2, subject="a.service", origin=origin))
    'held a.service; because: disk'
    """
    text = {
        ChangeCause.HOLD: f"held {event.subject}",
        ChangeCause.PAUSE: "paused",
    }.get(event.origin.cause, f"ended the hold of {event.subject}")
    if event.subject == SOURCE:
        text = "ended the pause"
    if event.until:
        text += f" until {local_time(event.until)}"
    return f"{text}; because: {event.origin.why}" if event.origin.why else text


def _to_json(row: HistoryRow, store: Store, *, in_force: bool) -> dict[str, object]:
    """Return a row as JSON data. The outcome has the whole plan; it is that of the last apply of the generation."""
    entry = row.saved or HistoryEntry(number=row.number)
    outcome = store.outcome(row.number)
    more = JsonHistoryMore(
        time=row.time,
        kept=row.saved is not None,
        in_force=in_force,
        event=to_json(row.event),
        outcome=to_json(outcome),
    )
    return {**to_json(entry), **more}


def diff(request: Namespace, console: Console) -> Exit:
    """Run `ordainctl diff`."""
    changes, differ = _changes(request)
    if request.json:
        console.json(to_json(changes))
    else:
        for unit, of_unit in groupby(changes, key=lambda change: change.unit):
            console.line(unit, Style.STRONG)
            for change in of_unit:
                console.line(f"  {describe_change(change)}")
        if differ and not changes:
            console.line("no document has changed; `ordainctl plan` shows the jobs", Style.DIM)
    return Exit.CHANGES if differ and request.exit_code else Exit.OK


def _changes(request: Namespace) -> tuple[tuple[Change, ...], bool]:
    """Return the changes, and whether there is a difference: of the plan, if no number is given."""
    if request.n is None:
        planned = ask(request.root, lambda client: client.plan())
        return all_changes(planned.changes, planned.files, planned.settings), bool(planned)
    old = numbered(request.root, request.n)
    new = in_force(request.root) if request.m is None else numbered(request.root, request.m)
    changes, files = differences(old, new), () if same_generation(old, new) else changed_files(old, new)
    shown = all_changes(changes, files, setting_changes(old, new, changes, files))
    return shown, bool(shown)


def all_changes(
    changes: Iterable[Change], files: Iterable[FileChange], settings: Iterable[Change]
) -> tuple[Change, ...]:
    """Return the changes of units, those of files, and those of other values of the documents."""
    return (*changes, *(change for file in files for change in shown_changes(file)), *settings)
