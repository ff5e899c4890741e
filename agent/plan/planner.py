"""The plan: the jobs that lead from one generation and the running machine to another generation, with reasons.

Each unit is first decided alone (`unit_decision`). Then sockets are added, which can be bound again only while their
service is stopped, and then the units that PID 1 stops together with others. A unit that is not a member and did not
change gets no job. The plan from a generation to itself has no jobs, except for units with `drift: enforce`: a state
that differs is an administrator's override, and noted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from ordain.agent.model import FileAction, FileChange, Generation, Job, Note, NoteReason, Observed, Plan, Verb
from ordain.agent.plan.changes.diff import PlacedUnit, needs_reload, same_generation
from ordain.agent.plan.changes.file_changes import changed_files
from ordain.agent.plan.changes.removed_entries import removed_entries
from ordain.agent.plan.changes.setting_changes import setting_changes
from ordain.agent.plan.consequences import Dependencies, consequences, spare_conflicting
from ordain.agent.plan.mount_jobs import unmount_below_automounts
from ordain.agent.plan.propagation import Dependents, restart_together, spare_dependents, start_again
from ordain.agent.plan.split_restarts import split_restarts
from ordain.agent.plan.unit_decision import decide
from ordain.agent.plan.unit_view import SESSION_ROLE, UnitView, unit_views
from ordain.transforms.render.paths import MODPROBE, MODULES_LOAD
from ordain.transforms.systemd.unit_name import TRIGGER_SUFFIXES

_TRIGGERS = (*TRIGGER_SUFFIXES, ".automount")
_PULLS_IN = ("Requires", "BindsTo", "Wants")


def plan(old: Generation, new: Generation, observed: Observed) -> Plan:
    """Return the plan from ``old`` and the running machine to ``new``.

    ``observed`` has the units of `units_to_observe`; a unit that is missing there counts as not found.
    """
    views = unit_views(old, new, observed)
    stops: dict[str, Job] = {}
    jobs: dict[str, Job] = {}
    notes: list[Note] = []
    for view in views.values():
        for decision in decide(view):
            if isinstance(decision, Note):
                notes.append(decision)
            elif decision.verb is Verb.STOP:
                stops[view.unit] = decision
            else:
                jobs[view.unit] = decision
    notes += _still_triggered(views, stops, observed)
    dependents = Dependents(views, observed)
    dependencies = Dependencies({unit: view.after for unit, view in views.items()}, observed)
    notes += spare_dependents(views, dependents, observed, jobs)
    notes += spare_conflicting(views, dependencies, jobs)
    for view in views.values():
        _rebind(view, views, stops, jobs, notes)
    split_restarts(views, stops, jobs, dependents)
    unmount_below_automounts(views, stops, jobs)
    notes += start_again(views, dependents, stops, jobs, observed)
    together = restart_together(views, dependents, stops, jobs)
    notes = [note for note in notes if note.unit not in together]
    caused = tuple(consequences(dependencies, stops, jobs))
    files = (*changed_files(old, new), *_displaced(new, observed))
    notes += _kernel_module_notes(files)
    changes = tuple(change for view in views.values() for change in view.fresh)
    return Plan(
        from_hash=old.hash,
        to_hash=new.hash,
        reload=needs_reload(old, new),
        stops=tuple(stops[unit] for unit in _stop_order(stops, views)),
        jobs=tuple(_warned(views.get(unit), jobs[unit]) for unit in _start_order(jobs, views)),
        consequences=tuple(sorted(caused, key=lambda job: (job.verb, job.unit))),
        files=files,
        changes=changes,
        settings=setting_changes(old, new, changes, files),
        notes=tuple(sorted(notes, key=lambda n: (n.unit, n.what))),
        removed=() if same_generation(old, new) else removed_entries(old, new),
    )


def _displaced(new: Generation, observed: Observed) -> Iterator[FileChange]:
    """Yield the files of ``new`` that somebody else has changed, and others that could not be removed before."""
    for artifact in new.artifacts if observed.displaced else ():
        if artifact.path in observed.displaced:
            changes = observed.displaced[artifact.path]
            yield FileChange(path=artifact.path, what=FileAction.CHANGED, item=artifact.item, changes=changes)
    for path in sorted(observed.left_over):
        yield FileChange(path=path, what=FileAction.REMOVED, item="")


def _kernel_module_notes(files: Iterable[FileChange]) -> Iterator[Note]:
    """Yield a note for changed options of kernel modules: the kernel reads them when it loads a module.

    No module is ever unloaded.
    """
    for file in files:
        if file.path in (MODULES_LOAD, MODPROBE) and file.what is not FileAction.NEW:
            what = f"{file.path} was {file.what}; modules that are already loaded pick this up at the next boot"
            yield Note(unit="systemd-modules-load.service", what=what, item=file.item, why=NoteReason.REBOOT)


def _warned(view: UnitView | None, job: Job) -> Job:
    """Return ``job``, with a warning in its reason if a rollback cannot undo it."""
    if view is None or job.verb is Verb.RELOAD or view.after.last("Service", "Type") != "oneshot":
        return job
    return replace(job, reason=f"{job.reason}; a rollback does not undo its effects")


def _still_triggered(views: Mapping[str, UnitView], stops: Mapping[str, Job], observed: Observed) -> Iterator[Note]:
    for unit in stops:
        if not views[unit].after.fragment and views[unit].before.fragment:
            continue  # its unit file is removed, so nothing can start it
        for trigger in views[unit].state.triggered_by:
            known = observed.units.get(trigger)
            if trigger not in stops and (known is None or known.running):
                yield views[unit].note(f"{trigger} may start it again")


def _unbound(view: UnitView, service: UnitView) -> Note:
    """Return the note for a socket that cannot be bound now because its service may not be stopped."""
    if service.role == SESSION_ROLE:
        what = (
            "takes effect at the first apply after the session that asked for it has ended, "
            f"because {service.unit} would have to stop, and that session with it"
        )
        return view.note(what, NoteReason.LATER)
    what = f"takes effect at the next boot, because {service.unit} would have to stop, and is {service.role}"
    return view.note(what, NoteReason.REBOOT)


def _rebind(
    view: UnitView, views: Mapping[str, UnitView], stops: dict[str, Job], jobs: dict[str, Job], notes: list[Note]
) -> None:
    """Plan the start or restart of a socket whose service runs: stop both, start the socket, start the service.

    PID 1 refuses to start a socket whose service runs, and a restart of both in one transaction failed on 257
    (docs/design/systemd.md, fact 27). The socket stops first, and before the reload; otherwise a connection would
    start the service in between.
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
        stops[view.unit] = view.job(Verb.STOP, f"has to be bound again: {job.reason}")
    jobs[view.unit] = replace(job, verb=Verb.START)
    if service.unit not in stops:
        stops[service.unit] = service.job(Verb.STOP, f"{view.unit} can be bound only while this service is stopped")
        jobs[service.unit] = service.job(Verb.START, f"ran before {view.unit} was bound again")


