"""The decision about one unit, seen alone: its job, or the reason why it is left alone. `planner` combines the units.

Each table is read from the top, and the first row that applies decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ordain.agent.instruction import describe
from ordain.agent.model import Change, Effect, Job, Note, NoteReason, Verb
from ordain.agent.plan.changes.diff import FRAGMENT
from ordain.agent.plan.exit_reason import exit_reason, killed_by_others
from ordain.agent.plan.unit_view import SESSION_ROLE, UnitView
from ordain.transforms.model import BOOT_ITEM, OnChange, OnRemove, Wanted

_NOT_RUNNING = frozenset({Wanted.STOPPED, Wanted.MASKED})
TRUE = frozenset({"yes", "true", "on", "1"})
"""The words that we write, or an administrator may write, for a true value."""
TRANSIENT = "/run/systemd/transient/"
"""The directory of units that `systemd-run` and other callers of PID 1 have made."""
_NEVER_RESTARTED = (".slice", ".target")
_REMOVED = "removed from the documents"
_KEPT = "removed from the documents, but left running (on-remove: keep)"

Decision = Job | Note
Condition = Callable[[UnitView], object]


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of a table: ``applies`` is its condition, ``outcome`` a job's verb or the reason of a note.

    ``reason`` is added to the list of changes; ``{role}`` in it is the role of the unit.
    """

    applies: Condition
    outcome: Verb | NoteReason
    reason: str = ""


def decide(view: UnitView) -> Iterator[Decision]:
    """Yield the jobs and notes for a unit; nothing if it is as it should be."""
    for applies, decisions in _SITUATIONS:
        if applies(view):
            yield from decisions(view)
            return


def _held(view: UnitView) -> Iterator[Note]:
    assert view.hold is not None
    terms = " stopped" * view.hold.stopped + " and not masked" * view.hold.unmask
    waiting = view.needs(Effect.RELOAD, Effect.RESTART) if view.running else ()
    rest = f"; {_list(waiting)}; takes effect after the hold ends" if waiting else ""
    yield view.note(f"held{terms} {describe(view.hold)}{rest}", NoteReason.HELD)


def _removed(view: UnitView) -> Iterator[Decision]:
    if view.failed:
        yield view.job(Verb.STOP, f"{_REMOVED}; its failed state is cleared")
    if not view.running:
        return
    if view.old and view.old.on_remove is OnRemove.KEEP:
        yield view.note(_KEPT)
    elif view.role:
        yield _deferred(view, _REMOVED)
    else:
        yield view.job(Verb.STOP, _REMOVED)


def _source_lost_too_long(view: UnitView) -> Iterator[Decision]:
    yield view.job(Verb.STOP, "the source has been lost for longer than `on-source-loss` allows")


def _stopped_by_source_loss(view: UnitView) -> Iterator[Decision]:
    yield view.note("stopped because the source is lost (on-source-loss); starts when it is back", NoteReason.LOST)


def _wanted_stopped(view: UnitView) -> Iterator[Decision]:
    if not view.running:
        return
    boot = view.new is not None and view.new.item == BOOT_ITEM
    reason = "exclusive mode keeps it out" if boot else f"the documents want it {view.wanted}"
    if view.spared:
        yield _deferred(view, reason)
    elif view.was_wanted is not view.wanted or view.touched:
        yield view.job(Verb.STOP, reason)
    elif view.enforced:
        yield view.job(Verb.STOP, f"was started manually, but {reason}")
    else:
        yield view.note(f"was started manually, although {reason}", NoteReason.STARTED)


def _wanted_running(view: UnitView) -> Iterator[Decision]:
    assert view.new is not None
    if not view.new.starter:
        return
    if view.masked_by_administrator:
        yield view.note("masked by an administrator; `systemctl unmask` allows it again", NoteReason.MASKED)
    elif not view.new.ours and view.state.load_state == "not-found":
        yield view.note("not installed")
    elif view.hidden.startswith(TRANSIENT):  # a start would run the command of that unit once more
        yield _hidden(view)
    elif reason := _reason_to_start(view):
        yield view.job(Verb.START, reason)
        if view.hidden:
            yield _hidden(view)
    else:
        yield _stays_down(view)


