"""The jobs that PID 1 does by itself because of those of a plan: units that it stops, and units that it starts.

    start a ──PID 1──▶ stop x (Conflicts=), start y (Wants=, Requires=, BindsTo=)
    stop b  ──PID 1──▶ stop z (PropagatesStopTo=)

They are a part of the transaction of each job (src/core/transaction.c): nobody asks for them, and they are not judged,
but a plan names them, and a rollback starts again what they stopped. PID 1 tells the dependencies of the units that it
has loaded (`Observed.relations`), the documents those of their own units.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from ordain.agent.model import Job, Note, NoteReason, Observed, Verb
from ordain.agent.plan.changes.diff import PlacedUnit
from ordain.agent.plan.unit_view import SESSION_ROLE, UnitView

PULLS_IN = {"Requires": "requires", "BindsTo": "is bound to", "Wants": "wants"}
"""The dependencies whose units PID 1 starts before a unit, or with it."""
CONFLICTS = ("Conflicts", "ConflictedBy")
"""The dependencies whose units PID 1 stops before it starts a unit."""
ONLY_STOPS = "PropagatesStopTo"
"""The dependency along which PID 1 stops units, but does not restart them."""
STOPS_WITH = (ONLY_STOPS, "RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf")
"""The dependencies of a unit that stop together with it."""
LEFT_OUT = frozenset({"shutdown.target", "umount.target"})
"""Targets that units conflict with, and that no apply starts."""

Related = Mapping[str, str]
"""Other units, each with the dependency that relates it."""


@dataclass(frozen=True)
class Dependencies:
    """The dependencies of the units that a plan is about, after the reload."""

    placed: Mapping[str, PlacedUnit]
    observed: Observed

    def starts(self, unit: str) -> Related:
        """Return the units that PID 1 starts together with ``unit``, if they do not run."""
        return self._related(unit, PULLS_IN)

    def conflicts(self, unit: str) -> Related:
        """Return the units that PID 1 stops when it starts ``unit``, if they run."""
        return self._related(unit, CONFLICTS)

    def stops(self, unit: str, *, by_conflict: bool = False) -> Related:
        """Return the units that PID 1 stops together with ``unit``, if they run.

        ``by_conflict``: ``unit`` stops because of a conflict; then systemd after 252 ignores PropagatesStopTo=.
        """
        keys = [key for key in STOPS_WITH if not (by_conflict and self.observed.restart_stops and key == ONLY_STOPS)]
        dependents = dict.fromkeys(self.observed.dependents.get(unit, ()), "dependents")
        return {**dependents, **self._related(unit, keys)}

    def _related(self, unit: str, keys: Collection[str]) -> Related:
        told = self.observed.relations.get(unit, {})
        own = self.placed.get(unit)
        related: dict[str, str] = {}
        for key in keys:
            words = set(told.get(key, ()))
            words |= own.words("Unit", key) if own and own.files else set()
            words |= self._inverse.get((key, unit), set())
            for other in sorted(words - {unit} - LEFT_OUT):
                related.setdefault(other, key)
        return related

    @cached_property
    def _inverse(self) -> Mapping[tuple[str, str], set[str]]:
        """Return what the documents say of other units, by the dependency seen from there."""
        inverse_of: dict[tuple[str, str], set[str]] = {}
        keys = {"Conflicts": "ConflictedBy", "StopPropagatedFrom": "PropagatesStopTo"}
        for unit, content in self.placed.items():
            for key, inverse in keys.items():
                if any(f"{key}=" in text for _, text in content.files):
                    for other in content.words("Unit", key):
                        inverse_of.setdefault((inverse, other), set()).add(unit)
        return inverse_of


def consequences(dependencies: Dependencies, stops: Mapping[str, Job], jobs: Mapping[str, Job]) -> Iterator[Job]:
    """Yield the jobs that PID 1 does because of ``stops`` and ``jobs``, without those that are among them."""
    observed = dependencies.observed
    known = {*stops, *jobs}
    starting = [unit for unit, job in jobs.items() if job.verb in (Verb.START, Verb.RESTART)]
    stopping = [(unit, False) for unit in stops]
    while starting or stopping:
        stopped: dict[str, str] = {}
        by_conflict = True
        if stopping:
            unit, by_conflict = stopping.pop()
            stopped = {other: f"together with {unit}" for other in dependencies.stops(unit, by_conflict=by_conflict)}
        else:
            unit = starting.pop()
            stopped = {other: f"because it conflicts with {unit}" for other in dependencies.conflicts(unit)}
            for other, key in dependencies.starts(unit).items():
                state = observed.units.get(other)
                if other not in known and state and state.load_state == "loaded" and not state.running:
                    known.add(other)
                    starting.append(other)
                    reason = f"PID 1 starts it, because {unit} {PULLS_IN[key]} it"
                    yield Job(unit=other, verb=Verb.START, reason=reason)
        for other, why in stopped.items():
            if other not in known and observed.unit(other).running:
                known.add(other)
                stopping.append((other, by_conflict))
                yield Job(unit=other, verb=Verb.STOP, reason=f"PID 1 stops it {why}")


def spare_conflicting(
    views: Mapping[str, UnitView], dependencies: Dependencies, jobs: dict[str, Job]
) -> Iterator[Note]:
    """Take out the starts and restarts for which PID 1 would stop a held unit, or one with a role."""
    for unit in [unit for unit, job in jobs.items() if job.verb in (Verb.START, Verb.RESTART)]:
        for other in dependencies.conflicts(unit):
            if unit in views and (note := _obstacle(views[unit], other, views, dependencies.observed)):
                del jobs[unit]
                yield note
                break


def _obstacle(view: UnitView, name: str, views: Mapping[str, UnitView], observed: Observed) -> Note | None:
    """Return the note for a unit that cannot start now because PID 1 would stop ``name``, None if it may."""
    if not observed.unit(name).running:
        return None
    because = f"because PID 1 would stop {name}, which it conflicts with"
    if (views[name].hold if name in views else None) or name in observed.holds:
        return view.note(f"waits for the end of the hold of {name}, {because}", NoteReason.LATER)
    role = observed.protected.get(name, "")
    if not role:
        return None
    if role == SESSION_ROLE:
        return view.note(f"waits for the end of the session that asked for it, {because}", NoteReason.LATER)
    return view.note(f"is not started, {because}, and that is {role}", NoteReason.REBOOT)