def _start_order(jobs: Collection[str], views: Mapping[str, UnitView]) -> tuple[str, ...]:
    """Return the units such that each comes after those it is ordered after, otherwise by name.

    PID 1 orders the jobs that it has, but the first one that it receives it starts before it receives the second.
    """
    placed = {unit: views[unit].after if unit in views else PlacedUnit() for unit in jobs}
    earlier = _earlier(placed, views)
    members = {unit: views[unit].new for unit in jobs if unit in views}
    sockets = {member.starts: unit for unit, member in members.items() if member and unit.endswith(".socket")}
    for unit in jobs if sockets else ():
        # Once another unit has pulled in the service, PID 1 refuses to start its socket.
        earlier[unit] |= {sockets[pulled] for pulled in _pulls_in(unit, views) & sockets.keys()} - {unit}
    return _sorted(earlier)


def _pulls_in(unit: str, views: Mapping[str, UnitView]) -> set[str]:
    """Return the units of the documents that PID 1 starts together with a unit, and the unit itself."""
    pulled: set[str] = set()
    more = {unit}
    while more:
        pulled |= more
        names = {name for known in more & views.keys() for name in views[known].after.words("Unit", *_PULLS_IN)}
        more = names & views.keys() - pulled
    return pulled


def _stop_order(stops: Collection[str], views: Mapping[str, UnitView]) -> tuple[str, ...]:
    """Return triggers first, which could start others, then each unit before those it is ordered after."""
    later: dict[str, set[str]] = {unit: set() for unit in stops}
    for unit, others in _earlier({unit: views[unit].before for unit in stops}, views).items():
        for other in others:
            later[other].add(unit)
    return tuple(sorted(_sorted(later), key=lambda unit: not unit.endswith(_TRIGGERS)))


def _earlier(placed: Mapping[str, PlacedUnit], views: Mapping[str, UnitView]) -> dict[str, set[str]]:
    """Return for each unit those it is ordered after, as either of them says; a socket is before its service."""
    earlier: dict[str, set[str]] = {unit: set() for unit in placed}
    for unit, content in placed.items():
        earlier[unit] |= content.words("Unit", "After") & earlier.keys()
        view = views.get(unit)
        member = view and (view.new or view.old)
        starts = {member.starts} if member else set()
        for later in sorted((content.words("Unit", "Before") | starts) & earlier.keys()):
            earlier[later].add(unit)
    return {unit: others - {unit} for unit, others in earlier.items()}


def _sorted(earlier: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Return the keys, each after those it maps to. A cycle, which no compiled generation has, is sorted by name."""
    order = TopologicalSorter(earlier)
    try:
        order.prepare()
    except CycleError:
        return tuple(sorted(earlier))
    units: list[str] = []
    while order.is_active():
        ready = sorted(order.get_ready())
        units += ready
        order.done(*ready)
    return tuple(units)
