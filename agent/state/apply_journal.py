"""The apply under way, on a tmpfs: what a killed agent needs to go on where it was.

    begin(plan, …) → advance(…) → end()          unfinished() at the next start

Every step of an apply may be done twice, so the journal keeps the whole plan and not its progress; but a
restart that has been done shows in the unit's invocation id, and is not done again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from ordain.agent.json_codec import from_json
from ordain.agent.model import Job, Observed, Outcome, Plan, Verb, to_json
from ordain.agent.state.decisions import DecisionState
from ordain.agent.system import atomic_files

PATH = "run/ordain/journal"


class ApplyPhase(StrEnum):
    """What was under way."""

    STOP = "stop"  # with the old definitions
    PLACE = "place"  # commit to /run, one reload
    ACT = "act"  # jobs with the new definitions
    PROVE = "prove"  # commit to /etc, record
    BACK = "back"  # it failed: find the way back, which is an entry of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One apply. ``number``: the generation in the store; ``invocations``: of the units with jobs, before.

    ``running`` and ``failing``: the units that ran, and that had failed, before the first effect. ``failed``: what the
    apply came to that this one undoes. ``decided``: what holds again of the source if it
    goes back.
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


class ApplyJournal:
    """The file; it does not outlive the boot, nor would what it says."""

    def __init__(self, root: Path) -> None:
        self._path = root / PATH
        self._entry: JournalEntry | None = None

    def begin(self, entry: JournalEntry) -> None:
        """Write an apply down before its first effect."""
        self._entry = entry
        atomic_files.make_folder(self._path.parent)
        atomic_files.replace(self._path, json.dumps(to_json(entry)).encode())

    def advance(self, phase: ApplyPhase, invocations: Mapping[str, str] | None = None) -> None:
        """Write down the phase that begins now."""
        assert self._entry is not None
        entry = replace(self._entry, phase=phase)
        self.begin(entry if invocations is None else replace(entry, invocations=invocations))

    def fail(self, outcome: Outcome) -> None:
        """Write down that the apply has failed, and is to be undone."""
        assert self._entry is not None
        self.begin(replace(self._entry, phase=ApplyPhase.BACK, failed=outcome))

    def end(self) -> None:
        """The apply is over."""
        self._entry = None
        self._path.unlink(missing_ok=True)

    def unfinished(self) -> JournalEntry | None:
        """The apply that an earlier agent did not end; one that cannot be read is none."""
        try:
            return from_json(JournalEntry, json.loads(self._path.read_bytes()))
        except (OSError, ValueError, TypeError, AttributeError):
            return None


def remaining_jobs(jobs: Sequence[Job], before: Mapping[str, str], observed: Observed) -> tuple[Job, ...]:
    """The jobs but the restarts and starts that were done: they gave their unit another invocation id."""
    return tuple(
        job
        for job in jobs
        if job.verb is Verb.RELOAD or observed.unit(job.unit).invocation_id == before.get(job.unit, "")
    )
