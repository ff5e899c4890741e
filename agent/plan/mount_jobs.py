"""Jobs for mounts and automounts that change while they may be in use; a part of `planner`.

PID 1 does not start an automount over a mount, and unmounts it when the automount stops (src/core/automount.c).
"""

from __future__ import annotations

from collections.abc import Mapping

from ordain.agent.model import Job, Verb
from ordain.agent.plan.changes.diff import PlacedUnit
from ordain.agent.plan.unit_view import UnitView

MOUNT, AUTOMOUNT = ".mount", ".automount"


def unmount_below_automounts(views: Mapping[str, UnitView], stops: dict[str, Job], jobs: dict[str, Job]) -> None:
    """Add a stop and a start of each mount whose automount changes."""
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
    if not mount.endswith(MOUNT) or mount not in views:
        return False
    mount_points = {views[mount].before.last("Mount", "Where"), views[mount].after.last("Mount", "Where")} - {""}
    paths = content.words("Unit", "RequiresMountsFor") | content.words("Service", "WorkingDirectory", "RootDirectory")
    return any(path == where or path.startswith(f"{where}/") for path in paths for where in mount_points)
