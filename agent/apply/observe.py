"""The running machine, as far as a plan or a status looks at it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from ordain.agent.apply.protected_units import roles
from ordain.agent.model import Applied, Change, Effect, Generation, Observed
from ordain.agent.plan.planner import units
from ordain.agent.plan.stale_processes import waits
from ordain.agent.state.holds import read_holds
from ordain.agent.state.source_loss_record import read_loss
from ordain.agent.system.systemd1 import INVOCATION_ID, Systemd
from ordain.transforms.model import Wanted


async def observe(systemd: Systemd, old: Generation, new: Generation, changes: Collection[Change]) -> Observed:
    """What `plan.plan` looks at, for ``old`` → ``new``, whose `diff` is ``changes``.

    One call tells the states of all units; the rest of what there is to know is asked only of those that
    change or do not run, since every property costs a quarter of a millisecond.
    """
    return await look(systemd, units(old, new, changes), closely={change.unit for change in changes})


async def look(systemd: Systemd, names: Iterable[str], *, closely: Iterable[str] = ()) -> Observed:
    """Units by name; in full those that do not run and those in ``closely``."""
    found = await systemd.list_units(names)
    chosen = {name for name, state in found.items() if not state.running}
    chosen |= found.keys() & set(closely)
    return Observed(units=found | await systemd.inspect(chosen))


async def weigh(
    systemd: Systemd,
    observed: Observed,
    *,
    new: Generation,
    changes: Collection[Change],
    root: Path,
    applied: Applied | None,
) -> Observed:
    """``observed`` with what stands against touching its units. Raises `Failure` for holds that cannot be read."""
    behind = [unit for unit, was in applied.units.items() if was.waits] if applied else []
    states = await systemd.inspect(behind, INVOCATION_ID)
    waiting = waits(applied, {name: s.invocation_id for name, s in states.items() if s.running})
    changed = {c.unit for c in changes if c.effect in (Effect.RELOAD, Effect.RESTART)}
    changed |= {m.unit for m in new.members if m.wanted in (Wanted.STOPPED, Wanted.MASKED) or not m.item}
    started = {m.starts for m in new.members if m.unit in changed}
    return replace(
        observed,
        waits=waiting,
        holds=read_holds(root),
        lost=frozenset(read_loss(root).stopped),
        protected=await roles(systemd, (changed | started | waiting.keys()) & observed.units.keys(), root),
    )
