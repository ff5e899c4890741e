"""Members that another generator has made from a file that has changed since: PID 1 has the definition of before.

    Generation, PID 1, /run/systemd/generator ──unread_sources──▶ StatusCondition

PID 1 compares the time of the file with that at which it loaded the unit (NeedDaemonReload=), which at boot is after
`ordain-files.service` has replaced a file that the generator has read before. So the times of both files count, too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from ordain.agent.condition import StatusCondition
from ordain.agent.model import Generation
from ordain.agent.system.dbus.bus import BusError
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.generated_units import DIRECTORIES, is_ours
from ordain.transforms.systemd.unit_file import parse
from ordain.transforms.systemd.unit_name import template_of


async def unread_sources(systemd: Systemd, root: Path, generation: Generation) -> AsyncIterator[StatusCondition]:
    """Yield a condition for each member whose generator has to run again.

    It is a fault if the documents have changed the file: then the machine is not as they want it.
    """
    placed = {artifact.path for artifact in generation.artifacts}
    for member in generation.members:
        file = None if member.ours else _generated_file(root, member.unit)
        source = _source(file) if file else ""
        if file is None or not source:
            continue
        try:
            unread = _is_older(file, root, source) or await systemd.unread(member.unit, ())
        except BusError:  # PID 1 has no such unit
            continue
        if unread:
            yield StatusCondition(
                code="ReloadNeeded",
                what=f"{member.unit}: {source} has changed since a generator made the unit from it",
                hint=f"run `systemctl daemon-reload`, then `systemctl restart {member.unit}`",
                item=member.item,
                fault=source in placed,
            )


def _generated_file(root: Path, unit: str) -> Path | None:
    """Return the file of ``unit`` or of its template that another generator has made, None if there is none."""
    names = [name for name in (unit, template_of(unit)) if name]
    files = (root / directory / name for directory in DIRECTORIES for name in names)
    return next((file for file in files if file.is_file() and not is_ours(str(file))), None)


def _source(file: Path) -> str:
    """Return the file that a unit was made from (SourcePath=), ``""`` if it names none."""
    try:
        text = rootfs.read_resolved(file).decode("utf-8", "replace")
    except OSError:  # a reload of PID 1 has begun
        return ""
    sources = [value for section, key, value in parse(text) if (section, key) == ("Unit", "SourcePath")]
    return sources[-1] if sources else ""


def _is_older(file: Path, root: Path, source: str) -> bool:
    try:
        return file.stat().st_mtime_ns < rootfs.chase(root, source).stat().st_mtime_ns
    except OSError:  # the file is gone: PID 1 says so
        return False
