"""A plan as people read it: aligned lines, in the order in which things happen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ordain.agent.model import Change, Effect, FileAction, Job, PackageAction, Plan, Verb
from ordain.agent.plan.changes.diff import FRAGMENT
from ordain.transforms.render.cause_comments import Cause

_MAX_LENGTH = 60
"""Characters of the values of a change that are shown."""


_MAX_ANNOUNCED = 5
"""The changes that one line of the journal lists."""


class PlanStep(StrEnum):
    """The first word of a line that announces a step."""

    INSTALL = "install"
    HOLD = "hold"
    UNHOLD = "unhold"
    STOP = "stop"
    MANAGER = "manager"
    PLACE = "place"
    CHANGE = "change"
    REMOVE = "remove"
    RESTORE = "restore"
    START = "start"
    RESTART = "restart"
    RELOAD = "reload"


_BELOW = " " * 8
"""The beginning of lines about the step above them."""
_OF_FILES = {FileAction.NEW: PlanStep.PLACE, FileAction.CHANGED: PlanStep.CHANGE, FileAction.REMOVED: PlanStep.RESTORE}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """One line of a plan: its beginning, which is aligned with that of other lines, and the text after it.

    ``step`` is None unless the line announces a step.
    """

    beginning: str = ""
    text: str = ""
    step: PlanStep | None = None

    def __str__(self) -> str:
        """Return the whole line, without a newline."""
        return f"{self.beginning}  {self.text}" if self.beginning and self.text else self.beginning or self.text


def plan_lines(plan: Plan) -> tuple[PlanLine, ...]:
    """Return the lines of ``plan``; the changes that cause a job are below it. An empty plan is one line, too."""
    return tuple(_lines(plan))


def describe(plan: Plan) -> str:
    """Return the text of ``plan``, which ends in a newline."""
    return "".join(f"{line}\n" for line in plan_lines(plan))


def announcements(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield a line for the journal for each job, and each change without one, with the unit that it is about or ""."""
    by_unit: dict[str, list[str]] = {}
    for change in plan.changes:
        if change.key != FRAGMENT and change.effect is not Effect.NOTHING:
            by_unit.setdefault(change.unit, []).append(describe_change(change).replace("  (", " ("))
    started = {job.unit for job in plan.jobs}
    for job in (*(stop for stop in plan.stops if stop.unit not in started), *plan.jobs):
        changes = "; ".join(by_unit.pop(job.unit, [])[:_MAX_ANNOUNCED])
        reason = changes if changes and job.reason.endswith(" changed") else f"{job.reason}{changes and f': {changes}'}"
        yield job.unit, f"{job.verb} {job.unit}: {reason}"
    for job in plan.consequences:
        yield job.unit, f"{job.verb} {job.unit}: {job.reason}"
    for unit, changes_of_unit in by_unit.items():
        yield unit, f"change {unit} without a restart: {'; '.join(changes_of_unit[:_MAX_ANNOUNCED])}"
    for change in plan.settings:
        yield "", f"change {change.unit} {describe_change(change)}"
    for file in plan.files:
        changes = "; ".join(describe_change(change).replace("  (", " (") for change in file.changes[:_MAX_ANNOUNCED])
        yield "", f"{file_step(file.path, file.what)} {file.path}{f': {changes}' if changes else _causes(file.causes)}"


def _lines(plan: Plan) -> Iterator[PlanLine]:
    units = [job.unit for job in (*plan.stops, *plan.jobs, *plan.consequences)] + [note.unit for note in plan.notes]
    width = max(map(len, units), default=0)
    if not plan:
        yield PlanLine(text="Nothing to do.")
    yield from _packages(plan)
    for job in plan.stops:
        yield from _job(job, width)
    if plan.reload:
        yield PlanLine(text=f"{PlanStep.MANAGER:8}reloads its unit files", step=PlanStep.MANAGER)
        yield from _changes_by_reload(plan)
        for change in plan.settings:
            yield PlanLine(beginning=_BELOW, text=f"{change.unit} {describe_change(change)}")
    for file in plan.files:
        step = file_step(file.path, file.what)
        yield PlanLine(text=f"{step:8}{file.path}{'' if file.changes else _causes(file.causes)}", step=step)
        for change in file.changes:
            yield PlanLine(beginning=_BELOW, text=describe_change(change))
    for job in (*plan.jobs, *plan.consequences):
        yield from _job(job, width)
    if plan.notes:
        yield PlanLine()
        yield PlanLine(text="Left alone:")
    for note in plan.notes:
        yield PlanLine(beginning=f"  {note.unit:{width}}", text=note.what)


