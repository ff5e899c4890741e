"""Two generations and the running machine → the jobs between them, each with its reason; pure.

A unit is looked at on its own first (`_decide`); then sockets, which can only be bound again while their service is
down; then what PID 1 stops along with them. Nothing is done to a unit that neither is a member nor changed, and a
generation against itself is no job at all: what stands otherwise than wanted is an admin's hand, and noted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from ordain.agent.diff import FRAGMENT, Content, placed_differ
from ordain.agent.model import Change, Effect, Generation, Job, Note, Observed, Plan, Verb
from ordain.agent.view import RUNNING, View, units
from ordain.agent.view import views as views_of
from ordain.transforms.model import Wanted

__all__ = ["RUNNING", "plan", "units"]

_DOWN = frozenset({Wanted.STOPPED, Wanted.MASKED})
_TRIGGERS = (".socket", ".timer", ".path", ".automount")
_NEVER_RESTARTED = (".slice", ".target")
_PROPAGATES = ("Requires", "BindsTo", "PartOf")
"""Along these PID 1 stops a unit with another (src/core/transaction.c), and no start of that one takes it back."""
_KEPT = "removed from the documents, left running (on-remove: keep)"


def plan(old: Generation, new: Generation, observed: Observed) -> Plan:
    """What leads from ``old``, as it runs, to ``new``.

    ``observed`` holds the units of `units`; one that is missing counts as not found.
    """
    views = views_of(old, new, observed)
    stops: dict[str, Job] = {}
    jobs: dict[str, Job] = {}
    notes: list[Note] = []
    for view in views.values():
        for decided in _decide(view):
            if isinstance(decided, Note):
                notes.append(decided)
            elif decided.verb is Verb.STOP:
                stops[view.unit] = decided
            else:
                jobs[view.unit] = decided
    notes += _still_triggered(views, stops, observed)
    for view in views.values():
        _rebind(view, views, stops, jobs)
    _bring_back(views, stops, jobs)
    return Plan(
        from_hash=old.hash,
        to_hash=new.hash,
        reload=placed_differ(old, new),
        stops=tuple(stops[unit] for unit in _stop_order(stops, views)),
        jobs=tuple(jobs[unit] for unit in _start_order(jobs, views)),
        changes=tuple(change for view in views.values() for change in view.changes),
        notes=tuple(sorted(notes, key=lambda n: (n.unit, n.what))),
    )


def _decide(view: View) -> Iterator[Job | Note]:
    if view.new is None and view.before.fragment and not view.before.masked and not view.after.fragment:
        yield from _gone(view)
    elif view.wanted in _DOWN:
        yield from _down(view)
    elif view.running:
        yield from _changed(view)
    elif view.wanted is Wanted.RUNNING:
        yield from _up(view)
    elif view.failed and view.touched and (view.new is None or view.new.starter):
        yield _unless_masked(view, Verb.START, "it had failed, and its definition changed")
    elif view.new is None and view.was_wanted in _DOWN:
        yield view.note("no longer in the documents: left as it is, from the next boot as the system has it")


def _gone(view: View) -> Iterator[Job | Note]:
    if not view.running:
        return
    if view.old and view.old.on_remove == "keep":
        yield view.note(_KEPT)
    else:
        yield view.job(Verb.STOP, "removed from the documents")


def _down(view: View) -> Iterator[Job | Note]:
    if not view.running:
        return
    if view.was_wanted is not view.wanted or view.touched:
        yield view.job(Verb.STOP, f"the documents want it {view.wanted}")
    else:
        yield view.note(f"was started by hand, though the documents want it {view.wanted}")


def _up(view: View) -> Iterator[Job | Note]:
    """A unit that is wanted running and does not run."""
    assert view.new is not None
    if not view.new.starter:
        return
    if view.masked_by_admin:
        yield view.note("masked by the admin; systemctl unmask gives it back")
    elif not view.new.ours and view.state.load_state == "not-found":
        yield view.note("not installed")
    elif view.old is None:
        yield view.job(Verb.START, "new in the documents")
    elif view.was_wanted is not Wanted.RUNNING:
        yield view.job(Verb.START, "the documents now want it running")
    elif not view.old.starter:
        yield view.job(Verb.START, "no socket or timer starts it any more")
    elif view.failed and view.touched:
        yield view.job(Verb.START, "it had failed, and its definition changed")
    elif view.failed:
        yield view.note(f"failed ({view.state.result or 'no result'}); tried again when its documents change")
    elif view.after.last("Service", "Type") == "oneshot":
        if view.needs(Effect.RESTART):
            yield view.job(Verb.START, _named(view.needs(Effect.RESTART)))
        else:
            yield view.note("has run; runs again when what it runs changes")
    elif view.touched:
        yield view.job(Verb.START, "its documents changed")
    elif not view.state.condition_result:
        yield view.note("its conditions were not met")
    elif view.new.ours:
        yield view.note("was stopped by hand; starts when its documents change, or at the next boot")
    else:  # whether it is a oneshot stands in the distribution's own file
        yield view.note("was stopped by hand, or is done; starts when its documents change, or at the next boot")


def _changed(view: View) -> Iterator[Job | Note]:
    """A unit that runs and may stay: the mildest job that makes its changes real."""
    if view.kept:
        yield view.note(_KEPT)
        return
    changes = view.needs(Effect.RELOAD, Effect.RESTART)
    if view.unbound and not changes and view.new and view.new.starter:
        yield _unless_masked(view, Verb.RESTART, "its socket is gone")
    if not changes:
        return
    on_change = view.new.on_change if view.new else "auto"
    if on_change == "none":
        yield view.note(f"{_named(changes)}; real at its next start (on-change: none)")
    elif on_change == "reboot":
        yield view.note(f"{_named(changes)}; real at the next boot (on-change: reboot)")
    elif view.unit.endswith(_NEVER_RESTARTED):
        yield view.note(f"{_named(changes)}; real at the next boot, as a restart would stop all that is in it")
    elif view.timed and on_change == "auto":
        yield view.note(f"{_named(changes)}; ends this run with its old definition, real at the next")
    elif on_change == "restart" or (on_change == "auto" and view.needs(Effect.RESTART)):
        yield _unless_masked(view, Verb.RESTART, _named(changes))
    elif _can_reload(view):
        yield _unless_masked(view, Verb.RELOAD, _named(changes))
    else:
        yield _unless_masked(view, Verb.RESTART, f"{_named(changes)}; it cannot reload")


def _can_reload(view: View) -> bool:
    """Whether the unit can reload once PID 1 has read its new definition."""
    if view.unit.endswith(".mount"):
        return True
    own = ("ExecReload" in {key for _, key in view.after.values}) or (
        view.after.last("Service", "Type") == "notify-reload"
    )
    return own or (not view.after.fragment and view.state.can_reload)


def _unless_masked(view: View, verb: Verb, reason: str) -> Job | Note:
    return view.note("masked by the admin; its changes wait") if view.masked_by_admin else view.job(verb, reason)


def _named(changes: tuple[Change, ...]) -> str:
    """What changed, in one line, such as ``[Service] Environment, User changed``."""
    if any(c.key == FRAGMENT for c in changes):
        return "its unit file is another one"
    sections: dict[str, list[str]] = {}
    for change in changes:
        sections.setdefault(change.section, []).append(change.key)
    return "; ".join(f"[{section}] {', '.join(keys)}" for section, keys in sections.items()) + " changed"


def _still_triggered(views: Mapping[str, View], stops: Mapping[str, Job], observed: Observed) -> Iterator[Note]:
    for unit in stops:
        if not views[unit].after.fragment and views[unit].before.fragment:
            continue  # gone: nothing can start it
        for trigger in views[unit].state.triggered_by:
            known = observed.units.get(trigger)
            if trigger not in stops and (known is None or known.active_state in RUNNING):
                yield views[unit].note(f"{trigger} may start it again")


def _rebind(view: View, views: Mapping[str, View], stops: dict[str, Job], jobs: dict[str, Job]) -> None:
    """A socket to be started or restarted while its service runs: both down, socket up, service up.

    PID 1 refuses to start a socket whose service runs, and to restart both in one go failed on 257 (reconcile.md).
    The socket goes down first and before the reload, or a connection would start the service in between.
    """
    job = jobs.get(view.unit)
    if job is None or not view.unit.endswith(".socket") or view.new is None:
        return
    service = views.get(view.new.starts)
    if service is None or not service.running:
        return
    if view.running:
        stops[view.unit] = view.job(Verb.STOP, f"bound again: {job.reason}")
    jobs[view.unit] = replace(job, verb=Verb.START)
    if service.unit not in stops:
        stops[service.unit] = service.job(Verb.STOP, f"{view.unit} can be bound only while it is down")
        jobs[service.unit] = service.job(Verb.START, f"was running before {view.unit} was bound again")


def _bring_back(views: Mapping[str, View], stops: Mapping[str, Job], jobs: dict[str, Job]) -> None:
    """Start again what PID 1 stops along with a unit, unless it is still bound to one that stays down."""
    falling = sorted(stops)
    while falling:
        cause = falling.pop()
        for view in views.values():
            job = jobs.get(view.unit)
            if view.unit in stops or not view.running or view.masked_by_admin:
                continue
            if cause not in view.before.words("Unit", *_PROPAGATES) or (job and job.verb is not Verb.RELOAD):
                continue
            if cause in jobs or cause not in view.after.words("Unit", *_PROPAGATES):
                jobs[view.unit] = view.job(Verb.START, f"stops along with {cause}")
                falling.append(view.unit)


def _start_order(jobs: Collection[str], views: Mapping[str, View]) -> tuple[str, ...]:
    """The units so that each comes behind those it is ordered after, else by name.

    PID 1 keeps the order among jobs it has; one that it gets first, it starts before it hears of the next.
    """
    return _sorted(_earlier({unit: views[unit].after for unit in jobs}, views))


def _stop_order(stops: Collection[str], views: Mapping[str, View]) -> tuple[str, ...]:
    """What could start others first; then each unit before those it is ordered after, else by name."""
    later: dict[str, set[str]] = {unit: set() for unit in stops}
    for unit, found in _earlier({unit: views[unit].before for unit in stops}, views).items():
        for other in found:
            later[other].add(unit)
    return tuple(sorted(_sorted(later), key=lambda unit: not unit.endswith(_TRIGGERS)))


def _earlier(placed: Mapping[str, Content], views: Mapping[str, View]) -> dict[str, set[str]]:
    """For each unit those it is ordered after, by what both say, and as a socket is before its service."""
    found: dict[str, set[str]] = {unit: set() for unit in placed}
    for unit, content in placed.items():
        found[unit] |= content.words("Unit", "After") & found.keys()
        member = views[unit].new or views[unit].old
        starts = {member.starts} if member else set()
        for later in (content.words("Unit", "Before") | starts) & found.keys():
            found[later].add(unit)
    return {unit: others - {unit} for unit, others in found.items()}


def _sorted(earlier: Mapping[str, set[str]]) -> tuple[str, ...]:
    """The keys, each behind those it maps to; in a cycle, which no compiled generation has, by name."""
    order = TopologicalSorter(earlier)
    try:
        order.prepare()
    except CycleError:
        return tuple(sorted(earlier))
    found: list[str] = []
    while order.is_active():
        ready = sorted(order.get_ready())
        found += ready
        order.done(*ready)
    return tuple(found)
