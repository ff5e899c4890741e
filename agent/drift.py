"""One member of the generation as it stands: whether that is what the documents want, and if not, why; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ordain.agent.model import Generation, Observed, UnitState
from ordain.agent.plan import RUNNING, plan
from ordain.agent.status import UnitStatus
from ordain.transforms.model import Member, Wanted


def unit_statuses(generation: Generation, observed: Observed, oneshots: Iterable[str]) -> tuple[UnitStatus, ...]:
    """Every member, by unit. ``oneshots`` are the services that run to an end and are done then.

    The words for what is left alone are the plan's own: a generation against itself is no job, only notes.
    """
    notes = {note.unit: note.what for note in plan(generation, generation, observed).notes}
    ends = frozenset(oneshots)
    return tuple(_status(m, observed.unit(m.unit), notes, m.unit in ends) for m in generation.members)


def _status(member: Member, state: UnitState, notes: Mapping[str, str], oneshot: bool) -> UnitStatus:
    ok, what = _judge(member, state, oneshot)
    return UnitStatus(
        unit=member.unit,
        item=member.item,
        wanted=str(member.wanted),
        load_state=state.load_state,
        active_state=state.active_state,
        sub_state=state.sub_state,
        ok=ok,
        what=what or notes.get(member.unit, ""),
        result=state.result,
        n_restarts=state.n_restarts,
        early=member.early,
    )


def _judge(member: Member, state: UnitState, oneshot: bool) -> tuple[bool, str]:
    """Whether the unit is as wanted; words only where the plan has none."""
    running = state.active_state in RUNNING
    if state.active_state == "failed":
        return False, ""
    if member.wanted in (Wanted.STOPPED, Wanted.MASKED):
        return not running, ""
    if member.wanted is not Wanted.RUNNING or not member.starter or running:
        return state.sub_state != "auto-restart", ""
    if state.load_state == "masked":
        return False, ""
    if not state.condition_result or (oneshot and state.invocation_id):
        return True, ""
    if not state.invocation_id and state.load_state == "loaded":
        # PID 1 drops a job of a conflict or a cycle without an error: design/reconcile.md, end.
        return False, "was not started in this boot"
    return False, ""
