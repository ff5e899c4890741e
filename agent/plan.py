"""Two generations and the running machine → the jobs between them, each with its reason; pure.

A unit is looked at on its own first (`_decide`); then sockets, which can only be bound again while their service is
down; then what PID 1 stops along with them. Nothing is done to a unit that neither is a member nor changed, and a
generation against itself is no job at all: what stands otherwise than wanted is an admin's hand, and noted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from ordain.agent.diff import FRAGMENT, Content, compare, contents, placed_differ
from ordain.agent.model import Change, Effect, Generation, Job, Note, Observed, Plan, UnitState, Verb
from ordain.transforms.model import Member, Wanted

RUNNING = frozenset({"active", "activating", "reloading", "refreshing"})
"""ActiveStates of a unit that has, or is about to have, what its definition says."""
_DOWN = frozenset({Wanted.STOPPED, Wanted.MASKED})
_TRIGGERS = (".socket", ".timer", ".path", ".automount")
_NEVER_RESTARTED = (".slice", ".target")
_PROPAGATES = ("Requires", "BindsTo", "PartOf")
"""Along these PID 1 stops a unit with another (reconcile.md, a.9): a stop is not taken back by a start."""


_KEPT = "removed from the documents, left running (on-remove: keep)"


def units(old: Generation, new: Generation) -> frozenset[str]:
    """The units to observe before planning: whatever `plan` may look at."""
    before, after = contents(old), contents(new)
    members = {m.unit: m for g in (old, new) for m in g.members}
    starts = {m.starts for m in members.values() if m.starts and "@." not in m.starts}
    return frozenset(members.keys() | starts | compare(before, after).keys())


def plan(old: Generation, new: Generation, observed: Observed) -> Plan:
    """What leads from ``old``, as it runs, to ``new``.

    ``observed`` holds the units of `units`; one that is missing counts as not found.
    """
    views = _views(old, new, observed)
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
        stops=tuple(stops[unit] for unit in sorted(stops, key=lambda u: (not u.endswith(_TRIGGERS), u))),
        jobs=tuple(jobs[unit] for unit in sorted(jobs)),
        changes=tuple(change for view in views.values() for change in view.changes),
        notes=tuple(sorted(notes, key=lambda n: (n.unit, n.what))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """One unit: what was and is wanted and placed, and how it stands."""

    unit: str
    old: Member | None
    new: Member | None
    before: Content
    after: Content
    changes: tuple[Change, ...]
    state: UnitState
    touched: bool
    timed: bool
    unbound: bool

    @property
    def item(self) -> str:
        member = self.new or self.old
        return member.item if member else ""

    @property
    def running(self) -> bool:
        return self.state.active_state in RUNNING

    @property
    def failed(self) -> bool:
        return self.state.active_state == "failed"

    @property
    def masked_by_admin(self) -> bool:
        found = self.state.load_state == "masked" or self.state.unit_file_state.startswith("masked")
        return found and not self.before.masked

    @property
    def wanted(self) -> Wanted:
        if self.after.masked:
            return Wanted.MASKED
        return self.new.wanted if self.new else Wanted.PRESENT

    @property
    def kept(self) -> bool:
        """Whether the unit is in the new generation only because of `generation.keep_running`."""
        return bool(self.new and self.new.ours and self.new.on_remove == "keep") and self.wanted is Wanted.PRESENT

    def needs(self, *effects: Effect) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.effect in effects)

    def job(self, verb: Verb, reason: str) -> Job:
        return Job(unit=self.unit, verb=verb, reason=reason, item=self.item, changes=self.changes)

    def note(self, what: str) -> Note:
        return Note(unit=self.unit, what=what, item=self.item)


def _views(old: Generation, new: Generation, observed: Observed) -> Mapping[str, _View]:
    before, after = contents(old), contents(new)
    changes = compare(before, after)
    was = {m.unit: m for m in old.members}
    members = {m.unit: m for m in new.members}
    real = {unit for unit, found in changes.items() if any(c.effect is not Effect.NOTHING for c in found)}
    timed = {m.starts for m in members.values() if m.unit.endswith(".timer")}
    unbound = {m.starts for m in was.values() if m.unit.endswith(".socket") and m.unit not in members}
    return {
        unit: _View(
            unit=unit,
            old=was.get(unit),
            new=members.get(unit),
            before=before.get(unit, Content()),
            after=after.get(unit, Content()),
            changes=changes.get(unit, ()),
            state=observed.unit(unit),
            touched=unit in real or (unit in members and members[unit].starts in real),
            timed=unit in timed,
            unbound=unit in unbound,
        )
        for unit in sorted(was.keys() | members.keys() | changes.keys())
    }


def _decide(view: _View) -> Iterator[Job | Note]:
    if view.new is None and view.before.fragment and not view.before.masked and not view.after.fragment:
        yield from _gone(view)
    elif view.wanted in _DOWN:
        yield from _down(view)
    elif view.running:
        yield from _changed(view)
    elif view.wanted is Wanted.RUNNING:
        yield from _up(view)
    elif view.failed and view.touched:
        yield _unless_masked(view, Verb.START, "it had failed, and its definition changed")
    elif view.new is None and view.old and view.old.wanted in _DOWN:
        yield view.note("no longer in the documents: left as it is, from the next boot as the system has it")


def _gone(view: _View) -> Iterator[Job | Note]:
    if not view.running:
        return
    if view.old and view.old.on_remove == "keep":
        yield view.note(_KEPT)
    else:
        yield view.job(Verb.STOP, "removed from the documents")


def _down(view: _View) -> Iterator[Job | Note]:
    if not view.running:
        return
    if view.old is None or view.old.wanted is not view.wanted or view.touched:
        yield view.job(Verb.STOP, f"the documents want it {view.wanted}")
    else:
        yield view.note(f"was started by hand, though the documents want it {view.wanted}")


def _up(view: _View) -> Iterator[Job | Note]:
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
    elif view.old.wanted is not Wanted.RUNNING:
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
    else:
        yield view.note("was stopped by hand; starts when its documents change, or at the next boot")


def _changed(view: _View) -> Iterator[Job | Note]:
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


def _can_reload(view: _View) -> bool:
    """Whether the unit can reload once PID 1 has read its new definition."""
    if view.unit.endswith(".mount"):
        return True
    own = ("ExecReload" in {key for _, key in view.after.values}) or (
        view.after.last("Service", "Type") == "notify-reload"
    )
    return own or (not view.after.fragment and view.state.can_reload)


def _unless_masked(view: _View, verb: Verb, reason: str) -> Job | Note:
    return view.note("masked by the admin; its changes wait") if view.masked_by_admin else view.job(verb, reason)


def _named(changes: tuple[Change, ...]) -> str:
    """What changed, in one line, such as ``[Service] Environment, User changed``."""
    if any(c.key == FRAGMENT for c in changes):
        return "its unit file is another one"
    sections: dict[str, list[str]] = {}
    for change in changes:
        sections.setdefault(change.section, []).append(change.key)
    return "; ".join(f"[{section}] {', '.join(keys)}" for section, keys in sections.items()) + " changed"


def _still_triggered(views: Mapping[str, _View], stops: Mapping[str, Job], observed: Observed) -> Iterator[Note]:
    for unit in stops:
        if not views[unit].after.fragment and views[unit].before.fragment:
            continue  # gone: nothing can start it
        for trigger in views[unit].state.triggered_by:
            if trigger not in stops and observed.unit(trigger).active_state in RUNNING:
                yield views[unit].note(f"{trigger} is active and may start it again")


def _rebind(view: _View, views: Mapping[str, _View], stops: dict[str, Job], jobs: dict[str, Job]) -> None:
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


def _bring_back(views: Mapping[str, _View], stops: Mapping[str, Job], jobs: dict[str, Job]) -> None:
    """Start again what PID 1 stops along with a unit that is only down for a moment."""
    falling = [unit for unit in stops if unit in jobs]
    while falling:
        cause = falling.pop()
        for view in views.values():
            if view.unit in stops or not view.running or cause not in view.before.words("Unit", *_PROPAGATES):
                continue
            job = jobs.get(view.unit)
            if job is None or job.verb is Verb.RELOAD:
                jobs[view.unit] = view.job(Verb.START, f"stops along with {cause}")
                falling.append(view.unit)
