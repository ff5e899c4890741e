"""What runs after an apply, each process with the definition it has, is written down; effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ordain.agent.model import Applied, Generation, Plan, Verdict
from ordain.agent.plan.diff import contents
from ordain.agent.plan.stale_processes import record, touched
from ordain.agent.state.store import Store
from ordain.agent.system.systemd1 import INVOCATION_ID, Systemd
from ordain.transforms.systemd.unit_name import is_template


async def write_down(
    systemd: Systemd,
    store: Store,
    new: Generation,
    steps: Plan,
    reloaded: Mapping[str, str],
    verdicts: Sequence[Verdict],
) -> None:
    """Record ``new`` as applied by ``steps``; ``reloaded``: the processes there were at the reload
    (`stale_processes.record`)."""
    before = store.read_applied()
    known = before.units if before else {}
    placed = contents(new)
    names = {name for name in {member.unit for member in new.members} | placed.keys() if not is_template(name)}
    states = await systemd.list_units(names)
    running = {name for name, state in states.items() if state.running}
    # Of the others there is nothing new to say; if someone gave them another process, it has all of its definition.
    fresh = touched(steps) | {change.unit for change in steps.changes} | names - known.keys()
    asked = await systemd.inspect(running & fresh, INVOCATION_ID)
    well = {verdict.unit for verdict in verdicts if verdict.ok}
    units = record(
        before,
        steps,
        hashes={name: placed[name].hash if name in fresh else known[name].hash for name in names & placed.keys()},
        reloaded=reloaded,
        running={name: asked[name].invocation_id if name in asked else known[name].invocation_id for name in running},
        done=[job for job in steps.jobs if job.unit in well],
    )
    store.write_applied(Applied(number=new.number, hash=new.hash, units=units))
