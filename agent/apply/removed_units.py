"""Units that are removed from the documents and run on, until they stop by themselves; effect: asks PID 1."""

from __future__ import annotations

from pathlib import Path

from ordain.agent.apply.protected_units import roles
from ordain.agent.generation import keep_running, with_starters
from ordain.agent.model import Generation
from ordain.agent.state.holds import read_holds
from ordain.agent.system.systemd1 import Systemd
from ordain.transforms.model import OnRemove


async def with_orphans(systemd: Systemd, new: Generation, last: Generation, root: Path) -> Generation:
    """``new`` with the units of ``last`` that run, and may, or that nobody may stop (`generation.keep_running`)."""
    there = {member.unit for member in new.members}
    gone = {member.unit: member for member in last.members if member.unit not in there}
    held = with_starters(read_holds(root), last.members).keys() & gone.keys()
    untouchable = held | (await roles(systemd, gone, root)).keys()
    may_stay = untouchable | {unit for unit, member in gone.items() if member.on_remove is OnRemove.KEEP}
    if not may_stay:
        return new
    states = await systemd.list_units(may_stay)
    running = {unit for unit, state in states.items() if state.running}
    return keep_running(new, last, running, untouchable)
