"""Restarts that are a stop before the reload, and a start after it; a part of `planner`.

After the reload, PID 1 stops a unit with the commands of its new definition. A unit whose end depends on its definition
is stopped before, so that the old run ends by the old one (docs/design/contract.md, rule 17). That costs the time of
the reload, so other units restart with one job.
"""

from __future__ import annotations

from collections.abc import Mapping

from ordain.agent.model import Job, Verb
from ordain.agent.plan.mount_jobs import AUTOMOUNT, MOUNT
from ordain.agent.plan.propagation import Dependents
from ordain.agent.plan.unit_view import UnitView

COMMANDS = frozenset({"ExecStop", "ExecStopPost", "ExecStopPre"})
"""Commands that end a unit; they run with the environment, user and files of its definition (systemd.exec(5))."""
ENDING = COMMANDS | frozenset(
    """
    KillMode KillSignal RestartKillSignal FinalKillSignal SendSIGHUP SendSIGKILL
    TimeoutSec TimeoutStopSec TimeoutAbortSec TimeoutStopFailureMode
    """.split()
)
"""The directives that tell how a unit ends (systemd.service(5), systemd.socket(5), systemd.kill(5))."""


def split_restarts(
    views: Mapping[str, UnitView], stops: dict[str, Job], jobs: dict[str, Job], dependents: Dependents
) -> None:
    """Replace the restart of each mount, and of each unit that ends by its old definition, by a stop and a start.

    A mount is split because PID 1 cannot restart it: it only mounts and unmounts. A restart with which PID 1 would only
    stop other units is split because they are then started again.
    """
    for unit, job in list(jobs.items()):
        whole = not unit.endswith((MOUNT, AUTOMOUNT)) and not dependents.stopped_by_restart(unit)
        if job.verb is Verb.RESTART and (not whole or ends_by_definition(views[unit])):
            stops[unit] = views[unit].job(Verb.STOP, job.reason)
            jobs[unit] = views[unit].job(Verb.START, job.reason)


def ends_by_definition(view: UnitView) -> bool:
    """Return whether the end of a unit depends on what changes: its commands to stop, or the way it is killed."""
    if not view.running or not view.fresh:
        return False
    keys = {change.key for change in view.fresh if change.section not in ("", "Unit", "Install")}
    return not keys.isdisjoint(ENDING) or any(key in COMMANDS for _, key in view.before.values)