def describe_change(change: Change) -> str:
    """Return one change in a line, such as ``[Service] User: a → b``.

    >>> describe_change(Change(unit="a.service", section="Service", key="User", new=("web",)))
    '[Service] User: not set → web'
    """
    key = f"[{change.section}] {change.key}" if change.section else change.key
    if not change.section and key.startswith("/"):  # a file that the unit reads; its lines are shown with the file
        action = "changed" if change.old and change.new else "is new" if change.new else "is removed"
        return f"{key} {action}"
    if not key:  # a secret, or a number of changes
        return f"{_values(change.new)}{_causes(change.causes)}"
    return f"{key}: {_values(change.old)} → {_values(change.new)}{_causes(change.causes)}"


def file_step(path: str, what: FileAction) -> PlanStep:
    """Return the word for a file; one that no document has any more gets its original back, which /run never holds."""
    if what is FileAction.REMOVED and path.startswith("/run/"):
        return PlanStep.REMOVE
    return _OF_FILES[what]


def _causes(causes: tuple[Cause, ...]) -> str:
    """Return the place in the documents, such as ``  (web.yaml:12 services/web/user)``; of several the last one."""
    if not causes:
        return ""
    last, more = causes[-1], f", {len(causes) - 1} more" if len(causes) > 1 else ""
    return f"  ({last.path.rpartition('/')[2]}:{last.line} {last.pointer}{more})"


def _packages(plan: Plan) -> Iterator[PlanLine]:
    """Yield a line for each package of the documents, and one for all that come along with them."""
    for change in plan.packages:
        if change.item or change.action is not PackageAction.INSTALL:
            step = _STEPS_OF_PACKAGES[change.action]
            latest = "the version that its repository has then"
            text = change.version if change.version or change.action is not PackageAction.INSTALL else latest
            yield PlanLine(beginning=f"{step:8}package {change.name}", text=text, step=step)
    along = [f"{c.name} {c.version}" for c in plan.packages if not c.item and c.action is PackageAction.INSTALL]
    if along:
        yield PlanLine(beginning=_BELOW, text=f"and {len(along)} more that they need: {', '.join(along)}")


def _job(job: Job, width: int) -> Iterator[PlanLine]:
    yield PlanLine(beginning=f"{job.verb:8}{job.unit:{width}}", text=job.reason, step=_STEPS[job.verb])
    for change in job.changes:
        if change.effect is not Effect.NOTHING and change.key != FRAGMENT:
            yield PlanLine(beginning=_BELOW, text=describe_change(change))


_STEPS = {verb: PlanStep(verb) for verb in Verb}
_STEPS_OF_PACKAGES = {action: PlanStep(action) for action in PackageAction}


def _changes_by_reload(plan: Plan) -> Iterator[PlanLine]:
    """Yield the changes that take effect by the reload of the manager alone, and those of units that do not run."""
    units_with_jobs = {job.unit for job in (*plan.stops, *plan.jobs)}
    left_alone = {note.unit for note in plan.notes}
    for change in plan.changes:
        if change.unit in units_with_jobs or (change.unit in left_alone and change.effect is not Effect.MANAGER):
            continue
        if change.key == FRAGMENT:
            yield PlanLine(beginning=_BELOW, text=f"{change.unit} {_unit_file(change)}{_causes(change.causes)}")
        elif change.effect is not Effect.NOTHING and not change.key.startswith("/"):  # files have lines of their own
            yield PlanLine(beginning=_BELOW, text=f"{change.unit} {describe_change(change)}")


def _unit_file(change: Change) -> str:
    if change.old and change.new:
        return "has a different unit file"
    return "is new" if change.new else "is removed"


def _values(values: Iterable[str]) -> str:
    text = ", ".join(value or '""' for value in values) or "not set"
    # A value from a document must not be able to control the terminal.
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown if len(shown) <= _MAX_LENGTH else shown[: _MAX_LENGTH - 1] + "…"
