"""The machine compared with a generation. The status and the outcome of an apply are both made from it, so they agree.

Generation, PID 1, files below the root ──compare──▶ MachineComparison: statuses of units, conditions
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.apply.deviations.administrator_overrides import administrator_files, hiding_files, overridden_values
from ordain.agent.apply.deviations.unread_sources import unread_sources
from ordain.agent.apply.differences.difference import Difference
from ordain.agent.apply.observe import Observer, look
from ordain.agent.apply.place_files import placement_conditions
from ordain.agent.condition import StatusCondition
from ordain.agent.model import Generation, Observed, Plan
from ordain.agent.plan.unit_status import differences, in_progress, outdated, unit_statuses
from ordain.agent.state.holds import UnreadableHolds
from ordain.agent.status import UnitStatus
from ordain.agent.system.systemd.systemd1 import Systemd


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineComparison:
    """The machine as ``observed``, the status of each member of a generation, and a condition for each difference."""

    observed: Observed
    units: tuple[UnitStatus, ...]
    conditions: tuple[StatusCondition, ...]

    @property
    def faults(self) -> tuple[StatusCondition, ...]:
        """The conditions because of which the machine is not as the documents want it."""
        return tuple(condition for condition in self.conditions if condition.fault)


async def compare(
    generation: Generation,
    *,
    systemd: Systemd,
    root: Path,
    observer: Observer,
    caller: int = 0,
    under_way: Plan | None = None,
) -> MachineComparison:
    """Compare the machine below ``root`` with ``generation``. ``caller`` is the process that asks, 0 if nobody does.

    There is no condition for what the plan of an apply ``under_way`` is about to change.
    """
    generation = await asyncio.to_thread(observer.with_kept_out, generation)
    names = [member.unit for member in generation.members]
    observed = await look(systemd, names)
    ended = [
        state.name
        for state in observed.units.values()
        if state.name.endswith(".service") and state.active_state == "inactive" and state.invocation_id
    ]
    oneshots = [name for name in ended if await _is_done(systemd, name)]
    observed = replace(observed, hidden=hiding_files(root, generation))
    observed, obstacles = await _with_obstacles(observer, observed, generation, caller)
    observed, changed_values = await observer.with_differences(observed, generation)
    edited = administrator_files(root, names)
    unread = {unit for unit, paths in edited.items() if await systemd.unread(unit, paths)}
    units = unit_statuses(generation, observed, oneshots, edited, unread)
    if under_way:
        units = in_progress(units, under_way.jobs)
        changed_values = tuple(value for value in changed_values if not _is_under_way(value, under_way))
    return MachineComparison(
        observed=observed,
        units=units,
        conditions=(
            *obstacles,
            *placement_conditions(generation, root),
            *(difference.condition for difference in changed_values),
            *differences(units),
            *outdated(units),
            *overridden_values(root, generation, edited, unread),
            *[condition async for condition in unread_sources(systemd, root, generation)],
            *await observer.packages.conditions(generation),
        ),
    )


def _is_under_way(difference: Difference, plan: Plan) -> bool:
    """Return whether a job, or a file to be placed, of ``plan`` corrects ``difference``."""
    units = {change.unit for change in difference.changes}
    paths = {file.path for file in plan.files}
    return difference.path in paths or (bool(units) and units <= {job.unit for job in plan.jobs})


async def _with_obstacles(
    observer: Observer, observed: Observed, generation: Generation, caller: int
) -> tuple[Observed, tuple[StatusCondition, ...]]:
    try:
        return await observer.with_obstacles(observed, generation, caller=caller), ()
    except UnreadableHolds as failure:
        return observed, (StatusCondition(code="BadHolds", what=str(failure), fault=True),)


async def _is_done(systemd: Systemd, unit: str) -> bool:
    """Return whether a service that has ended is a oneshot; one that remains active was stopped by somebody."""
    return await systemd.property(unit, "Type") == "oneshot" and not await systemd.property(unit, "RemainAfterExit")
