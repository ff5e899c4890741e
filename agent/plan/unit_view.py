"""One unit between two generations and the running machine: what `plan` decides on; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ordain.agent.generation import holds_with_starters
from ordain.agent.model import Change, Effect, Generation, Hold, Job, Note, NoteReason, Observed, UnitState, Verb
from ordain.agent.plan.diff import PlacedUnit, compare_units, placed_units, same_generation
from ordain.agent.plan.stale_processes import merge_pending
from ordain.transforms.graph.essential_units import REPLACED
from ordain.transforms.model import Drift, Member, OnChange, Wanted
from ordain.transforms.systemd.unit_name import is_template

SESSION_ROLE = "what a session that asked for changes hangs on"
"""The role of what carries one who asked, as long as that session lasts."""


def units_to_observe(old: Generation, new: Generation, changes: Iterable[Change]) -> frozenset[str]:
    """The units to observe before planning: whatever `plan` may look at. ``changes`` is their `diff`."""
    named = {name for g in (old, new) for m in g.members for name in (m.unit, m.starts) if name}
    named |= {change.unit for change in changes}
    return frozenset(name for name in named if not is_template(name)) - {*REPLACED}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitView:
    """One unit: what was and is wanted and placed, and how it stands.

    ``touched``: it changed, or what it starts did. ``timed``: a timer starts it. ``unbound``: it loses its socket.
    ``fresh``: what differs between the generations; ``waiting``: its process lacks some of ``changes`` since an
    earlier apply. ``role``: why nobody expects it to be stopped, "" if one may. ``released``: what an admin, or the
    loss of the source, did to it no longer stands. ``lost``: it was stopped as the source is lost; ``overdue``: it is
    to be.
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

    @property
    def item(self) -> str:
        """The item of the documents, ``""`` for none."""
        member = self.new or self.old
        return member.item if member else ""

    @property
    def running(self) -> bool:
        """Whether it has, or is about to have, what its definition says."""
        return self.state.running

    @property
    def failed(self) -> bool:
        """Whether it has failed."""
        return self.state.active_state == "failed"

    @property
    def gone(self) -> bool:
        """Whether there is no such unit any more: it was ours, be it masked, or at least its unit file was."""
        if self.new is not None or not self.before.fragment or self.after.fragment:
            return False
        return not self.before.masked or (self.old is not None and self.old.ours)

    @property
    def masked_by_admin(self) -> bool:
        """Whether there is a mask that is not ours."""
        found = self.state.load_state == "masked" or self.state.unit_file_state.startswith("masked")
        return found and not self.before.masked

    @property
    def on_change(self) -> OnChange:
        """What the documents say is to become of it when it changes, or said while they spoke of it."""
        member = self.new or self.old
        return member.on_change if member else OnChange.AUTO

    @property
    def spared(self) -> bool:
        """Whether it is no more than reloaded: by its role, unless the documents say restart of this very unit."""
        return bool(self.role) and self.on_change in (OnChange.AUTO, OnChange.RELOAD)

    @property
    def enforced(self) -> bool:
        """Whether it is brought back to what is wanted, whoever did otherwise."""
        return self.released or (self.new is not None and self.new.drift is Drift.ENFORCE)

    @property
    def wanted(self) -> Wanted:
        """What the documents want of it."""
        return _wanted(self.new, self.after)

    @property
    def was_wanted(self) -> Wanted:
        """What they wanted before."""
        return _wanted(self.old, self.before)

    @property
    def kept(self) -> bool:
        """Whether the unit is in the new generation only because of `generation.keep_running`."""
        return self.new is not None and not self.new.item

    def needs(self, *effects: Effect) -> tuple[Change, ...]:
        """Its changes that need one of ``effects``."""
        return tuple(change for change in self.changes if change.effect in effects)

    def job(self, verb: Verb, reason: str) -> Job:
        """A job for it, with its changes as the cause."""
        return Job(unit=self.unit, verb=verb, reason=reason, item=self.item, changes=self.changes)

    def note(self, what: str, why: NoteReason = NoteReason.OTHER) -> Note:
        """A note that it is left alone."""
        return Note(unit=self.unit, what=what, item=self.item, why=why)


def _wanted(member: Member | None, content: PlacedUnit) -> Wanted:
    if content.masked:
        return Wanted.MASKED
    return member.wanted if member else Wanted.PRESENT


def unit_views(old: Generation, new: Generation, observed: Observed) -> Mapping[str, UnitView]:
    """Every unit that is a member of either generation or differs between them, by name; templates are none."""
    after = placed_units(new)
    before = after if same_generation(old, new) else placed_units(old)
    changes = {} if before is after else compare_units(before, after)
    was = {m.unit: m for m in (*old.members, *observed.kept_out)}
    members = {m.unit: m for m in (*new.members, *observed.keeps_out)}
    holds = holds_with_starters(observed.holds, (*was.values(), *members.values()))
    real = {unit for unit, found in changes.items() if any(c.effect is not Effect.NOTHING for c in found)}
    timed = {m.starts for m in members.values() if m.unit.endswith(".timer")}
    unbound = {m.starts for m in was.values() if m.unit.endswith(".socket") and m.unit not in members}
    return {
        unit: UnitView(
            unit=unit,
            old=was.get(unit),
            new=members.get(unit),
            before=before.get(unit, PlacedUnit()),
            after=after.get(unit, PlacedUnit()),
            changes=_all(observed.waits.get(unit, ()), changes.get(unit, ())),
            fresh=changes.get(unit, ()),
            state=observed.unit(unit),
            touched=unit in real or (unit in members and members[unit].starts in real),
            timed=unit in timed,
            unbound=unit in unbound,
            waiting=unit in observed.waits,
            hold=holds.get(unit),
            role=observed.protected.get(unit, ""),
            released=unit in observed.released,
            lost=unit in observed.lost,
            overdue=unit in observed.overdue,
        )
        for unit in sorted(was.keys() | members.keys() | changes.keys())
        if not is_template(unit) and unit not in REPLACED
    }


def _all(waiting: tuple[Change, ...], changes: tuple[Change, ...]) -> tuple[Change, ...]:
    """What a process lacks, and what comes now, as one."""
    if not waiting:
        return changes
    mild = (c for c in changes if c.effect not in (Effect.RELOAD, Effect.RESTART))
    return (*mild, *merge_pending(waiting, changes))
