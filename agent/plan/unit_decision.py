"""One unit on its own → its job, or why it is left alone; pure. `plan` puts the units together."""

from __future__ import annotations

from collections.abc import Iterator

from ordain.agent.model import Change, Effect, Hold, Job, Note, NoteReason, Verb
from ordain.agent.plan.diff import FRAGMENT
from ordain.agent.plan.exit_reason import exit_reason, killed_by_others
from ordain.agent.plan.unit_view import SESSION_ROLE, UnitView
from ordain.transforms.graph.essential_units import ITEM as BOOT
from ordain.transforms.model import OnChange, OnRemove, Wanted

_DOWN = frozenset({Wanted.STOPPED, Wanted.MASKED})
_NEVER_RESTARTED = (".slice", ".target")
_KEPT = "removed from the documents, left running (on-remove: keep)"


def decide(view: UnitView) -> Iterator[Job | Note]:
    """What is done to a unit as it stands, seen alone; nothing if it is as it should be."""
    if view.hold:
        yield from _held(view, view.hold)
    elif view.gone:
        yield from _gone(view)
    elif view.overdue and view.running and not view.role:
        yield view.job(Verb.STOP, "the source is lost for longer than it may run without (on-source-loss)")
    elif view.lost and not view.running and not view.released:
        yield view.note("stopped while the source is lost (on-source-loss); starts when it is back", NoteReason.LOST)
    elif view.wanted in _DOWN:
        yield from _down(view)
    elif view.running:
        yield from _changed(view)
    elif view.wanted is Wanted.RUNNING:
        yield from _up(view)
    elif view.failed and view.touched and (view.new is None or view.new.starter):
        yield _unless_masked(view, Verb.START, "it had failed, and its definition changed")
    elif view.new is None and view.old and view.old.item == BOOT and not view.masked_by_admin:
        if view.state.load_state == "loaded" and view.old.starter:
            yield view.job(Verb.START, "boot is no longer exclusive, or lets it in: the system starts it")
    elif view.new is None and view.was_wanted in _DOWN:
        yield view.note("no longer in the documents: left as it is, from the next boot as the system has it")


def _held(view: UnitView, hold: Hold) -> Iterator[Note]:
    """A unit that an admin holds: not touched, and told of as long as the hold lasts."""
    since = f" since {hold.since}" if hold.since else ""
    asks = {"stopped": " stopped" * hold.stopped, "unmask": " and not masked" * hold.unmask}
    waits = view.needs(Effect.RELOAD, Effect.RESTART) if view.running else ()
    rest = f"; {_named(waits)}, which waits" if waits else ""
    yield view.note(f"held{asks['stopped']}{asks['unmask']} by hand{since}{rest}", NoteReason.HELD)


def _gone(view: UnitView) -> Iterator[Job | Note]:
    if view.failed:
        yield view.job(Verb.STOP, "removed from the documents; PID 1 forgets its failure")
    if not view.running:
        return
    if view.old and view.old.on_remove is OnRemove.KEEP:
        yield view.note(_KEPT)
    elif view.role:
        yield _deferred(view, "removed from the documents")
    else:
        yield view.job(Verb.STOP, "removed from the documents")


def _down(view: UnitView) -> Iterator[Job | Note]:
    if not view.running:
        return
    boot = view.new is not None and view.new.item == BOOT
    wants = "exclusive mode keeps it out" if boot else f"the documents want it {view.wanted}"
    if view.spared:
        yield _deferred(view, wants)
    elif view.was_wanted is not view.wanted or view.touched:
        yield view.job(Verb.STOP, wants)
    elif view.enforced:
        yield view.job(Verb.STOP, f"was started by hand, but {wants}")
    else:
        yield view.note(f"was started by hand, though {wants}", NoteReason.STARTED)


def _up(view: UnitView) -> Iterator[Job | Note]:
    """A unit that is wanted running and does not run."""
    assert view.new is not None
    if not view.new.starter:
        return
    if view.masked_by_admin:
        yield view.note("masked by the admin; systemctl unmask gives it back", NoteReason.MASKED)
    elif not view.new.ours and view.state.load_state == "not-found":
        yield view.note("not installed")
    elif reason := _starts(view):
        yield view.job(Verb.START, reason)
    else:
        yield _stays_down(view)


