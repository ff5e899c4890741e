"""Processes of which no look has seen the definition that they were started with: their command line is asked instead.

    start of a process, reload of PID 1, looks ──look_for_unseen──▶ Change, by unit

`apply.deviations.stale_overrides` writes down the drop-ins at each look. Whoever edits a unit, restarts it and reverts
the edit between two looks leaves a process of which PID 1 shows the new definition only. It was started after the last
look, and before the last reload; then it counts if it surely runs another command than that of the unit.
"""

from __future__ import annotations

import contextlib
import posixpath
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ordain.agent.model import Change, Effect, Generation
from ordain.agent.plan.changes.causes import directive_causes
from ordain.agent.plan.changes.diff import placed_units
from ordain.agent.state.unseen_start_record import read_unseen_starts, write_unseen_starts
from ordain.agent.system.dbus.bus import BusError, pipelined
from ordain.agent.system.systemd.systemd1 import AT_ONCE, INVOCATION_ID, Systemd
from ordain.transforms.machine import rootfs

_COMMAND = ("Service", "ExecStart")
_TYPES = frozenset({"simple", "exec", "idle", "dbus"})
"""The types whose main process is the one that PID 1 has started, and not one that it names later."""
_SHELLS = frozenset("ash bash busybox csh dash env fish ksh mksh sh tcsh zsh".split())
"""Programs that may replace themselves by another one."""
_PROGRAMS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")


async def look_for_unseen(systemd: Systemd, root: Path, generation: Generation) -> Mapping[str, tuple[Change, ...]]:
    """Return by unit the command that its process does not have; keep the record of looks up to date.

    It asks for the start of each service only after a reload, and not of one that has no process any more.
    """
    now = time.time_ns() // 1000
    looked, before = read_unseen_starts(root)
    services = {member.unit for member in generation.members if member.ours and member.unit.endswith(".service")}
    suspects = {unit: invocation for unit, invocation in before.items() if unit in services}
    states = await systemd.list_units(services)
    running = sorted(name for name, state in states.items() if state.running and state.sub_state != "exited")
    try:
        read_usec, _ = await systemd.units_read_usec()
    except BusError:  # before systemd 250
        return {}
    if looked and read_usec > looked:
        times = await pipelined((_started_usec(systemd, unit) for unit in running), AT_ONCE)
        started = [unit for unit, usec in zip(running, times, strict=True) if looked < usec < read_usec]
        new = await systemd.inspect(started, INVOCATION_ID) if started else {}
        suspects |= {unit: state.invocation_id for unit, state in new.items()}
    still = await systemd.inspect(suspects, INVOCATION_ID | {"main_pid"}) if suspects else {}
    suspects = {unit: old for unit, old in suspects.items() if still[unit].running and still[unit].invocation_id == old}
    with contextlib.suppress(OSError):  # a full /run is reported elsewhere
        write_unseen_starts(root, suspects, before, now)
    placed = placed_units(generation) if suspects else {}
    changes: dict[str, tuple[Change, ...]] = {}
    for unit in suspects:
        wanted = placed[unit].values.get(_COMMAND, ()) if unit in placed else ()
        actual = await _other_command(systemd, root, unit, still[unit].main_pid) if wanted else ()
        if actual:
            artifact, causes = directive_causes(placed[unit].files, *_COMMAND)
            changes[unit] = (
                Change(
                    unit=unit,
                    section=_COMMAND[0],
                    key=_COMMAND[1],
                    old=(" ".join(actual),),
                    new=wanted,
                    effect=Effect.RESTART,
                    artifact=artifact,
                    causes=causes,
                ),
            )
    return changes


async def _started_usec(systemd: Systemd, unit: str) -> int:
    try:
        return int(await systemd.property(unit, "ExecMainStartTimestamp"))
    except BusError:
        return 0


async def _other_command(systemd: Systemd, root: Path, unit: str, pid: int) -> tuple[str, ...]:
    """Return the command line of the process ``pid`` if it surely is not that of the unit, else nothing."""
    try:
        if await systemd.property(unit, "Type") not in _TYPES:
            return ()
        commands = await systemd.property(unit, "ExecStart")
        line = (root / f"proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode("utf-8", "replace")
    except (BusError, OSError):
        return ()
    if len(commands) != 1:
        return ()
    actual, wanted = tuple(line.split("\0")), tuple(map(str, commands[0][1]))
    return actual if is_another_command(actual, wanted) and not _is_script(root, str(commands[0][0])) else ()


def is_another_command(actual: Sequence[str], wanted: Sequence[str]) -> bool:
    """Return whether a process with the command line ``actual`` was surely not started as ``wanted``.

    >>> is_another_command(["/bin/sleep", "9"], ["sleep", "1"]), is_another_command(["app"], ["nice", "app"])
    (True, False)
    """
    if not actual or not actual[0] or not wanted or "" in (actual[0], wanted[0]):
        return False
    if any(tuple(wanted[start:]) == tuple(actual) for start in range(len(wanted))):
        return False  # itself, or a program such as nice has become the one behind it
    program, unit_program = posixpath.basename(actual[0]), posixpath.basename(wanted[0])
    if " " in actual[0] or len(actual) == 1 < len(wanted):
        return False  # a title that the process has given itself, such as "nginx: master process"
    if program != unit_program:
        return unit_program not in _SHELLS
    return not any("$" in word for word in wanted) and list(actual[1:]) != list(wanted[1:])


def _is_script(root: Path, program: str) -> bool:
    """Return whether a program is a script, whose process has the name of its interpreter, or cannot be found."""
    paths = [program] if program.startswith("/") else [f"{folder}/{program}" for folder in _PROGRAMS]
    for path in paths:
        with contextlib.suppress(OSError):
            if (start := rootfs.head(root, path, 2)) is not None:
                return start == b"#!"
    return True
