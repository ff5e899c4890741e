"""Jobs for mounts and automounts that change while they may be in use; a part of `planner`.

A mount that has to restart is stopped and started by two jobs, so that the plan knows that the units that need it stop
too, and starts them again. PID 1 does not start an automount over a mount, and unmounts it when the automount stops
(src/core/automount.c).
"""

from __future__ import annotations

from collections.abc import Mapping

from ordain.agent.model import Job, Verb
from ordain.agent.plan.diff import PlacedUnit
from ordain.agent.plan.unit_view import UnitView

MOUNT, AUTOMOUNT = ".mount", ".automount"


def split_restarts(views: Mapping[str, UnitView], stops: dict[str, Job], jobs: dict[str, Job]) -> None:
    """Replace each restart of a mount by a stop and a start, and add both where an automount changes over a mount."""
    for unit, job in list(jobs.items()):
        if job.verb is Verb.RESTART and unit.endswith((MOUNT, AUTOMOUNT)):
            stops[unit] = views[unit].job(Verb.STOP, job.reason)
            jobs[unit] = views[unit].job(Verb.START, job.reason)
    for unit in sorted(stops.keys() | jobs.keys()):
        member = views[unit].new or views[unit].old
        mount = views.get(member.starts) if member and unit.endswith(AUTOMOUNT) else None
        if mount is None or not mount.running or mount.unit in stops or mount.hold or mount.spared:
            continue
        stops[mount.unit] = mount.job(Verb.STOP, f"{unit} can change only while this is not mounted")
        if mount.new is not None:
            jobs[mount.unit] = mount.job(Verb.START, f"was mounted before {unit} changed")


def needs_mount(content: PlacedUnit, mount: str, views: Mapping[str, UnitView]) -> bool:
    """Return whether a unit needs ``mount`` for one of its paths (systemd.exec(5), Implicit Dependencies)."""
    if not mount.endswith(MOUNT):
        return False
    mount_points = {views[mount].before.last("Mount", "Where"), views[mount].after.last("Mount", "Where")} - {""}
    paths = content.words("Unit", "RequiresMountsFor") | content.words("Service", "WorkingDirectory", "RootDirectory")
    return any(path == where or path.startswith(f"{where}/") for path in paths for where in mount_points)