def _starts(view: UnitView) -> str:
    """Why a unit that does not run is started, "" if it is not."""
    if view.old is None:
        return "new in the documents"
    if view.was_wanted is not Wanted.RUNNING:
        return "the documents now want it running"
    if not view.old.starter:
        return "no socket or timer starts it any more"
    if view.failed and view.touched:
        return "it had failed, and its definition changed"
    if view.failed:
        return exit_reason(view.state)[1] if view.released or (view.enforced and killed_by_others(view.state)) else ""
    if view.after.last("Service", "Type") == "oneshot":
        return _named(view.needs(Effect.RESTART)) if view.needs(Effect.RESTART) else ""
    if view.touched:
        return "its documents changed"
    by_others = exit_reason(view.state)[0] is NoteReason.STOPPED or killed_by_others(view.state)
    ran = view.state.condition_result and view.state.invocation_id  # else it would only be skipped once more
    return exit_reason(view.state)[1] if view.released or (view.enforced and ran and by_others) else ""


def _stays_down(view: UnitView) -> Note:
    """Why a unit that is wanted running is left as it is."""
    why, how = exit_reason(view.state)
    if view.failed:
        return view.note(f"{how}; tried again when its documents change", why)
    if view.after.last("Service", "Type") == "oneshot":
        return view.note("has run; runs again when what it runs changes", NoteReason.DONE)
    if not view.state.condition_result:
        return view.note("its conditions were not met")
    return view.note(f"{how}; starts when its documents change, or at the next boot", why)


def _changed(view: UnitView) -> Iterator[Job | Note]:
    """A unit that runs and may stay: the mildest job that makes its changes real."""
    if view.kept and view.released:
        yield view.job(Verb.STOP, "removed from the documents, and held no longer")
        return
    if view.kept:
        yield _deferred(view, "removed from the documents") if view.role else view.note(_KEPT)
        return
    changes = view.needs(Effect.RELOAD, Effect.RESTART)
    if view.unbound and not changes and view.new and view.new.starter and not view.spared:
        yield _unless_masked(view, Verb.RESTART, "its socket is gone")
    if not changes:
        return
    named = f"{_named(changes)} since it was started" if view.waiting else _named(changes)
    restarts = view.on_change is OnChange.RESTART or (view.on_change is OnChange.AUTO and view.needs(Effect.RESTART))
    if view.on_change is OnChange.NONE:
        yield view.note(f"{named}; real at its next start (on-change: none)", NoteReason.LATER)
    elif view.on_change is OnChange.REBOOT:
        yield view.note(f"{named}; real at the next boot (on-change: reboot)", NoteReason.REBOOT)
    elif view.unit.endswith(_NEVER_RESTARTED):
        yield view.note(f"{named}; real at the next boot, as a restart would stop all that is in it", NoteReason.REBOOT)
    elif view.timed and view.on_change is OnChange.AUTO:
        yield view.note(f"{named}; ends this run with its old definition, real at the next", NoteReason.LATER)
    elif view.spared and (restarts or not _can_reload(view)):
        yield _deferred(view, named)
    elif restarts:
        yield _unless_masked(view, Verb.RESTART, named)
    elif _can_reload(view):
        yield _unless_masked(view, Verb.RELOAD, named)
    else:
        yield _unless_masked(view, Verb.RESTART, f"{named}; it cannot reload")


def _deferred(view: UnitView, what: str) -> Note:
    """A protected unit that nothing short of a boot may stop, or nobody whom it would cut off."""
    if view.role == SESSION_ROLE:
        return view.note(
            f"{what}; real at the first apply after the session that asked for changes and hangs on it",
            NoteReason.LATER,
        )
    return view.note(
        f"{what}; real at the next boot, as it is {view.role} (on-change: restart says now)", NoteReason.REBOOT
    )


def _can_reload(view: UnitView) -> bool:
    """Whether the unit can reload once PID 1 has read its new definition."""
    if view.unit.endswith(".mount"):
        return True
    own = ("ExecReload" in {key for _, key in view.after.values}) or (
        view.after.last("Service", "Type") == "notify-reload"
    )
    return own or (not view.after.fragment and view.state.can_reload)


def _unless_masked(view: UnitView, verb: Verb, reason: str) -> Job | Note:
    if view.masked_by_admin:
        return view.note("masked by the admin; its changes wait", NoteReason.MASKED)
    return view.job(verb, reason)


def _named(changes: tuple[Change, ...]) -> str:
    """What changed, in one line, such as ``[Service] Environment, User changed``; files by their paths."""
    if any(c.key == FRAGMENT for c in changes):
        return "its unit file is another one"
    sections: dict[str, list[str]] = {}
    for change in changes:
        sections.setdefault(change.section, []).append(change.key)
    named = (f"[{section}] {', '.join(keys)}" if section else ", ".join(keys) for section, keys in sections.items())
    return "; ".join(named) + " changed"
