"""Two generations and the running machine → the jobs between them, each with its reason; pure.

A unit is looked at on its own first (`decide`); then sockets, which can only be bound again while their service is
down; then what PID 1 stops along with them. Nothing is done to a unit that neither is a member nor changed, and a
generation against itself is no job at all: what stands otherwise than wanted is an admin's hand, and noted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from ordain.agent.model import FileAction, FileChange, Generation, Job, Note, NoteReason, Observed, Plan, Verb
from ordain.agent.plan.diff import PlacedUnit, needs_reload
from ordain.agent.plan.file_changes import changed_files
from ordain.agent.plan.mount_jobs import needs_mount, split_restarts
from ordain.agent.plan.unit_decision import decide
from ordain.agent.plan.unit_view import SESSION_ROLE, UnitView, unit_views
from ordain.transforms.render.paths import MODPROBE, MODULES_LOAD
from ordain.transforms.systemd.unit_name import TRIGGER_SUFFIXES

_TRIGGERS = (*TRIGGER_SUFFIXES, ".automount")
_NEEDS = ("Requires", "BindsTo")
_PULLS_IN = (*_NEEDS, "Wants")
_PROPAGATES = (*_NEEDS, "PartOf")
"""Along these PID 1 stops a unit with another (src/core/transaction.c), and no start of that one takes it back."""


def plan(old: Generation, new: Generation, observed: Observed) -> Plan:
    """What leads from ``old``, as it runs, to ``new``.

    ``observed`` holds the units of `units_to_observe`; one that is missing counts as not found.
    """
    views = unit_views(old, new, observed)
    stops: dict[str, Job] = {}
    jobs: dict[str, Job] = {}
    notes: list[Note] = []
    for view in views.values():
        for decided in decide(view):
            if isinstance(decided, Note):
                notes.append(decided)
            elif decided.verb is Verb.STOP:
                stops[view.unit] = decided
            else:
                jobs[view.unit] = decided
    notes += _still_triggered(views, stops, observed)
    for view in views.values():
        _rebind(view, views, stops, jobs, notes)
    split_restarts(views, stops, jobs)
    notes += _bring_back(views, stops, jobs)
    files = changed_files(old, new)
    notes += _of_the_kernel(files)
    return Plan(
        from_hash=old.hash,
        to_hash=new.hash,
        reload=needs_reload(old, new),
        stops=tuple(stops[unit] for unit in _stop_order(stops, views)),
        jobs=tuple(_told(views[unit], jobs[unit]) for unit in _start_order(jobs, views)),
        files=files,
        changes=tuple(change for view in views.values() for change in view.fresh),
        notes=tuple(sorted(notes, key=lambda n: (n.unit, n.what))),
    )


def _of_the_kernel(files: Iterable[FileChange]) -> Iterator[Note]:
    """What a kernel module is loaded with, or not, is asked when it is loaded; none is taken out of the kernel."""
    for file in files:
        if file.path in (MODULES_LOAD, MODPROBE) and file.what is not FileAction.NEW:
            what = f"{file.path} is {file.what}; of modules that are loaded it is real at the next boot"
            yield Note(unit="systemd-modules-load.service", what=what, item=file.item, why=NoteReason.REBOOT)


def _told(view: UnitView, job: Job) -> Job:
    """``job``, whose reason says so if no way back undoes it."""
    if job.verb is Verb.RELOAD or view.after.last("Service", "Type") != "oneshot":
        return job
    return replace(job, reason=f"{job.reason}; going back does not undo what it does")


def _still_triggered(views: Mapping[str, UnitView], stops: Mapping[str, Job], observed: Observed) -> Iterator[Note]:
    for unit in stops:
        if not views[unit].after.fragment and views[unit].before.fragment:
            continue  # gone: nothing can start it
        for trigger in views[unit].state.triggered_by:
            known = observed.units.get(trigger)
            if trigger not in stops and (known is None or known.running):
                yield views[unit].note(f"{trigger} may start it again")


def _unbound(view: UnitView, service: UnitView) -> Note:
    """A socket that waits, as its service may not be stopped."""
    if service.role == SESSION_ROLE:
        what = f"bound at the first apply after the session that asked for changes and hangs on {service.unit}"
        return view.note(what, NoteReason.LATER)
    return view.note(f"bound at the next boot, as {service.unit} is {service.role}", NoteReason.REBOOT)


def _rebind(
    view: UnitView, views: Mapping[str, UnitView], stops: dict[str, Job], jobs: dict[str, Job], notes: list[Note]
) -> None:
    """A socket to be started or restarted while its service runs: both down, socket up, service up.

    PID 1 refuses to start a socket whose service runs, and to restart both in one go failed on 257
    (docs/design/systemd.md, fact 27).
    The socket goes down first and before the reload, or a connection would start the service in between.
    """
    job = jobs.get(view.unit)
    if job is None or not view.unit.endswith(".socket") or view.new is None:
        return
    service = views.get(view.new.starts)
    if service is None or not service.running:
        return
    if service.spared:
        del jobs[view.unit]
        notes.append(_unbound(view, service))
        return
    if view.running:
        stops[view.unit] = view.job(Verb.STOP, f"bound again: {job.reason}")
    jobs[view.unit] = replace(job, verb=Verb.START)
    if service.unit not in stops:
        stops[service.unit] = service.job(Verb.STOP, f"{view.unit} can be bound only while it is down")
        jobs[service.unit] = service.job(Verb.START, f"was running before {view.unit} was bound again")


def _bring_back(views: Mapping[str, UnitView], stops: Mapping[str, Job], jobs: dict[str, Job]) -> Iterator[Note]:
    """Start again what PID 1 stops along with a unit, unless it needs that one and that one stays down.

    What is only part of a unit that stays down runs without it after a boot, and so it does here.
    """
    falling = sorted(stops)
    while falling:
        cause = falling.pop()
        for view in views.values():
            job = jobs.get(view.unit)
            if view.unit in stops or not view.running or view.masked_by_admin:
                continue
            needed = needs_mount(view.before, cause, views)
            if not needed and cause not in view.before.words("Unit", *_PROPAGATES):
                continue
            if job and job.verb is not Verb.RELOAD:
                continue
            still = needs_mount(view.after, cause, views) or cause in view.after.words("Unit", *_NEEDS)
            if cause in jobs or not still:
                jobs[view.unit] = view.job(Verb.START, f"stops along with {cause}")
                falling.append(view.unit)
            else:
                yield view.note(f"stops along with {cause}, which it needs")


def _start_order(jobs: Collection[str], views: Mapping[str, UnitView]) -> tuple[str, ...]:
    """The units so that each comes behind those it is ordered after, else by name.

    PID 1 keeps the order among jobs it has; one that it gets first, it starts before it hears of the next.
    """
    earlier = _earlier({unit: views[unit].after for unit in jobs}, views)
    sockets = {member.starts: unit for unit in jobs if (member := views[unit].new) and unit.endswith(".socket")}
    for unit in jobs if sockets else ():
        # Once the service runs, for whatever pulled it in, PID 1 refuses to start its socket.
        earlier[unit] |= {sockets[pulled] for pulled in _pulls_in(unit, views) & sockets.keys()} - {unit}
    return _sorted(earlier)


def _pulls_in(unit: str, views: Mapping[str, UnitView]) -> set[str]:
    """The units of the documents that PID 1 starts along with a unit, and the unit itself."""
    found: set[str] = set()
    rising = {unit}
    while rising:
        found |= rising
        rising = {
            name for each in rising for name in views[each].after.words("Unit", *_PULLS_IN)
        } & views.keys() - found
    return found


def _stop_order(stops: Collection[str], views: Mapping[str, UnitView]) -> tuple[str, ...]:
    """What could start others first; then each unit before those it is ordered after, else by name."""
    later: dict[str, set[str]] = {unit: set() for unit in stops}
    for unit, found in _earlier({unit: views[unit].before for unit in stops}, views).items():
        for other in found:
            later[other].add(unit)
    return tuple(sorted(_sorted(later), key=lambda unit: not unit.endswith(_TRIGGERS)))


def _earlier(placed: Mapping[str, PlacedUnit], views: Mapping[str, UnitView]) -> dict[str, set[str]]:
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
