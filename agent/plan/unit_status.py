"""The status of each member of a generation: its actual state, and a reason if the documents want another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from ordain.agent.condition import StatusCondition
from ordain.agent.model import Generation, Job, Note, NoteReason, Observed, UnitState, UnitVerdict
from ordain.agent.plan.exit_reason import NOT_STARTED
from ordain.agent.plan.planner import plan
from ordain.agent.status import UnitStatus
from ordain.transforms.model import Drift, Member, Wanted

ELAPSED = "elapsed"
"""The state of a timer that has no time to wait for (systemd.timer(5))."""
SHOWN = 3
"""The number of units that one condition names."""


def unit_statuses(
    generation: Generation,
    observed: Observed,
    oneshots: Iterable[str],
    edits: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    unread: Collection[str] = (),
) -> tuple[UnitStatus, ...]:
    """Return the status of every member, by unit.

    ``oneshots`` are the services that are done once they have run. ``edits`` are an administrator's files, by unit;
    ``unread`` are the units of which PID 1 has not read all these files.

    The reasons are those of the plan from the generation to itself: its notes, and the jobs of the next apply.
    """
    planned = plan(generation, generation, observed)
    notes = {note.unit: note for note in planned.notes}
    notes |= {j.unit: Note(unit=j.unit, what=f"{j.reason}; the next apply will {j.verb} it") for j in planned.jobs}
    ends = frozenset(oneshots)
    behind = {job.unit for job in planned.jobs if observed.unit(job.unit).running}
    return tuple(
        replace(
            _status(m, observed.unit(m.unit), notes.get(m.unit), m.unit in ends, m.unit in behind),
            edited=edits.get(m.unit, ()),
            unread=m.unit in unread,
        )
        for m in generation.members
    )


def in_progress(units: Iterable[UnitStatus], jobs: Iterable[Job]) -> tuple[UnitStatus, ...]:
    """Return ``units``, where those that wait for ``jobs`` of an apply that is under way say so."""
    verbs = {job.unit: job.verb for job in jobs}
    return tuple(
        replace(unit, what=f"the apply that is under way has yet to {verbs[unit.unit]} it", why=str(NoteReason.BUSY))
        if not unit.ok and unit.unit in verbs
        else unit
        for unit in units
    )


def reboots(units: Iterable[UnitStatus]) -> tuple[StatusCondition, ...]:
    """Return a condition for each change that waits for the next boot, until its unit is started again."""
    return tuple(
        StatusCondition(code="RebootNeeded", what=f"{unit.unit}: {unit.what}", item=unit.unit)
        for unit in units
        if unit.why == NoteReason.REBOOT
    )


def outdated(units: Iterable[UnitStatus]) -> Iterator[StatusCondition]:
    """Yield a condition for each unit that runs on with the unit file of before, which somebody else has changed.

    It is not a fault: the documents do not define the unit.
    """
    for unit in units:
        if unit.why == NoteReason.OUTDATED:
            hint = f"run `systemctl restart {unit.unit}` when it suits; an apply leaves it alone"
            yield StatusCondition(code="RestartNeeded", what=f"{unit.unit}: {unit.what}", hint=hint, item=unit.item)


def differences(units: Iterable[UnitStatus]) -> Iterator[StatusCondition]:
    """Yield the conditions for units that are not as the documents want them, except those that an apply is starting.

    Units that are held have conditions of their own.

    One condition names all units of a kind, because hundreds can fail together.
    """
    wrong = [unit for unit in units if not unit.ok and unit.why not in (NoteReason.HELD, NoteReason.BUSY)]
    missing = [unit for unit in wrong if unit.load_state == "not-found" and not unit.ours]
    if missing:
        hint = "install the package that brings it, or remove the entry"
        yield StatusCondition(code="NotInstalled", what=f"not installed: {_shown(missing)}", hint=hint, fault=True)
    if others := [unit for unit in wrong if unit not in missing]:
        hints = ("see `systemctl status UNIT`", *(hint for applies, hint in _REMEDIES if any(map(applies, others))))
        what = f"not as the documents want: {_shown(others)}"
        yield StatusCondition(code="Drift", what=what, hint="; ".join(hints), fault=True)


_LEFT_ALONE = frozenset({NoteReason.STOPPED, NoteReason.STARTED, NoteReason.ENDED, NoteReason.FAILED, NoteReason.DONE})
_REMEDIES: Sequence[tuple[Callable[[UnitStatus], bool], str]] = (
    (lambda unit: unit.why == NoteReason.OTHER, "`ordainctl apply` does now what the next apply would do"),
    (
        lambda unit: unit.why in _LEFT_ALONE or (not unit.why and unit.what != "" and unit.load_state == "loaded"),
        "`ordainctl follow UNIT` returns it to the documents (an apply leaves it alone)",
    ),
    (
        lambda unit: unit.why == NoteReason.MASKED or (not unit.why and unit.load_state == "masked"),
        "`systemctl unmask UNIT` (with --runtime, if it was masked so), then `ordainctl follow UNIT`",
    ),
)
"""The remedies for units that are not as the documents want, as far as `ordainctl` or `systemctl` has one."""


def left_undone(units: Iterable[UnitStatus], verdicts: Iterable[UnitVerdict]) -> Iterator[StatusCondition]:
    """Yield a condition for each bad verdict of the last apply that no unit of ``units`` shows or has overcome.

    Network devices are read back, so their differences of now have conditions.
    """
    known = {unit.unit for unit in units}
    for verdict in verdicts:
        if verdict.unit not in known and not verdict.unit.startswith("network/"):
            what = f"the last apply left {verdict.unit} undone: {verdict.what}"
            public = verdict.public and f"the last apply left {verdict.unit} undone: {verdict.public}"
            hint = "run `ordainctl apply` to try again"
            yield StatusCondition(code="Undone", what=what, hint=hint, fault=True, public=public)


def _shown(units: Sequence[UnitStatus]) -> str:
    names = [f"{unit.unit} ({unit.what or unit.active_state})" for unit in units[:SHOWN]]
    return ", ".join(names) + f" and {len(units) - SHOWN} more" * (len(units) > SHOWN)


def _status(member: Member, state: UnitState, note: Note | None, oneshot: bool, behind: bool) -> UnitStatus:
    ok, what = _judge(member, state, oneshot)
    if ok and not note and state.name.endswith(".timer") and state.sub_state == ELAPSED:
        what = "has elapsed; no further run is due"
    if note and note.why is NoteReason.HELD:  # while it is held, only the hold matters
        what = ""
    return UnitStatus(
        unit=member.unit,
        item=member.item,
        wanted=str(member.wanted),
        load_state=state.load_state,
        active_state=state.active_state,
        sub_state=state.sub_state,
        ok=ok and not behind,
        what=what or (note.what if note else ""),
        why=str(note.why) if note and not what else "",
        result=state.result,
        n_restarts=state.n_restarts,
        early=member.early,
        enforced=member.drift is Drift.ENFORCE,
        ours=member.ours,
    )


def _judge(member: Member, state: UnitState, oneshot: bool) -> tuple[bool, str]:
    """Return whether the unit is as wanted, and a reason if the plan has none."""
    running = state.running
    if state.active_state == "failed":
        return False, ""
    if member.wanted in (Wanted.STOPPED, Wanted.MASKED):
        return not running, ""
    if running and member.wanted is Wanted.RUNNING and state.load_state == "not-found":
        return False, "runs, but its unit file is gone"
    if running and member.wanted is Wanted.RUNNING and state.load_state == "masked":
        return False, ""
    if member.wanted is not Wanted.RUNNING or not member.starter or running:
        return state.sub_state != "auto-restart", ""
    if state.load_state == "masked":
        return False, ""
    if member.ours and state.load_state == "not-found":
        return False, "its unit file was not placed"
    if not state.condition_result or (oneshot and state.invocation_id):
        return True, ""
    if not state.invocation_id and state.load_state == "loaded":
        return False, NOT_STARTED
    return False, ""
