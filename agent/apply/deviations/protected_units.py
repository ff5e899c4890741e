"""Units that nobody expects an apply to stop: they are known by their role, not by their name alone.

The apply reloads such a unit, or leaves it until the next boot, unless the documents set ``on-change: restart`` for it
(`unit_decision`).

    root/run/ordain/callers    the sessions that asked for changes, by their leaders: protected as long as they last
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ordain.agent.plan.unit_view import SESSION_ROLE
from ordain.agent.system import atomic_files
from ordain.agent.system.dbus.bus import DBUS, DBUS_PATH, BusError
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.systemd.system_units import PROTECTED

OWNERS = {
    "org.freedesktop.DBus": "the message bus",
    "org.freedesktop.login1": "the login manager",
    "org.ordain.Agent1": "Ordain itself",
}
"""Bus names: whoever owns one has the role, whatever the name of its unit."""
PATH = "run/ordain/callers"
_PARENT, _SESSION, _TERMINAL, _STARTED = 1, 3, 4, 19
"""The fields for `_stat_field`: parent, session leader, terminal, and start time in clock ticks since the boot."""


async def roles(systemd: Systemd, units: Iterable[str], root: Path, *, caller: int) -> Mapping[str, str]:
    """Return those of ``units`` that have a role, with the role; ``caller`` is the process that asked, or 0.

    The session of the caller, and everything above it, has a role: an apply must not end the session that runs it.
    """
    wanted = frozenset(units)
    if not wanted:
        return {}
    role_of: dict[str, str] = {}
    for process in sorted({caller, *(leader for leader, _ in _remembered(root))} - {0}):
        for pid in _ancestors(process):
            role_of.setdefault(await systemd.unit_of(pid), SESSION_ROLE)
        role_of.update(dict.fromkeys(_terminal_units(process), SESSION_ROLE))
    for name, role in OWNERS.items():
        if pid := await _owner(systemd, name):
            role_of[await systemd.unit_of(pid)] = role
    role_of |= {
        unit: role for unit in wanted for pattern, role in PROTECTED.items() if fnmatch.fnmatchcase(unit, pattern)
    }
    triggered = await systemd.inspect(role_of.keys() - {""}, frozenset({"triggered_by"}))
    for unit, state in triggered.items():
        for trigger in state.triggered_by:
            role_of.setdefault(trigger, role_of[unit])
    return {unit: role_of[unit] for unit in sorted(wanted & role_of.keys())}


def remember_session(root: Path, caller: int) -> None:
    """Protect the session of the process ``caller`` from the applies of others, too, as long as it lasts."""
    session = _stat_field(caller, _SESSION)
    started = _stat_field(session, _STARTED)
    known = _remembered(root)
    if started and (session, started) not in known:
        atomic_files.make_folder((root / PATH).parent)
        atomic_files.replace(root / PATH, json.dumps([*known, (session, started)]).encode())


def _remembered(root: Path) -> list[tuple[int, int]]:
    """Return the remembered sessions that still exist: process id and start time of each leader."""
    try:
        sessions = [(int(pid), int(started)) for pid, started in json.loads(atomic_files.read(root / PATH))]
    except (OSError, ValueError, TypeError):
        return []
    return [(pid, started) for pid, started in sessions if _stat_field(pid, _STARTED) == started]


async def _owner(systemd: Systemd, name: str) -> int:
    """Return the process that owns a bus name, 0 if none does."""
    try:
        return int(await systemd.bus.call(DBUS, DBUS_PATH, DBUS, "GetConnectionUnixProcessID", "s", name))
    except BusError:
        return 0


def _ancestors(pid: int) -> Iterator[int]:
    """Yield the process and those above it except PID 1; above a login shell, for example, is sshd."""
    while pid > 1:
        yield pid
        pid = _stat_field(pid, _PARENT)


def _terminal_units(pid: int) -> tuple[str, ...]:
    """Return the units that may have started the login on the terminal of ``pid``.

    logind moves a login out of them into a scope, so they are not above it any more.
    """
    number = _stat_field(pid, _TERMINAL)
    try:
        name = Path(f"/sys/dev/char/{number >> 8 & 0xFFF}:{number & 0xFF}").readlink().name
    except OSError:  # a pseudo-terminal has no entry there; whoever holds it is an ancestor
        return ()
    return f"getty@{name}.service", f"serial-getty@{name}.service", f"{name}-getty.service"


def _stat_field(pid: int, field: int) -> int:
    """Return a field of /proc/PID/stat, counted from the state on (proc(5)); 0 if the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[field])
    except (OSError, IndexError):
        return 0
