"""The journal of the running apply, on a tmpfs: with it, a new agent continues the apply of one that was killed.

    begin(entry) → advance(phase) → end()          unfinished() at the next start

Every step of an apply may be repeated, so the journal has the whole plan and the phase, but not which steps are done. A
restart that was done shows in the InvocationID of the unit, and is not repeated.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from ordain.agent.json_codec import from_json
from ordain.agent.model import ChangeOrigin, Job, Observed, Outcome, Plan, Verb, to_json
from ordain.agent.state.decisions import DecisionState
from ordain.agent.system import atomic_files

PATH = "run/ordain/journal"
log = logging.getLogger(__name__)


class ApplyPhase(StrEnum):
    """The phases of an apply."""

    STOP = "stop"  # stop units with their old definitions
    PLACE = "place"  # commit to /run, and reload once
    ACT = "act"  # run jobs with the new definitions
    PROVE = "prove"  # commit to /etc, and record
    BACK = "back"  # the apply failed; the rollback becomes an entry of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One apply.

    ``number`` is the generation in the store, ``invocations`` are the InvocationIDs that the units with jobs had
    before. ``running`` and ``failing`` are the units that ran, or had failed, before the first step. ``failed`` is the
    outcome of the apply that this one rolls back. ``decided`` are the decisions before the apply, which a rollback
    restores (`Decisions.restore`). ``origin`` is who or what asked for the apply. ``caller`` is the process that asked,
    0 if nobody did.
    """

    phase: ApplyPhase
    number: int
    plan: Plan
    invocations: Mapping[str, str] = field(default_factory=dict)
    started: str = ""
    running: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    failed: Outcome | None = None
    decided: DecisionState = field(default_factory=DecisionState)
    origin: ChangeOrigin = field(default_factory=ChangeOrigin)
    caller: int = 0


class ApplyJournal:
    """The journal file below ``root``; it is lost at a reboot, which makes its content obsolete anyway."""

    def __init__(self, root: Path) -> None:
        self._path = root / PATH
        self._entry: JournalEntry | None = None
        self._reported = False

    def begin(self, entry: JournalEntry) -> None:
        """Record an apply before its first step."""
        self._entry = entry
        atomic_files.make_folder(self._path.parent)
        atomic_files.replace(self._path, json.dumps(to_json(entry)).encode())

    def advance(self, phase: ApplyPhase, invocations: Mapping[str, str] | None = None) -> None:
        """Record the phase that begins now."""
        assert self._entry is not None
        entry = replace(self._entry, phase=phase)
        self.begin(entry if invocations is None else replace(entry, invocations=invocations))

    def fail(self, outcome: Outcome) -> None:
        """Record that the apply has failed and has to be rolled back."""
        assert self._entry is not None
        self.begin(replace(self._entry, phase=ApplyPhase.BACK, failed=outcome))

    def end(self) -> None:
        """Remove the journal: the apply has ended."""
        self._entry = None
        atomic_files.make_way(self._path)
        self._path.unlink(missing_ok=True)

    def unfinished(self) -> JournalEntry | None:
        """Return the apply that an earlier agent did not end, None if there is none or it cannot be read."""
        try:
            return from_json(JournalEntry, json.loads(atomic_files.read(self._path)))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            if not self._reported:
                log.warning("%s cannot be read, so an interrupted apply is not finished: %s", self._path, error)
            self._reported = True
            return None


def remaining_jobs(jobs: Sequence[Job], before: Mapping[str, str], observed: Observed) -> tuple[Job, ...]:
    """Return the jobs that are not done: a start or restart that was done has changed the unit's InvocationID."""
    return tuple(
        job
        for job in jobs
        if job.verb is Verb.RELOAD or observed.unit(job.unit).invocation_id == before.get(job.unit, "")
    )
