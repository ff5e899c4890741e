"""Units that PID 1 stops or restarts together with another one, and the place of their jobs in a plan.

PID 1 propagates a stop, and a restart, to every unit that requires the unit, is bound to it or is part of it
(src/core/transaction.c). A restart of such a unit is a job of the plan like any other, but PID 1 queues it:

    restart a ──PID 1──▶ restart b (Requires=a) ──▶ restart c (PartOf=b)      c, b: Job.together_with = a

So a plan shows everything that restarts, and an apply waits for all of it and judges it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property

from ordain.agent.model import Job, Note, NoteReason, Observed, Verb
from ordain.agent.plan.changes.diff import PlacedUnit
from ordain.agent.plan.mount_jobs import needs_mount
from ordain.agent.plan.unit_view import SESSION_ROLE, UnitView

NEEDS = ("Requires", "BindsTo", "Requisite")
"""A unit with one of these does not run without the other unit."""
PROPAGATES = (*NEEDS, "PartOf")
"""Along these dependencies PID 1 stops and restarts a unit together with another one."""

Views = Mapping[str, UnitView]


class Dependents:
    """The running units that PID 1 stops or restarts together with a unit.

    PID 1 itself tells that of the units that it was asked about (`Observed.dependents`). Of the others, only what the
    documents say is known.
    """

    def __init__(self, views: Views, observed: Observed) -> None:
        self._views = views
        self._observed = observed

    def before(self, unit: str) -> Iterator[str]:
        """Yield the running units that stop together with ``unit``, by the definitions before the reload."""
        known = self._observed.dependents.get(unit)
        names = set(self._scan(unit, self._before) if known is None else known) | self._stopped_with(unit)
        return (name for name in sorted(names) if self._observed.unit(name).running)

    def stopped_by_restart(self, unit: str) -> bool:
        """Return whether units that run would stop together with a restart of ``unit``, and not start again."""
        return self._observed.restart_stops and any(
            self._observed.unit(name).running for name in self._stopped_with(unit)
        )

    def _stopped_with(self, unit: str) -> set[str]:
        """Return the units that only stop together with ``unit`` (PropagatesStopTo=), before the reload."""
        return set(self._observed.relations.get(unit, {}).get("PropagatesStopTo", ()))

    def after(self, unit: str) -> Iterator[str]:
        """Yield the running units that restart together with ``unit``, by the definitions after the reload."""
        known = self._observed.dependents.get(unit)
        if known is None:
            names = self._scan(unit, self._after)
        else:
            removed = {view.unit for view in self._changed if requires(view.before, unit)}
            added = {view.unit for view in self._changed if requires(view.after, unit)}
            names = (frozenset(known) - removed) | added
        return (name for name in sorted(names) if self._observed.unit(name).running)

    def all_after(self, unit: str) -> dict[str, str]:
        """Return all units that restart together with ``unit``, each with the one that it restarts because of."""
        causes: dict[str, str] = {}
        more = [unit]
        while more:
            cause = more.pop(0)
            for name in self.after(cause):
                if name != unit and name not in causes:
                    causes[name] = cause
                    more.append(name)
        return causes

    @cached_property
    def _changed(self) -> tuple[UnitView, ...]:
        return tuple(view for view in self._views.values() if view.fresh)

    @cached_property
    def _before(self) -> Mapping[str, frozenset[str]]:
        return _index((view.unit, view.before) for view in self._views.values())

    @cached_property
    def _after(self) -> Mapping[str, frozenset[str]]:
        return _index((view.unit, view.after) for view in self._views.values())

    def _scan(self, unit: str, index: Mapping[str, frozenset[str]]) -> frozenset[str]:
        mounted = {view.unit for view in self._views.values() if needs_mount(view.before, unit, self._views)}
        return index.get(unit, frozenset()) | (mounted - {unit})


def requires(content: PlacedUnit, other: str) -> bool:
    """Return whether PID 1 restarts a unit with this content together with ``other``."""
    return other in content.words("Unit", *PROPAGATES)


def _index(units: Iterable[tuple[str, PlacedUnit]]) -> Mapping[str, frozenset[str]]:
    """Return the units that depend on each unit."""
    dependents: dict[str, set[str]] = {}
    for unit, content in units:
        for other in content.words("Unit", *PROPAGATES):
            dependents.setdefault(other, set()).add(unit)
    return {unit: frozenset(names) for unit, names in dependents.items()}


def spare_dependents(views: Views, dependents: Dependents, observed: Observed, jobs: dict[str, Job]) -> Iterator[Note]:
    """Take out the restarts that would restart a held unit, or one with a role, which nobody expects to be stopped."""
    for unit in [unit for unit, job in jobs.items() if job.verb is Verb.RESTART]:
        for name in dependents.all_after(unit):
            if note := _obstacle(views[unit], name, views, observed):
                del jobs[unit]
                yield note
                break


def _obstacle(view: UnitView, name: str, views: Views, observed: Observed) -> Note | None:
    """Return the note for a unit that cannot restart now because ``name`` would restart with it, None if that may."""
    other = views.get(name)
    because = f"because PID 1 would restart {name} together with it"
    if other.hold if other else name in observed.holds:
        return view.note(f"takes effect after the hold of {name} ends, {because}", NoteReason.LATER)
    role = observed.protected.get(name, "")
    if not role or (other and not other.spared):
        return None
    if role == SESSION_ROLE:
        what = f"takes effect at the first apply after the session that asked for it has ended, {because}"
        return view.note(what, NoteReason.LATER)
    return view.note(f"takes effect at the next boot, {because}, and that is {role}", NoteReason.REBOOT)


def restart_together(
    views: Views, dependents: Dependents, stops: Mapping[str, Job], jobs: dict[str, Job]
) -> frozenset[str]:
    """Add the restarts that PID 1 does together with those in ``jobs``, and return the units that have one.

    A reload of such a unit becomes a part of its restart. A restart that others cause anyway is not asked for again:
    PID 1 might have done it already, and would do it twice.
    """
    closures = {unit: dependents.all_after(unit) for unit, job in jobs.items() if job.verb is Verb.RESTART}
    together: dict[str, str] = {}
    for root in sorted(closures, key=lambda unit: (-len(closures[unit]), unit)):
        if root in together:
            continue
        for unit, cause in closures[root].items():
            own = jobs.get(unit)
            if unit not in stops and unit not in together and not (own and own.verb is Verb.START):
                jobs[unit] = _joined(unit, views.get(unit), own, root, cause)
                together[unit] = root
    return frozenset(together)


def _joined(unit: str, view: UnitView | None, own: Job | None, root: str, cause: str) -> Job:
    reason = f"PID 1 restarts it together with {cause}"
    if own is not None:
        return replace(own, verb=Verb.RESTART, reason=f"{own.reason}; {reason}", together_with=root)
    job = view.job(Verb.RESTART, reason) if view else Job(unit=unit, verb=Verb.RESTART, reason=reason)
    return replace(job, together_with=root)


def start_again(
    views: Views, dependents: Dependents, stops: Mapping[str, Job], jobs: dict[str, Job], observed: Observed
) -> Iterator[Note]:
    """Add a start for each unit that PID 1 stops together with another, unless it requires one that stays stopped.

    A unit with only ``PartOf=`` a unit that stays stopped runs without it after a boot, so it is started here too.
    """
    stopping, known = sorted(stops), set(stops)
    while stopping:
        cause = stopping.pop()
        for unit in dependents.before(cause):
            job, view = jobs.get(unit), views.get(unit)
            if unit in known or (view and view.masked_by_administrator):
                continue
            if job and job.verb is not Verb.RELOAD:  # it starts anyway, but what depends on it stops with it
                stopping.append(unit)
                known.add(unit)
                continue
            what = f"is stopped together with {cause}"
            if cause in jobs or (view and not _still_needs(view, cause, views)):
                jobs[unit] = view.job(Verb.START, what) if view else Job(unit=unit, verb=Verb.START, reason=what)
                stopping.append(unit)
                known.add(unit)
            else:
                what = f"{what}, which it requires"
                yield view.note(what) if view else Note(unit=unit, what=what)


def _still_needs(view: UnitView, cause: str, views: Views) -> bool:
    return needs_mount(view.after, cause, views) or cause in view.after.words("Unit", *NEEDS)
