"""Mounts and automounts that change while someone may be on them; pure. A part of `plan`.

A mount whose source changes goes and comes as two jobs, so that those who need it are known to stop, and are waited for
when they start again. PID 1 starts no automount over what is mounted, and takes along what is mounted when one stops
(src/core/automount.c).
"""

from __future__ import annotations

from collections.abc import Mapping

from ordain.agent.model import Job, Verb
from ordain.agent.plan.diff import PlacedUnit
from ordain.agent.plan.unit_view import UnitView

MOUNT, AUTOMOUNT = ".mount", ".automount"


def split_restarts(views: Mapping[str, UnitView], stops: dict[str, Job], jobs: dict[str, Job]) -> None:
    """Make a stop and a start of every restart of a mount, and of mounts whose automount comes, goes or restarts."""
    for unit, job in list(jobs.items()):
        if job.verb is Verb.RESTART and unit.endswith((MOUNT, AUTOMOUNT)):
            stops[unit] = views[unit].job(Verb.STOP, job.reason)
            jobs[unit] = views[unit].job(Verb.START, job.reason)
    for unit in sorted(stops.keys() | jobs.keys()):
        member = views[unit].new or views[unit].old
        mount = views.get(member.starts) if member and unit.endswith(AUTOMOUNT) else None
        if mount is None or not mount.running or mount.unit in stops or mount.hold or mount.spared:
            continue
        stops[mount.unit] = mount.job(Verb.STOP, f"{unit} can change only while it is not mounted")
        if mount.new is not None:
            jobs[mount.unit] = mount.job(Verb.START, f"was mounted before {unit} changed")


def needs_mount(content: PlacedUnit, mount: str, views: Mapping[str, UnitView]) -> bool:
    """Whether a unit needs the unit ``mount``, by a path that lies on it (systemd.exec(5), Implicit Dependencies)."""
    if not mount.endswith(MOUNT):
        return False
    wheres = {views[mount].before.last("Mount", "Where"), views[mount].after.last("Mount", "Where")} - {""}
    paths = content.words("Unit", "RequiresMountsFor") | content.words("Service", "WorkingDirectory", "RootDirectory")
    return any(path == where or path.startswith(f"{where}/") for path in paths for where in wheres)
