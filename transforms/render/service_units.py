"""Which units an entry of ``services`` comes to, and whose they are (docs/design/documents.md, rules 11 to 13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Problem, Severity, near
from ordain.transforms.machine import sysv_scripts
from ordain.transforms.model import Branch, Installed, InstalledUnit
from ordain.transforms.systemd import unit_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUnits:
    """The units of one service.

    ``unit`` holds its definition (``web.service``, or ``web@.service`` with instances); ``units`` are what
    runs; ``starters`` are started to make it run; ``socket`` and ``timer`` are the units the document asks for.
    ``installed``: whether the distribution's unit is there (None: not known).
    """

    name: str
    ours: bool
    unit: str
    units: tuple[str, ...]
    starters: tuple[str, ...]
    socket: str = ""
    timer: str = ""
    installed: bool | None = None

    @property
    def item(self) -> str:
        """Its pointer."""
        return f"services/{self.name}"


def units_of_service(
    name: str, service: Branch, names: Names, installed: Installed | None
) -> tuple[ServiceUnits | None, tuple[Problem, ...]]:
    """The layout of ``service``, or why there is none on this machine."""
    item = f"services/{name}"

    def blocked(what: str, hint: str, code: str) -> tuple[None, tuple[Problem, ...]]:
        severity = Severity.BLOCKED
        return None, (Problem(where=service.where, what=what, hint=hint, code=code, severity=severity, item=item),)

    named = str(service.value("unit", ""))
    if not named and service.leaf("command"):
        layout = _ours(name, service)
        shadowed = _vendor_file(layout, installed)
        if shadowed:
            what = f"{shadowed.name} is a unit of the distribution ({shadowed.path}); ours would hide it"
            return blocked(what, f"name another service, or change that one with `unit: {shadowed.name}`", "Shadows")
        if layout.socket and service.branch("instances"):
            return blocked("a service with instances has no listen or schedule", "write raw `units`", "Item")
        return layout, ()
    unit = named or names.service(name, "unit")
    if not unit:
        known = near(name, names.services())
        hint = known or "add `command` to make it ours, `unit` to name a unit, or a Transform row"
        return blocked(f"no transform says what unit {name} is here", hint, "Unmapped")
    return _vendor(name, service, unit, names, installed), ()


def _ours(name: str, service: Branch) -> ServiceUnits:
    instances = sorted(service.branch("instances"))
    accept = service.branch("listen").value("accept") is True
    unit = f"{name}@.service" if "instances" in service or accept else f"{name}.service"
    units = tuple(unit_name.instance_of(unit, i) for i in instances) if "instances" in service else (unit,)
    socket = f"{name}.socket" if "listen" in service else ""
    timer = f"{name}.timer" if "schedule" in service else ""
    starters = tuple(starter for starter in (socket, timer) if starter) or units
    return ServiceUnits(name=name, ours=True, unit=unit, units=units, starters=starters, socket=socket, timer=timer)


def _vendor(name: str, service: Branch, unit: str, names: Names, installed: Installed | None) -> ServiceUnits:
    if installed and unit in installed.aliases:
        unit = installed.aliases[unit]
    there = None if installed is None else _is_installed(unit, installed)
    stem = unit.rpartition(".")[0]
    socket = (names.service(name, "socket") or f"{stem}.socket") if "listen" in service else ""
    timer = f"{stem}.timer" if "schedule" in service else ""
    if unit.endswith((".socket", ".timer")):
        socket, timer = (unit if unit.endswith(".socket") else ""), (unit if unit.endswith(".timer") else "")
    starters = tuple(starter for starter in (socket, timer) if starter) or (unit,)
    return ServiceUnits(
        name=name,
        ours=False,
        unit=unit,
        units=(unit,),
        starters=starters,
        socket=socket,
        timer=timer,
        installed=there,
    )


def _is_installed(unit: str, installed: Installed) -> bool:
    template = unit_name.template_of(unit)
    return any(name in installed.units and installed.units[name].path for name in (unit, template) if name)


def _vendor_file(layout: ServiceUnits, installed: Installed | None) -> InstalledUnit | None:
    """The distribution's file that ours would hide; an admin's in /etc hides ours instead, which is their right.

    What is made of a SysV script hides behind any unit, as it is meant to.
    """
    for unit in (layout.unit, layout.socket, layout.timer):
        there = installed.units.get(unit) if installed and unit else None
        if there and there.path and not there.path.lstrip("/").startswith(("etc/", sysv_scripts.MADE)):
            return there
    return None


def triggers(unit: str, installed: Installed) -> tuple[str, ...]:
    """The installed sockets, timers and paths that start ``unit``."""
    return tuple(name for name, there in sorted(installed.units.items()) if there.path and started_by(there) == unit)


def started_by(there: InstalledUnit) -> str:
    """The unit that an installed socket, timer or path starts; "" for other types."""
    kind = unit_name.suffix(there.name)
    if kind not in unit_name.TRIGGERS:
        return ""
    section, key = unit_name.TRIGGERS[kind]
    stem = there.name.rpartition(".")[0]
    accepts = kind == "socket" and there.values("Socket", "Accept")[-1:] in {("yes",), ("true",), ("1",), ("on",)}
    return (there.values(section, key) or (f"{stem}@.service" if accepts else f"{stem}.service",))[-1]


def clashes(layouts: Mapping[str, ServiceUnits], services: Branch) -> tuple[Problem, ...]:
    """Two entries that come to one unit."""
    owner: dict[str, ServiceUnits] = {}
    found = []
    for name in sorted(layouts):
        layout = layouts[name]
        for unit in {layout.unit, *layout.units, layout.socket, layout.timer} - {""}:
            first = owner.setdefault(unit, layout)
            if first is not layout:
                what = f"services {first.name} and {name} both come to {unit}"
                found.append(
                    Problem(
                        where=services.branch(name).where,
                        what=what,
                        hint="merge the two entries",
                        code="Clash",
                        severity=Severity.BLOCKED,
                        item=layout.item,
                    )
                )
    return tuple(found)
