"""Units that nobody expects to be stopped, by their role and not by their name alone; effect: asks the bus and /proc.

Such a unit is reloaded, or left until the next boot, unless the documents say ``on-change: restart`` of it (`decide`).

    root/run/ordain/callers    the sessions that asked for changes, by their leaders: protected as long as they last
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from ordain.agent.plan.unit_view import SESSION
from ordain.agent.system import atomic_files
from ordain.agent.system.bus import DBUS, DBUS_PATH, BusError
from ordain.agent.system.systemd1 import Systemd

CALLER: ContextVar[int] = ContextVar("caller", default=0)
"""The process that asks for an apply, 0 for none: the unit its session hangs on is protected."""
OWNERS = {
    "org.freedesktop.DBus": "the message bus",
    "org.freedesktop.login1": "the login manager",
    "org.ordain.Agent1": "Ordain itself",
}
"""Bus names, whose owner has the role whatever its unit is called."""
NAMES = {
    "dbus.service": "the message bus",
    "dbus-broker.service": "the message bus",
    "dbus.socket": "the message bus",
    "systemd-logind.service": "the login manager",
    "systemd-journald*": "the journal",
    "systemd-udevd*": "the device manager",
    "ordain-*": "Ordain itself",
    "systemd-networkd*": "the network",
    "NetworkManager.service": "the network",
    "networking.service": "the network",
    "wpa_supplicant*.service": "the network",
    "iwd.service": "the network",
    "-.mount": "the root file system",
    "usr.mount": "the system itself",
    "etc.mount": "the system itself",
    "run.mount": "the system itself",
    "var.mount": "the system itself",
    "init.scope": "PID 1",
    "user@*.service": "a session",
    "session-*.scope": "a session",
    "user-*.slice": "a session",
}
"""What every systemd has under one name, and names where there is no bus to ask."""
PATH = "run/ordain/callers"
_PARENT, _SESSION, _TERMINAL, _STARTED = 1, 3, 4, 19
"""Where `_number` finds the parent, the leader of the session, the terminal, and the start in ticks since the boot."""


async def roles(systemd: Systemd, units: Iterable[str], root: Path) -> Mapping[str, str]:
    """Of ``units`` those that have a role, and which."""
    wanted = frozenset(units)
    if not wanted:
        return {}
    found: dict[str, str] = {}
    for asks in {CALLER.get(), *(leader for leader, _ in _callers(root))} - {0}:
        for pid in _ancestors(asks):
            found.setdefault(await systemd.unit_of(pid), SESSION)
        found.update(dict.fromkeys(_terminals(asks), SESSION))
    for name, role in OWNERS.items():
        if pid := await _owner(systemd, name):
            found[await systemd.unit_of(pid)] = role
    found |= {unit: role for unit in wanted for pattern, role in NAMES.items() if fnmatch.fnmatchcase(unit, pattern)}
    starters = await systemd.inspect(found.keys() - {""}, frozenset({"triggered_by"}))
    for unit, state in starters.items():
        for trigger in state.triggered_by:
            found.setdefault(trigger, found[unit])
    return {unit: found[unit] for unit in sorted(wanted & found.keys())}


def remember(root: Path) -> None:
    """Protect the session of the caller from what others ask for, too, as long as it lasts."""
    session = _number(CALLER.get(), _SESSION)
    started = _number(session, _STARTED)
    known = _callers(root)
    if started and (session, started) not in known:
        atomic_files.make_folder((root / PATH).parent)
        atomic_files.replace(root / PATH, json.dumps([*known, (session, started)]).encode())


def _callers(root: Path) -> list[tuple[int, int]]:
    """The sessions remembered that there still are: process id and start of their leaders."""
    try:
        found = [(int(pid), int(started)) for pid, started in json.loads((root / PATH).read_bytes())]
    except (OSError, ValueError, TypeError):
        return []
    return [(pid, started) for pid, started in found if _number(pid, _STARTED) == started]


async def _owner(systemd: Systemd, name: str) -> int:
    """The process behind a bus name, 0 for none."""
    try:
        return int(await systemd.bus.call(DBUS, DBUS_PATH, DBUS, "GetConnectionUnixProcessID", "s", name))
    except BusError:
        return 0


def _ancestors(pid: int) -> Iterator[int]:
    """The process and those above it but PID 1: above a login shell is the sshd that listens."""
    while pid > 1:
        yield pid
        pid = _number(pid, _PARENT)


def _terminals(pid: int) -> tuple[str, ...]:
    """The units that may have put the login on the terminal of ``pid``, which logind moved out of them."""
    number = _number(pid, _TERMINAL)
    try:
        name = Path(f"/sys/dev/char/{number >> 8 & 0xFFF}:{number & 0xFF}").readlink().name
    except OSError:  # a pseudo-terminal is not there: whoever has it is an ancestor
        return ()
    return f"getty@{name}.service", f"serial-getty@{name}.service", f"{name}-getty.service"


def _number(pid: int, field: int) -> int:
    """A field of /proc/PID/stat, counted from the state on (proc(5)); 0 for a process that is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[field])
    except (OSError, IndexError):
        return 0
