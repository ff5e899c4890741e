"""The values of the machine beside those of the documents: of PID 1 for units, and of all that is read back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from ordain.agent.apply.differences.device_parameters import compared_keys
from ordain.agent.apply.differences.difference import Difference, section
from ordain.agent.model import Generation
from ordain.agent.plan.explain import Explanation
from ordain.agent.plan.network_expectation import expected_devices
from ordain.agent.system.dbus.bus import BusError
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.document.text.node import unescape_key

AS_WANTED = "as wanted"
READ_BACK = ("files", "users", "groups", "modules")
"""The sections of which every entry is read back as a whole."""
NOT_READ = "not read back"
NETWORK_KEYS = frozenset(
    {
        *("addresses", "dhcp4", "dhcp6", "gateway4", "gateway6", "interfaces", "match", "mtu", "routes"),
        *("routing-policy", "set-name"),
    }
)
"""The keys that are read back of every network device; `device_parameters` has those of a kind."""
NETWORK_TERMS = frozenset(
    {"activation-mode", "critical", "ignore-carrier", "optional", "optional-addresses", "renderer"}
)
"""The keys that say how a device is brought up and judged. The machine has no value for them."""
HOST = ("host/hostname", "host/locale", "host/timezone")
NOT_TOLD = {
    "host/keymap": "not read back: consoles have it once their setup has run, graphical logins at their next start"
}
"""Values that no program tells, with the time at which they take effect."""
INFINITY = 2**64 - 1
"""The value of a limit that is not set."""
MAX_PROPERTIES = 40
"""The properties of units that one question asks PID 1 for."""


def read_back_values(
    pointers: Iterable[str], generation: Generation, differences: Iterable[Difference]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the machine's values at ``pointers``, of which PID 1 knows nothing, and the pointers that differ.

    ``differences`` are all of the machine; a value without one was read, and is as ``generation`` sets it, unless its
    text says that it was not read. A value that its unit has is left out.
    """
    by_pointer = {difference.pointer: difference.actual for difference in differences if difference.pointer}
    values = {}
    differs = []
    for pointer in pointers:
        about = [at for at in by_pointer if _covers(at, pointer) or _covers(pointer, at)]
        name, _, entry = pointer.partition("/")
        if about:
            differs.append(pointer)
            values[pointer] = ", ".join(by_pointer[at] for at in about)
        elif name == "sysctl":
            values[pointer] = str(section(generation, "sysctl").get(unescape_key(entry), AS_WANTED))
        elif name in READ_BACK or pointer in HOST or _is_read_network(pointer, generation):
            values[pointer] = AS_WANTED
        elif name in ("host", "network") and pointer.rpartition("/")[2] not in NETWORK_TERMS:
            values[pointer] = NOT_TOLD.get(pointer, NOT_READ)
    return values, tuple(differs)


async def unit_values(systemd: Systemd, explanation: Explanation) -> dict[str, str]:
    """Return the values in PID 1 of the directives that ``explanation`` shows, by the pointer that asks for them."""
    values: dict[str, list[str]] = {}
    asked = 0
    for file in explanation.files:
        unit = _unit_of(file.path)
        for line in file.lines if unit and not file.link else ():
            if line.pointer and line.section not in ("Unit", "Install") and asked < MAX_PROPERTIES:
                asked += 1
                shown = await _property(systemd, unit, line.text.partition("=")[0].strip())
                if shown and shown not in values.setdefault(line.pointer, []):
                    values[line.pointer].append(shown)
    return {pointer: ", ".join(shown) for pointer, shown in values.items() if shown}


async def _property(systemd: Systemd, unit: str, key: str) -> str:
    """Return the property of PID 1 that a directive sets, "" if it has none of that name."""
    for name in (key, f"{key.removesuffix('Sec')}USec" if key.endswith("Sec") else ""):
        if name:
            with contextlib.suppress(BusError):
                return as_text(await systemd.property(unit, name), duration=name.endswith("USec"))
    return ""


def as_text(value: Any, *, duration: bool = False) -> str:
    """Return a property of PID 1 as systemd writes such values.

    >>> as_text(True), as_text(2**64 - 1), as_text(["a", "b"]), as_text(1_500_000, duration=True)
    ('yes', 'infinity', 'a b', '1.5s')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return "infinity" if value == INFINITY else f"{value / 1_000_000:g}s" if duration else str(value)
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], list | tuple) and len(value[0]) > 1 and isinstance(value[0][1], list | tuple):
            return "; ".join(" ".join(map(str, command[1])) for command in value)  # of Exec*: path, argv, …
        return " ".join(as_text(part) for part in value)
    return str(value) if not isinstance(value, Mapping) else ""


def _unit_of(path: str) -> str:
    """Return the unit that an artifact is a file of: the unit file, or a drop-in."""
    if path.startswith("/"):
        return ""
    _, *rest = path.split("/")
    if len(rest) == 1:
        return rest[0]
    return rest[0].removesuffix(".d") if rest and rest[0].endswith(".d") else ""


def _is_read_network(pointer: str, generation: Generation) -> bool:
    """Return whether the value of a network device at ``pointer`` is read back: not of a device that is left alone."""
    words = pointer.split("/")
    if words[0] != "network" or len(words) < 3:
        return False
    device = next((d for d in expected_devices(generation) if d.item == "/".join(words[:3])), None)
    if device is None or device.unmanaged:
        return False
    return len(words) == 3 or words[3] in NETWORK_KEYS | compared_keys(device.kernel_kind)


def _covers(top: str, pointer: str) -> bool:
    return pointer == top or pointer.startswith(f"{top}/")
