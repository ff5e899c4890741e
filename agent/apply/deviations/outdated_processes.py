"""Units that run on with the unit file of before, which somebody else has changed since they were started.

    unit files of others, InvocationIDs, the last reload ──next_record──▶ OverriddenProcess ──▶ Change, by unit

These are units that the documents name and do not define: made by another generator from a quadlet or from fstab,
copied to /etc, or brought by a package. `systemctl daemon-reload` makes PID 1 read the new file, and tells nobody that
the process is older (NeedDaemonReload= is ``no`` then). So whoever looks at the machine writes down the unit files.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from ordain.agent.apply.deviations.stale_overrides import SERVICE, ProcessLook, next_record
from ordain.agent.model import Change, Effect, Generation
from ordain.agent.plan.changes.diff import PlacedUnit
from ordain.agent.plan.changes.directive_effects import effect
from ordain.agent.state.override_record import (
    UNIT_FILES,
    OverriddenProcess,
    Texts,
    read_override_record,
    write_override_record,
)
from ordain.agent.system.dbus.bus import BusError
from ordain.agent.system.systemd.systemd1 import INVOCATION_ID, Systemd
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.generated_units import is_ours
from ordain.transforms.machine.installed_units import DIRECTORIES_NOW
from ordain.transforms.systemd.unit_file import parse
from ordain.transforms.systemd.unit_name import template_of

_FIELDS = INVOCATION_ID | {"fragment_path"}


async def outdated_processes(systemd: Systemd, root: Path, generation: Generation) -> Mapping[str, tuple[Change, ...]]:
    """Return by unit the changes of its unit file that its process does not have; keep the record up to date.

    It asks PID 1 only about units whose unit file has changed since the last look.
    """
    others = [member.unit for member in generation.members if not member.ours]
    texts = _unit_files(root, others)
    before = read_override_record(root, UNIT_FILES)
    record = {}
    for unit, text in texts.items():
        # The process of a unit that nobody has looked at before counts as started with the file of now.
        known = before.get(unit, OverriddenProcess(read=text))
        same = text == known.read and known.started in ({}, known.read)
        record[unit] = known if same else next_record(known, await _look(systemd, root, unit, text, known))
    if record != before:
        with contextlib.suppress(OSError):  # a full /run is reported elsewhere
            write_override_record(root, record, UNIT_FILES)
    changes = {
        unit: tuple(_changes(unit, process))
        for unit, process in record.items()
        if process.invocation_id and process.started != process.read
    }
    return {unit: own for unit, own in changes.items() if own}


def _unit_files(root: Path, units: list[str]) -> Mapping[str, Texts]:
    """Return for each unit the file that PID 1 reads; units whose file is ours, empty or missing are left out."""
    names = {directory: frozenset(rootfs.names(root, directory)) for directory in DIRECTORIES_NOW} if units else {}
    texts = {}
    for unit in units:
        # A unit's own name comes before that of its template in all directories (systemd.unit(5)).
        places = (f"{d}/{name}" for name in (unit, template_of(unit)) for d in DIRECTORIES_NOW if name in names[d])
        path = next(places, "")
        with contextlib.suppress(OSError):  # a link to /dev/null, or a file that is being replaced
            if path and not is_ours(os.fspath(root / path)) and (data := rootfs.read(root, path)):
                texts[unit] = {f"/{path}": data.decode("utf-8", "replace")}
    return texts


async def _look(systemd: Systemd, root: Path, unit: str, text: Texts, before: OverriddenProcess) -> ProcessLook:
    state = (await systemd.inspect([unit], _FIELDS))[unit]
    if not state.running:
        return ProcessLook(invocation_id="", fresh=False, drop_ins=text)
    fresh, since = False, "ExecMainStartTimestamp" if unit.endswith(SERVICE) else "InactiveExitTimestamp"
    with contextlib.suppress(BusError):  # before systemd 250
        started_usec = int(await systemd.property(unit, since))
        read_usec, _ = await systemd.units_read_usec()
        # A reload for another reason may have come after the start with the new file.
        fresh = started_usec > min(read_usec, _changed_usec(root, text, before.read))
    ((path, _),) = text.items()  # PID 1 says /lib where the directories are merged, and we /usr/lib
    other = rootfs.chase(root, path) != rootfs.chase(root, state.fragment_path)
    unread = other or await systemd.unread(unit, ())
    return ProcessLook(invocation_id=state.invocation_id, fresh=fresh, drop_ins=text, unread=unread)


def _changed_usec(root: Path, now: Texts, before: Texts) -> int:
    """Return the time of the last change of a unit file, or of the file that it was made from (SourcePath=).

    If another file was read ``before``, that has appeared or gone since: the time is that of its directory.
    """
    ((path, text),) = now.items()
    sources = [value for section, key, value in parse(text) if (section, key) == ("Unit", "SourcePath")]
    others = [other.rpartition("/")[0] for other in sorted({*before, path})] if set(before) != {path} else []
    try:
        times = [rootfs.chase(root, place).stat().st_ctime_ns for place in ((sources or [path])[-1], *others)]
    except OSError:  # it is gone
        return 1 << 62
    return max(times) // 1000


def _changes(unit: str, process: OverriddenProcess) -> Iterator[Change]:
    was, now = (
        PlacedUnit(fragment="other", files=tuple(texts.items())).values for texts in (process.started, process.read)
    )
    path = next(iter(process.read), "")
    for section, key in sorted(was.keys() | now.keys()):
        old, new = was.get((section, key), ()), now.get((section, key), ())
        needs = effect(section, key, old, new) if old != new else Effect.NOTHING
        if needs in (Effect.RELOAD, Effect.RESTART):
            yield Change(unit=unit, section=section, key=key, old=old, new=new, effect=needs, artifact=path)