def _reason_to_start(view: UnitView) -> str:
    """Return the reason why a unit that does not run is started, or ``""`` if it is not started."""
    if view.old is None:
        return "new in the documents"
    if view.was_wanted is not Wanted.RUNNING:
        return "the documents now want it running"
    if not view.old.starter:
        return "no socket or timer starts it any more"
    touched = view.touched and not _waits_for_start(view)
    if view.failed and touched:
        return "it had failed, and its definition has changed"
    stopped, description = exit_reason(view.state)
    if view.failed:
        return description if view.released or (view.enforced and killed_by_others(view.state)) else ""
    if _is_done(view):
        return _list(view.needs(Effect.RESTART)) if view.needs(Effect.RESTART) and touched else ""
    if touched:
        return "its documents changed"
    by_others = stopped is NoteReason.STOPPED or killed_by_others(view.state)
    # Without an invocation, or with a condition that fails, PID 1 would only skip the start once more.
    ran = view.state.condition_result and view.state.invocation_id
    return description if view.released or (view.enforced and ran and by_others) else ""


def _waits_for_start(view: UnitView) -> bool:
    """Return whether a change causes no job, whatever the state of the unit (``on-change``: none, reboot)."""
    return view.on_change in (OnChange.NONE, OnChange.REBOOT)


def _is_done(view: UnitView) -> bool:
    """Return whether the unit is a oneshot that has run; one that remains active would still be so."""
    remains = view.after.last("Service", "RemainAfterExit") in TRUE
    oneshot = view.after.last("Service", "Type") == "oneshot" and not remains
    return oneshot and (bool(view.state.invocation_id) or not view.released)


def _stays_down(view: UnitView) -> Note:
    reason, description = exit_reason(view.state)
    if view.touched and _waits_for_start(view):
        at = "boot" if view.on_change is OnChange.REBOOT else "start"
        what = "has run" if _is_done(view) else description
        later = NoteReason.REBOOT if view.on_change is OnChange.REBOOT else NoteReason.LATER
        return view.note(f"{what}; its changes take effect at its next {at} (on-change: {view.on_change})", later)
    if view.failed:
        return view.note(f"{description}; starts again when its definition changes", reason)
    if _is_done(view):
        return view.note("has run; runs again when its definition changes", NoteReason.DONE)
    if not view.state.condition_result:
        return view.note("its conditions were not met")
    return view.note(f"{description}; starts when its definition changes, or at the next boot", reason)


def _hidden(view: UnitView) -> Note:
    what = f"{view.hidden} replaces the unit of the documents, which has no effect until that file is removed"
    return view.note(what, NoteReason.HIDDEN)


def _runs(view: UnitView) -> Iterator[Decision]:
    """Yield the mildest job with which the changes of a unit that runs, and may run, take effect."""
    if view.hidden:
        yield _hidden(view)
        return
    if view.kept and view.released:
        yield view.job(Verb.STOP, f"{_REMOVED}, and no longer held")
        return
    if view.kept:
        yield _deferred(view, _REMOVED) if view.role else view.note(_KEPT)
        return
    changes = view.needs(Effect.RELOAD, Effect.RESTART)
    if view.unbound and not changes and view.new and view.new.starter and not view.spared:
        yield _unless_masked(view, Verb.RESTART, "its socket was removed")
    if changes:
        yield _first(_CHANGED, view, f"{_list(changes)} since it was started" if view.waiting else _list(changes))
    elif view.masked_by_administrator and view.wanted is Wanted.RUNNING:
        yield view.note("runs, but is masked by an administrator: nothing can start it again", NoteReason.MASKED)
    elif view.outdated:
        file = view.outdated[0].artifact
        when = f"takes effect at the next boot, because it is {view.role}" if view.role else "takes effect at a restart"
        what = f"{file} has changed since the unit was started ({_list(view.outdated)}); {when}"
        yield view.note(what, NoteReason.OUTDATED)


def _first(table: Iterable[_Row], view: UnitView, changes: str) -> Decision:
    row = next(row for row in table if row.applies(view))
    reason = f"{changes}; {row.reason.format(role=view.role)}" if row.reason else changes
    return (
        _unless_masked(view, row.outcome, reason) if isinstance(row.outcome, Verb) else view.note(reason, row.outcome)
    )


def _failed(view: UnitView) -> Iterator[Decision]:
    yield _unless_masked(view, Verb.START, "it had failed, and its definition has changed")


def _let_in_again(view: UnitView) -> Iterator[Decision]:
    if view.state.load_state == "loaded" and view.old and view.old.starter:
        yield view.job(Verb.START, "exclusive mode no longer keeps it out, and the system starts it")


def _dropped(view: UnitView) -> Iterator[Decision]:
    yield view.note("no longer in the documents; left as it is until the next boot")


