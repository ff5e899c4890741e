"""What runs after an apply, each process with the definition it has, is written down; effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ordain.agent.diff import contents
from ordain.agent.generation import is_template
from ordain.agent.lag import Applied, record
from ordain.agent.model import Generation, Plan, Verdict
from ordain.agent.store import Store
from ordain.agent.systemd1 import Systemd
from ordain.agent.view import RUNNING

INVOCATION = frozenset({"invocation_id"})


async def write_down(
    systemd: Systemd,
    store: Store,
    new: Generation,
    steps: Plan,
    reloaded: Mapping[str, str],
    verdicts: Sequence[Verdict],
) -> None:
    """Record ``new`` as applied by ``steps``; ``reloaded``: the processes there were at the reload (`lag.record`)."""
    placed = contents(new)
    names = {member.unit for member in new.members} | placed.keys()
    states = await systemd.inspect((name for name in names if not is_template(name)), INVOCATION)
    well = {verdict.unit for verdict in verdicts if verdict.ok}
    units = record(
        store.read_applied(),
        steps,
        hashes={name: content.hash for name, content in placed.items()},
        reloaded=reloaded,
        running={name: state.invocation_id for name, state in states.items() if state.active_state in RUNNING},
        done=[job for job in steps.jobs if job.unit in well],
    )
    store.write_applied(Applied(number=new.number, hash=new.hash, units=units))
