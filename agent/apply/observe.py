"""The running machine, as a plan or a status looks at it.

two generations ──Observer──▶ Observed: unit states, and every reason to leave a unit alone
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ordain.agent.apply.deviations.administrator_overrides import hiding_files
from ordain.agent.apply.deviations.kept_out_units import KeptOutUnits
from ordain.agent.apply.deviations.outdated_processes import outdated_processes
from ordain.agent.apply.deviations.protected_units import roles
from ordain.agent.apply.deviations.stale_overrides import look_for_stale
from ordain.agent.apply.deviations.unseen_starts import look_for_unseen
from ordain.agent.apply.differences.difference import BY_APPLY, Difference
from ordain.agent.apply.differences.read_back import ReadBack
from ordain.agent.apply.place_files import left_over, read_reports, unplaced_files
from ordain.agent.generation import holds_with_starters, keep_running
from ordain.agent.model import Change, Effect, Generation, Observed, Plan, Verb
from ordain.agent.packages.machine_packages import MachinePackages
from ordain.agent.packages.service_runs import ServiceRuns
from ordain.agent.plan.changes.diff import PlacedUnit, diff, placed_units, same_generation
from ordain.agent.plan.changes.file_changes import unchanged_files
from ordain.agent.plan.consequences import CONFLICTS, PULLS_IN, STOPS_WITH, Dependencies
from ordain.agent.plan.planner import plan
from ordain.agent.plan.stale_processes import pending_changes
from ordain.agent.plan.unit_view import units_to_observe
from ordain.agent.state.futile_corrections import Correction, correction, read_futile_corrections
from ordain.agent.state.holds import read_holds
from ordain.agent.state.source_loss_record import read_source_loss
from ordain.agent.state.store import Store
from ordain.agent.system.dbus.bus import pipelined
from ordain.agent.system.systemd.systemd1 import AT_ONCE, INVOCATION_ID, TIMEOUTS, Systemd
from ordain.transforms.model import OnRemove, Wanted

LAST_SPARING_VERSION = 252
"""The last PID 1 of which a restart is known not to stop units of PropagatesStopTo=."""


def as_it_is(observed: Observed) -> Observed:
    """Return ``observed``."""
    return observed


async def look(systemd: Systemd, names: Iterable[str], *, closely: Iterable[str] = ()) -> Observed:
    """Return the states of units; with all properties for units that do not run and for those in ``closely``.

    One call returns the states of all units. Every further property costs a quarter of a millisecond.
    """
    states = await systemd.list_units(names)
    in_full = {name for name, state in states.items() if not state.running}
    in_full |= states.keys() & set(closely)
    return Observed(units=states | await systemd.inspect(in_full))


def _with_waits(observed: Observed, differences: Collection[Difference]) -> Observed:
    waits = dict(observed.waits)
    for change in (change for difference in differences for change in difference.changes):
        waits[change.unit] = (*waits.get(change.unit, ()), change)
    displaced: dict[str, tuple[Change, ...]] = {}
    for difference in differences:  # an account has several in one file
        if difference.path:
            displaced[difference.path] = (*displaced.get(difference.path, ()), *difference.file_changes)
    return replace(observed, waits=waits, displaced=displaced)


def _without_futile(difference: Difference, futile: Collection[Correction]) -> Difference:
    """Return ``difference`` without its changes if an apply has tried all of them without an effect (``futile``)."""
    tried = [correction(change) in futile for change in difference.changes]
    if difference.path or not tried or not all(tried):
        return difference
    reported = difference.condition
    if reported.hint == BY_APPLY:
        unit = difference.changes[0].unit
        reported = replace(
            reported, hint=f"an apply did not change it; see `journalctl -b -u {unit}`, and correct the documents"
        )
    return replace(difference, condition=reported, changes=())


class Observer:
    """Observes the machine below ``root``. ``caller`` is always the process that asked, 0 if nobody did."""

    def __init__(self, *, systemd: Systemd, root: Path, store: Store) -> None:
        self._systemd = systemd
        self._root = root
        self._store = store
        self._kept_out = KeptOutUnits(root)
        self.read_back = ReadBack(systemd, root)
        self.packages = MachinePackages(ServiceRuns(systemd, root), root)

    async def plan(
        self, old: Generation, new: Generation, *, caller: int, adjust: Callable[[Observed], Observed] = as_it_is
    ) -> tuple[Plan, Observed]:
        """Return the plan from ``old`` to ``new``, and the machine that it starts from. Raises `UnreadableHolds`.

        ``adjust`` changes what was observed before it is planned with.
        """
        observed = adjust(await self._for_plan(old, new, caller=caller))
        planned = plan(old, new, observed)
        observed = await self._with_dependents(observed, planned, caller=caller)
        related = await self._with_relations(observed, new, planned, caller=caller)
        again = related is not observed or any(observed.dependents.values())
        return (plan(old, new, related) if again else planned), related

    async def _with_relations(self, observed: Observed, new: Generation, planned: Plan, *, caller: int) -> Observed:
        """Return ``observed`` with the units that PID 1 starts and stops because of a plan, and what relates them.

        It is the same value if there are none.
        """
        placed = await asyncio.to_thread(placed_units, new) if planned.jobs or planned.stops else {}
        units, relations = dict(observed.units), dict[str, dict[str, tuple[str, ...]]]()
        starts = {job.unit for job in planned.jobs if job.verb is not Verb.RELOAD}
        stops = {job.unit for job in (*planned.stops, *planned.jobs) if job.verb in (Verb.STOP, Verb.RESTART)}
        seen: set[str] = set()
        conflicting: set[str] = set()
        while more := (starts | stops) - seen:
            loaded = sorted(name for name in more if units[name].load_state == "loaded")
            keys = [self._keys(name, starts, stops, placed, observed) for name in loaded]
            answers = await pipelined(
                (self._systemd.relations(name, of) for name, of in zip(loaded, keys, strict=True)), AT_ONCE
            )
            relations |= {name: told for name, told in zip(loaded, answers, strict=True) if told}
            look_at = Dependencies(placed, replace(observed, units=units, relations=relations))
            pulled = {other for name in more & starts for other in look_at.starts(name)}
            ended = {other for name in more & starts for other in look_at.conflicts(name)}
            conflicting |= ended
            ended |= {other for name in more & stops for other in look_at.stops(name)}
            units |= await self._systemd.list_units((pulled | ended) - units.keys())
            seen |= more
            starts |= {name for name in pulled if units[name].load_state == "loaded" and not units[name].running}
            stops |= {name for name in ended if units[name].running}
        if not relations and seen <= {job.unit for job in (*planned.stops, *planned.jobs)}:
            return observed
        running = {name for name in conflicting if units[name].running}
        protected = await roles(self._systemd, running - observed.protected.keys(), self._root, caller=caller)
        only_stops = any("PropagatesStopTo" in told for told in relations.values())
        return replace(
            observed,
            units=units,
            relations=relations,
            protected={**observed.protected, **protected},
            restart_stops=only_stops and await self._systemd.version() > LAST_SPARING_VERSION,
        )

    async def _with_dependents(self, observed: Observed, planned: Plan, *, caller: int) -> Observed:
        """Return ``observed`` with all running units that PID 1 stops or restarts together with those of a plan."""
        systemd, units = self._systemd, dict(observed.units)
        dependents: dict[str, tuple[str, ...]] = {}
        more = {job.unit for job in (*planned.stops, *planned.jobs) if job.verb in (Verb.STOP, Verb.RESTART)}
        together: set[str] = set()
        while more:
            names = sorted(more)
            answers = await pipelined((systemd.dependents(name) for name in names), AT_ONCE)
            dependents |= zip(names, answers, strict=True)
            others = {other for others in answers for other in others}
            units |= await systemd.list_units(others - units.keys())
            together |= {other for other in others if units[other].running}
            more = together - dependents.keys()
        unknown = [name for name in together if not units[name].invocation_id]
        units |= await systemd.inspect(unknown, INVOCATION_ID | TIMEOUTS) if unknown else {}
        protected = await roles(systemd, together - observed.protected.keys(), self._root, caller=caller)
        return replace(observed, units=units, dependents=dependents, protected={**observed.protected, **protected})

    @staticmethod
    def _keys(
        name: str,
        starts: Collection[str],
        stops: Collection[str],
        placed: Mapping[str, PlacedUnit],
        observed: Observed,
    ) -> tuple[str, ...]:
        """Return the dependencies of a unit that neither the documents nor an earlier answer of PID 1 tell."""
        ours = name in placed and placed[name].fragment
        starting = ("ConflictedBy",) if ours else (*CONFLICTS, *PULLS_IN)
        stopping = ("PropagatesStopTo",) if name in observed.dependents else STOPS_WITH
        return (*(starting if name in starts else ()), *(stopping if name in stops else ()))

    async def _for_plan(self, old: Generation, new: Generation, *, caller: int) -> Observed:
        """Return what a plan from ``old`` to ``new`` needs, except ``dependents``. Raises `UnreadableHolds`."""
        changes = diff(old, new)
        was, will = await asyncio.to_thread(lambda: (self.with_kept_out(old), self.with_kept_out(new)))
        states = await look(
            self._systemd, units_to_observe(was, will, changes), closely={change.unit for change in changes}
        )
        observed = replace(
            states,
            kept_out=was.members[len(old.members) :],
            keeps_out=will.members[len(new.members) :],
            hidden=hiding_files(self._root, new),
        )
        observed = await self.with_obstacles(observed, will, changes, caller=caller)
        if same_generation(old, new):
            observed, _ = await self.with_differences(observed, new)
            # The record of a file that could not be placed is the one of before, so `read_back` sees no difference.
            reported = read_reports(self._root, "problems")
            unplaced = dict.fromkeys(unplaced_files(new, reported), ())
            observed = replace(
                observed, displaced=unplaced | dict(observed.displaced), left_over=left_over(new, reported)
            )
        elif placed_again := unchanged_files(old, new):
            differences = await self.read_back.file_differences(old, observed)
            observed = _with_waits(observed, tuple(d for d in differences if d.path in placed_again))
        return observed

    async def with_differences(
        self, observed: Observed, generation: Generation
    ) -> tuple[Observed, tuple[Difference, ...]]:
        """Return ``observed`` with the values that somebody else has changed, and these differences."""
        futile = read_futile_corrections(self._root)
        differences = tuple(
            _without_futile(difference, futile) for difference in await self.read_back.differences(generation, observed)
        )
        return _with_waits(observed, differences), differences

    async def with_obstacles(
        self, observed: Observed, new: Generation, changes: Collection[Change] = (), *, caller: int
    ) -> Observed:
        """Return ``observed`` with everything that forbids a job: holds, protected units, a lost source.

        It also has the changes that running processes did not get yet. Raises `UnreadableHolds`.
        """
        applied = self._store.read_applied()
        behind = [unit for unit, was in applied.units.items() if was.waits] if applied else []
        states = await self._systemd.inspect(behind, INVOCATION_ID)
        waiting = pending_changes(applied, {name: s.invocation_id for name, s in states.items() if s.running})
        for unit, stale in (await look_for_stale(self._systemd, self._root, new)).items():
            waiting[unit] = (*waiting.get(unit, ()), *stale)
        outdated = await outdated_processes(self._systemd, self._root, new)
        waiting = {**await look_for_unseen(self._systemd, self._root, new), **waiting}
        changed = {c.unit for c in changes if c.effect in (Effect.RELOAD, Effect.RESTART)}
        changed |= {m.unit for m in new.members if m.wanted in (Wanted.STOPPED, Wanted.MASKED) or not m.item}
        started = {m.starts for m in new.members if m.unit in changed}
        candidates = (changed | started | waiting.keys() | outdated.keys()) & observed.units.keys()
        return replace(
            observed,
            waits=waiting,
            outdated=outdated,
            holds=read_holds(self._root),
            lost=frozenset(read_source_loss(self._root).stopped),
            protected=await roles(self._systemd, candidates, self._root, caller=caller),
        )

    def with_kept_out(self, generation: Generation) -> Generation:
        """Return ``generation`` with a member for every unit that exclusive boot keeps out now."""
        return self._kept_out.completed(generation)

    async def with_removed_units(self, new: Generation, last: Generation, *, caller: int) -> Generation:
        """Return ``new`` with those removed units of ``last`` that stay until they stop by themselves.

        They run, and the documents let them (``on-remove: keep``), or nobody may stop them (`generation.keep_running`).
        """
        wanted = {member.unit for member in new.members}
        removed = {member.unit: member for member in last.members if member.unit not in wanted}
        held = holds_with_starters(read_holds(self._root), last.members).keys() & removed.keys()
        untouchable = held | (await roles(self._systemd, removed, self._root, caller=caller)).keys()
        may_stay = untouchable | {unit for unit, member in removed.items() if member.on_remove is OnRemove.KEEP}
        if not may_stay:
            return new
        states = await self._systemd.list_units(may_stay)
        running = {unit for unit, state in states.items() if state.running}
        return keep_running(new, last, running, untouchable)