def _deferred(view: UnitView, reason: str) -> Note:
    """Return the note for a unit with a role, which an apply does not stop."""
    decision = _first(_DEFERRED, view, reason)
    assert isinstance(decision, Note)
    return decision


def _must_restart(view: UnitView) -> bool:
    automatic = view.on_change is OnChange.AUTO and bool(view.needs(Effect.RESTART))
    return view.on_change is OnChange.RESTART or automatic


def _may_not_restart(view: UnitView) -> bool:
    return view.spared and (_must_restart(view) or not _can_reload(view))


def _can_reload(view: UnitView) -> bool:
    """Return whether the unit can reload once PID 1 has read its new definition."""
    if view.unit.endswith(".mount"):
        return True
    reloads = "ExecReload" in {key for _, key in view.after.values}
    if reloads or view.after.last("Service", "Type") == "notify-reload":
        return True
    return not view.after.fragment and view.state.can_reload


def _unless_masked(view: UnitView, verb: Verb, reason: str) -> Decision:
    if view.masked_by_administrator:
        return view.note("masked by an administrator; its changes wait until it is unmasked", NoteReason.MASKED)
    return view.job(verb, reason)


def _list(changes: tuple[Change, ...]) -> str:
    """Return the changed keys and files in one line, such as ``[Service] Environment, User changed``."""
    if any(c.key == FRAGMENT for c in changes):
        return "it has a different unit file"
    sections: dict[str, list[str]] = {}
    for change in changes:
        sections.setdefault(change.section, []).append(change.key)
    keys = (f"[{section}] {', '.join(keys)}" if section else ", ".join(keys) for section, keys in sections.items())
    return "; ".join(keys) + " changed"


_AFTER_SESSION = (
    "takes effect at the first apply after the session that asked for it has ended, "
    "because stopping this unit would end that session"
)
_AT_NEXT_BOOT = "takes effect at the next boot, because it is {role} (with `on-change: restart`, it takes effect now)"

_DEFERRED = (
    _Row(lambda view: view.role == SESSION_ROLE, NoteReason.LATER, _AFTER_SESSION),
    _Row(lambda view: True, NoteReason.REBOOT, _AT_NEXT_BOOT),
)
"""The notes for a unit with a role that has to stop, or to restart."""

_CHANGED = (
    _Row(
        lambda view: view.on_change is OnChange.NONE,
        NoteReason.LATER,
        "takes effect at its next start (on-change: none)",
    ),
    _Row(
        lambda view: view.on_change is OnChange.REBOOT,
        NoteReason.REBOOT,
        "takes effect at the next boot (on-change: reboot)",
    ),
    _Row(
        lambda view: view.unit.endswith(_NEVER_RESTARTED),
        NoteReason.REBOOT,
        "takes effect at the next boot, because a restart would stop all units in it",
    ),
    _Row(
        lambda view: view.timed and view.on_change is OnChange.AUTO,
        NoteReason.LATER,
        "takes effect at its next run; the current run ends with the old definition",
    ),
    _Row(lambda view: _may_not_restart(view) and view.role == SESSION_ROLE, NoteReason.LATER, _AFTER_SESSION),
    _Row(lambda view: _may_not_restart(view), NoteReason.REBOOT, _AT_NEXT_BOOT),
    _Row(_must_restart, Verb.RESTART),
    _Row(_can_reload, Verb.RELOAD),
    _Row(lambda view: True, Verb.RESTART, "it cannot reload"),
)
"""The outcome for a unit that runs and has changes that need a reload or a restart."""

_SITUATIONS: tuple[tuple[Condition, Callable[[UnitView], Iterator[Decision]]], ...] = (
    (lambda view: view.hold is not None, _held),
    (lambda view: view.gone, _removed),
    (lambda view: view.overdue and view.running and not view.role, _source_lost_too_long),
    (lambda view: view.lost and not view.running and not view.released, _stopped_by_source_loss),
    (lambda view: view.wanted in _NOT_RUNNING, _wanted_stopped),
    (lambda view: view.running, _runs),
    (lambda view: view.wanted is Wanted.RUNNING, _wanted_running),
    (
        lambda view: (
            view.failed and view.touched and not _waits_for_start(view) and (view.new is None or view.new.starter)
        ),
        _failed,
    ),
    (
        lambda view: view.new is None and view.old and view.old.item == BOOT_ITEM and not view.masked_by_administrator,
        _let_in_again,
    ),
    (lambda view: view.new is None and view.was_wanted in _NOT_RUNNING, _dropped),
)
"""The situations of a unit, with the function that decides in each."""
