"""A plan as people read it; pure. No colours: the command line adds them by the first word of a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ordain.agent.model import Change, Effect, FileAction, Job, Plan
from ordain.agent.plan.diff import FRAGMENT
from ordain.transforms.render.provenance import SourceLocation

_LONGEST = 60
_FILE_VERBS = {FileAction.NEW: "place", FileAction.CHANGED: "place", FileAction.REMOVED: "restore"}


def describe(plan: Plan) -> str:
    """``plan`` in aligned lines, in the order things happen; what causes a job stands below it.

    Ends in a newline. A plan with nothing in it says so.
    """
    jobs = [*plan.stops, *plan.jobs]
    width = max((len(name) for name in [*(j.unit for j in jobs), *(n.unit for n in plan.notes)]), default=0)
    lines = [line for job in plan.stops for line in _job(job, width)]
    if plan.reload:
        lines.append(f"{'manager':8}{_reloaded(plan)}")
    lines += [f"{_FILE_VERBS[file.what]:8}{file.path}" for file in plan.files]
    lines += [line for job in plan.jobs for line in _job(job, width)]
    if not lines:
        lines.append("Nothing to do.")
    if plan.notes:
        lines += ["", "Left alone:", *(f"  {note.unit:{width}}  {note.what}" for note in plan.notes)]
    return "\n".join(lines) + "\n"


def describe_change(change: Change) -> str:
    """One change, such as ``[Service] User: a → b``.

    >>> describe_change(Change(unit="a.service", section="Service", key="User", new=("web",)))
    '[Service] User: not set → web'
    """
    key = f"[{change.section}] {change.key}" if change.section else change.key
    return f"{key}: {_values(change.old)} → {_values(change.new)}{_causes(change.causes)}"


def _causes(causes: tuple[SourceLocation, ...]) -> str:
    """The place that says so, such as ``  (web.yaml:12 services/web/user)``; of several the last, which wins."""
    if not causes:
        return ""
    last, more = causes[-1], f", {len(causes) - 1} more" if len(causes) > 1 else ""
    return f"  ({last.path.rpartition('/')[2]}:{last.line} {last.pointer}{more})"


def _job(job: Job, width: int) -> Iterator[str]:
    yield f"{job.verb:8}{job.unit:{width}}  {job.reason}"
    for change in job.changes:
        if change.effect is not Effect.NOTHING and change.key != FRAGMENT:
            yield f"{'':10}{describe_change(change)}"


def _reloaded(plan: Plan) -> str:
    """What the reload of the manager alone makes real."""
    acted = {job.unit for job in (*plan.stops, *plan.jobs)}
    rest = [c for c in plan.changes if c.unit not in acted and c.effect is Effect.MANAGER]
    named = "".join(f"\n{'':10}{c.unit} {describe_change(c)}" for c in rest)
    return f"reads its units again{named}"


def _values(values: Iterable[str]) -> str:
    text = ", ".join(value or '""' for value in values) or "not set"
    shown = "".join(c if c.isprintable() else "�" for c in text)  # nothing a document holds moves the cursor
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"
