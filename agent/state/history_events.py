"""The events of the history: applies of other generations, rollbacks, holds and pauses, in root/var/lib/ordain/events.

One line of JSON for each, oldest first. A generation says what the machine should be; the events say what happened, by
whom, and when. They are small, so they stay when generations are removed.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from ordain.agent.instruction import Instruction
from ordain.agent.json_codec import from_json
from ordain.agent.model import ChangeCause, ChangeOrigin, FileAction, Outcome, to_json
from ordain.agent.system import atomic_files

PATH = "var/lib/ordain/events"
KEPT = 1000
"""The events that are kept."""
MAX_JOBS = 20
"""The jobs and files of an event that are listed."""

SOURCE = "source"
"""The subject of the end of a pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """One event. ``generation`` is in force after it; ``rejected`` is the number of one that failed, else 0.

    ``time`` is ISO 8601, UTC. ``jobs`` are a verb and a unit each, ``files`` paths; ``more`` of both are not listed.
    Of the files, those in ``removed`` were removed, or got their originals back.
    The beginning or the end of a hold has its unit in ``subject``, the end of a pause `SOURCE`; ``until`` (ISO 8601,
    UTC) is the end that a hold or a pause was given. One that ended by itself has no user in ``origin``.
    """

    time: str
    generation: int
    rejected: int = 0
    exit_status: int = 0
    why: str = ""
    jobs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    more: int = 0
    origin: ChangeOrigin = field(default_factory=ChangeOrigin)
    subject: str = ""
    until: str = ""

    @property
    def is_instruction(self) -> bool:
        """Return whether this is the beginning or the end of a hold or a pause, and not an apply."""
        begins = self.origin.cause in (ChangeCause.HOLD, ChangeCause.PAUSE)
        return begins or (self.origin.cause is ChangeCause.FOLLOW and bool(self.subject))


def event_of(outcome: Outcome) -> HistoryEvent:
    """Return the event that the end of an apply is."""
    stops, starts = ([(str(job.verb), job.unit) for job in jobs] for jobs in (outcome.plan.stops, outcome.plan.jobs))
    started = {unit for _, unit in starts}
    jobs = [f"{verb} {unit}" for verb, unit in (*((v, u) for v, u in stops if u not in started), *starts)]
    files = [file.path for file in outcome.plan.files]
    return HistoryEvent(
        time=outcome.started or datetime.now(UTC).isoformat(timespec="seconds"),
        generation=outcome.generation,
        rejected=outcome.rejected,
        exit_status=outcome.exit_status,
        why=outcome.why or (f"on trial until {outcome.confirm_by}" if outcome.confirm_by else ""),
        jobs=tuple(jobs[:MAX_JOBS]),
        files=tuple(files[:MAX_JOBS]),
        removed=tuple(file.path for file in outcome.plan.files[:MAX_JOBS] if file.what is FileAction.REMOVED),
        more=len(jobs[MAX_JOBS:]) + len(files[MAX_JOBS:]),
        origin=outcome.origin,
    )


def record_instruction(
    root: Path, cause: ChangeCause, instruction: Instruction, generation: int, *, subject: str = ""
) -> None:
    """Append the beginning or the end of a hold (of the unit ``subject``) or a pause.

    That it cannot be written must not keep an administrator from it, so it is then left out.
    """
    event = HistoryEvent(
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        generation=generation,
        origin=ChangeOrigin(cause=cause, by=instruction.by, why=instruction.why),
        subject=subject,
        until=instruction.until,
    )
    with contextlib.suppress(OSError):
        record_event(root, event)


def record_event(root: Path, event: HistoryEvent) -> None:
    """Append ``event``, and drop the oldest ones. Raises `OSError`."""
    line, known = json.dumps(to_json(event)).encode(), _lines(root)[-KEPT + 1 :]
    if line in known[-1:]:
        return  # an agent that was killed at the end of an apply ends it again
    lines = [*known, line]
    atomic_files.make_folder((root / PATH).parent)
    atomic_files.replace(root / PATH, b"".join(line + b"\n" for line in lines))


def read_events(root: Path) -> tuple[HistoryEvent, ...]:
    """Return the events, oldest first, without lines that cannot be read."""
    events = []
    for line in _lines(root):
        with contextlib.suppress(ValueError):
            events.append(from_json(HistoryEvent, json.loads(line)))
    return tuple(events)


def applied_revision(events: Sequence[HistoryEvent], generation: int) -> str:
    """Return the release, or the revision of the store, that ``generation`` was applied from last; "" if unknown."""
    applied = (e for e in reversed(events) if e.generation == generation and not (e.rejected or e.is_instruction))
    return next((event.origin.revision for event in applied if event.origin.revision), "")


def _lines(root: Path) -> list[bytes]:
    try:
        return atomic_files.read(root / PATH).splitlines()
    except PermissionError:
        raise
    except OSError:
        return []
