"""Processes that still run with a drop-in of an administrator that PID 1 has forgotten since (`systemctl revert`).

    drop-ins, InvocationIDs, the last reload ──next_record──▶ OverriddenProcess ──stale_changes──▶ Change, by unit

PID 1 keeps only the current definition of a unit. So whoever looks at the machine writes down which drop-ins PID 1 has
read. A process that is younger than the last reload has them; an older one has those of the look before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.apply.deviations.administrator_overrides import administrator_files, drop_in_texts, with_drop_ins
from ordain.agent.model import Change, Effect, Generation
from ordain.agent.plan.changes.causes import directive_causes
from ordain.agent.plan.changes.diff import PlacedUnit, placed_units
from ordain.agent.plan.changes.directive_effects import effect
from ordain.agent.state.override_record import (
    OverriddenProcess,
    Texts,
    read_override_record,
    write_override_record,
)
from ordain.agent.system.dbus.bus import BusError
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.systemd.unit_file import parse

_FIELDS = frozenset({"invocation_id", "drop_in_paths"})
SERVICE = ".service"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLook:
    """A service as PID 1 and the directories of an administrator show it at one moment.

    ``invocation_id`` is ``""`` if it does not run. ``fresh``: it was started after the last reload of PID 1.
    ``drop_ins`` are the files of now; ``unread``: PID 1 has not read them yet.
    """

    invocation_id: str
    fresh: bool
    drop_ins: Texts
    unread: bool = False


async def look_for_stale(systemd: Systemd, root: Path, generation: Generation) -> Mapping[str, tuple[Change, ...]]:
    """Return by unit the values that processes do not have yet, because a drop-in is gone; keep the record up to date.

    It costs nothing while no service has a drop-in of an administrator, and none had one at the last look.
    """
    services = [member.unit for member in generation.members if member.unit.endswith(SERVICE)]
    files = administrator_files(root, services)
    before = read_override_record(root)
    looks = {
        unit: await _look(systemd, root, unit, files.get(unit, ()), before.get(unit, OverriddenProcess()))
        for unit in services
        if unit in files or unit in before
    }
    known = {unit: next_record(before.get(unit, OverriddenProcess()), look) for unit, look in looks.items()}
    record = {unit: process for unit, process in known.items() if process.read or process.started}
    if record != before:
        with contextlib.suppress(OSError):  # a full /run is reported elsewhere
            write_override_record(root, record)
    stale = {unit: process for unit, process in record.items() if process.started and process.started != process.read}
    placed = placed_units(generation) if stale else {}
    changes = {
        unit: tuple(stale_changes(unit, placed[unit], process)) for unit, process in stale.items() if unit in placed
    }
    return {unit: own for unit, own in changes.items() if own}


async def _look(
    systemd: Systemd, root: Path, unit: str, files: tuple[str, ...], before: OverriddenProcess
) -> ProcessLook:
    state = (await systemd.inspect([unit], _FIELDS))[unit]
    drop_ins = drop_in_texts(root, files)
    removed = before.read.keys() - drop_ins.keys()
    unread = await systemd.unread(unit, files) or not removed.isdisjoint(state.drop_in_paths)
    fresh = False
    if state.running:
        with contextlib.suppress(BusError):  # before systemd 250
            _, read_usec = await systemd.units_read_usec()
            fresh = int(await systemd.property(unit, "ExecMainStartTimestampMonotonic")) > read_usec
    invocation = state.invocation_id if state.running else ""
    return ProcessLook(invocation_id=invocation, fresh=fresh, drop_ins=drop_ins, unread=unread)


def next_record(before: OverriddenProcess, look: ProcessLook) -> OverriddenProcess:
    """Return the record of one service after ``look``; ``before`` is that of the look before."""
    read = before.read if look.unread else look.drop_ins
    if not look.invocation_id:
        started: Texts = {}
    elif look.invocation_id == before.invocation_id:
        started = before.started
    else:
        started = read if look.fresh else before.read
    return OverriddenProcess(invocation_id=look.invocation_id, started=started, read=read)


def stale_changes(unit: str, ours: PlacedUnit, process: OverriddenProcess) -> Iterator[Change]:
    """Yield the values that the process has from a drop-in of before, where PID 1 has those of the documents again.

    Of a unit of others, these are only the values that the documents set.
    """
    then, now = (with_drop_ins(ours, texts).values for texts in (process.started, process.read))
    keys = {(section, key) for text in process.started.values() for section, key, _ in parse(text)}
    for section, key in sorted(keys):
        place = section, key
        if not ours.fragment and place not in ours.values:
            continue
        was, wanted = then.get(place, ()), ours.values.get(place, ())
        if was == wanted or now.get(place, ()) != wanted or effect(section, key, was, wanted) is not Effect.RESTART:
            continue
        artifact, causes = directive_causes(ours.files, section, key)
        yield Change(unit=unit, section=section, key=key, old=was, new=wanted, artifact=artifact, causes=causes)
