"""One unit between two generations and the running machine: the value that `unit_decision` decides on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ordain.agent.generation import holds_with_starters
from ordain.agent.model import Change, Effect, Generation, Hold, Job, Note, NoteReason, Observed, UnitState, Verb
from ordain.agent.plan.changes.diff import PlacedUnit, compare_units, placed_units, same_generation
from ordain.agent.plan.stale_processes import merge_pending
from ordain.transforms.model import Drift, Member, OnChange, Wanted
from ordain.transforms.systemd.system_units import REPLACED_TARGETS
from ordain.transforms.systemd.unit_name import is_template

SESSION_ROLE = "the session that asked for changes"
"""The role of the units that the session of the caller depends on, for as long as that session lasts."""


def units_to_observe(old: Generation, new: Generation, changes: Iterable[Change]) -> frozenset[str]:
    """Return the units whose state `planner.plan` needs; ``changes`` is the `diff` of the two generations."""
    names = {name for g in (old, new) for m in g.members for name in (m.unit, m.starts) if name}
    names |= {change.unit for change in changes}
    return frozenset(name for name in names if not is_template(name)) - {*REPLACED_TARGETS}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitView:
    """One unit: its members and files in the old and the new generation, and its state.

    ``changes`` are all changes that its process does not have, ``fresh`` those of them between the two generations.
    ``waiting``: some of ``changes`` are from an earlier apply. ``touched``: the unit, or the unit that it starts, has
    fresh changes. ``timed``: a timer starts it. ``unbound``: its socket is removed.

    ``role`` is the reason why nobody expects the unit to be stopped, ``""`` if it may be stopped. ``released``: a
    manual stop or start, or a stop because of the lost source, no longer counts. ``lost``: the unit was stopped
    because the source is lost, ``overdue``: it has to be. ``hidden`` is the path of a unit file that replaces ours.
    ``outdated`` are changes of a unit file of somebody else since the unit was started.
    """

    unit: str
    old: Member | None
    new: Member | None
    before: PlacedUnit
    after: PlacedUnit
    changes: tuple[Change, ...]
    fresh: tuple[Change, ...]
    state: UnitState
    touched: bool
    timed: bool
    unbound: bool
    waiting: bool = False
    hold: Hold | None = None
    role: str = ""
    released: bool = False
    lost: bool = False
    overdue: bool = False
    hidden: str = ""
    outdated: tuple[Change, ...] = ()

    @property
    def item(self) -> str:
        """Return the item of the documents, ``""`` for none."""
        member = self.new or self.old
        return member.item if member else ""

    @property
    def running(self) -> bool:
        """Return whether the unit runs or is being started."""
        return self.state.running

    @property
    def failed(self) -> bool:
        """Return whether the unit has failed."""
        return self.state.active_state == "failed"

    @property
    def gone(self) -> bool:
        """Return whether the unit no longer exists: its unit file was ours, or it was ours and masked."""
        if self.new is not None or not self.before.fragment or self.after.fragment:
            return False
        return not self.before.masked or (self.old is not None and self.old.ours)

    @property
    def masked_by_administrator(self) -> bool:
        """Return whether the unit has a mask that is not ours."""
        masked = self.state.load_state == "masked" or self.state.unit_file_state.startswith("masked")
        return masked and not self.before.masked

    @property
    def on_change(self) -> OnChange:
        """Return the reaction to changes that the documents ask for, or asked for before the unit was removed."""
        member = self.new or self.old
        return member.on_change if member else OnChange.AUTO

    @property
    def spared(self) -> bool:
        """Return whether the unit is only ever reloaded: it has a role, and no ``on-change`` asks for a restart."""
        return bool(self.role) and self.on_change in (OnChange.AUTO, OnChange.RELOAD)

    @property
    def enforced(self) -> bool:
        """Return whether the wanted state is restored, whoever changed it."""
        return self.released or (self.new is not None and self.new.drift is Drift.ENFORCE)

    @property
    def wanted(self) -> Wanted:
        """Return the state that the new documents want."""
        return _wanted(self.new, self.after)

    @property
    def was_wanted(self) -> Wanted:
        """Return the state that the old documents wanted."""
        return _wanted(self.old, self.before)

    @property
    def kept(self) -> bool:
        """Return whether the unit is in the new generation only because of `generation.keep_running`."""
        return self.new is not None and not self.new.item

    def needs(self, *effects: Effect) -> tuple[Change, ...]:
        """Return the changes that need one of ``effects``."""
        return tuple(change for change in self.changes if change.effect in effects)

    def job(self, verb: Verb, reason: str) -> Job:
        """Return a job for the unit, with its changes as the cause."""
        return Job(unit=self.unit, verb=verb, reason=reason, item=self.item, changes=self.changes)

    def note(self, what: str, why: NoteReason = NoteReason.OTHER) -> Note:
        """Return a note that the unit is left alone."""
        return Note(unit=self.unit, what=what, item=self.item, why=why)


def _wanted(member: Member | None, content: PlacedUnit) -> Wanted:
    if content.masked:
        return Wanted.MASKED
    return member.wanted if member else Wanted.PRESENT


def unit_views(old: Generation, new: Generation, observed: Observed) -> Mapping[str, UnitView]:
    """Return the units that are members of either generation or differ between them, by name, without templates."""
    after = placed_units(new)
    before = after if same_generation(old, new) else placed_units(old)
    changes = {} if before is after else compare_units(before, after)
    old_members = {m.unit: m for m in (*old.members, *observed.kept_out)}
    members = {m.unit: m for m in (*new.members, *observed.keeps_out)}
    holds = holds_with_starters(observed.holds, (*old_members.values(), *members.values()))
    effective = {unit for unit, own in changes.items() if any(c.effect is not Effect.NOTHING for c in own)}
    timed = {m.starts for m in members.values() if m.unit.endswith(".timer")}
    unbound = {m.starts for m in old_members.values() if m.unit.endswith(".socket") and m.unit not in members}
    return {
        unit: UnitView(
            unit=unit,
            old=old_members.get(unit),
            new=members.get(unit),
            before=before.get(unit, PlacedUnit()),
            after=after.get(unit, PlacedUnit()),
            changes=_all_changes(observed.waits.get(unit, ()), changes.get(unit, ())),
            fresh=changes.get(unit, ()),
            state=observed.unit(unit),
            touched=unit in effective or (unit in members and members[unit].starts in effective),
            timed=unit in timed,
            unbound=unit in unbound,
            waiting=unit in observed.waits,
            hold=holds.get(unit),
            role=observed.protected.get(unit, ""),
            released=unit in observed.released,
            lost=unit in observed.lost,
            overdue=unit in observed.overdue,
            hidden=observed.hidden.get(unit, ""),
            outdated=observed.outdated.get(unit, ()),
        )
        for unit in sorted(old_members.keys() | members.keys() | changes.keys())
        if not is_template(unit) and unit not in REPLACED_TARGETS
    }


def _all_changes(waiting: tuple[Change, ...], changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return all changes that a process does not have: those from earlier applies, and those of this one."""
    if not waiting:
        return changes
    mild = (c for c in changes if c.effect not in (Effect.RELOAD, Effect.RESTART))
    return (*mild, *merge_pending(waiting, changes))
