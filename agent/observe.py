"""The running machine, as far as a plan or a status looks at it."""

from __future__ import annotations

from collections.abc import Iterable

from ordain.agent.diff import diff
from ordain.agent.model import Generation, Observed
from ordain.agent.plan import RUNNING, units
from ordain.agent.systemd1 import Systemd


async def observe(systemd: Systemd, old: Generation, new: Generation) -> Observed:
    """What `plan.plan` looks at, for ``old`` → ``new``.

    One call tells the states of all units; the rest of what there is to know is asked only of those that
    change or do not run, since every property costs a quarter of a millisecond.
    """
    return await look(systemd, units(old, new), closely={change.unit for change in diff(old, new)})


async def look(systemd: Systemd, names: Iterable[str], *, closely: Iterable[str] = ()) -> Observed:
    """Units by name; in full those that do not run and those in ``closely``."""
    found = await systemd.list_units(names)
    chosen = {name for name, state in found.items() if state.active_state not in RUNNING}
    chosen |= found.keys() & set(closely)
    return Observed(units=found | await systemd.inspect(chosen))
