"""The units of each entry of ``services``, ours or the distribution's (docs/design/documents.md, rules 11 to 13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ordain.transforms.catalog.foreign_names import known_on, neutral_name
from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Problem, blocked, did_you_mean
from ordain.transforms.machine import generated_units, sysv_scripts
from ordain.transforms.model import Branch, Installed, InstalledUnit
from ordain.transforms.systemd import unit_name
from ordain.transforms.systemd.unit_name import TRIGGERS


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceUnits:
    """The units of one service.

    ``unit`` holds the definition (``web.service``, or ``web@.service`` with instances), ``units`` are the units that
    run, ``starters`` those that are started to make the service run. ``socket`` and ``timer`` are the units that the
    document asks for. ``installed``: the distribution's unit is installed; None: not known. ``missing`` are the further
    units of the service that are not installed.
    """

    name: str
    ours: bool
    unit: str
    units: tuple[str, ...]
    starters: tuple[str, ...]
    socket: str = ""
    timer: str = ""
    installed: bool | None = None
    missing: tuple[str, ...] = ()

    @property
    def item(self) -> str:
        """Return the pointer of the service."""
        return f"services/{self.name}"

    @property
    def with_files(self) -> tuple[str, ...]:
        """Return the units that have a file of their own."""
        return tuple(filter(None, (self.unit, self.socket, self.timer)))


def units_of_service(
    name: str, service: Branch, names: Names, installed: Installed | None
) -> tuple[ServiceUnits | None, tuple[Problem, ...]]:
    """Return the units of ``service``, or None and the problem that keeps this machine from having it."""

    def refused(what: str, hint: str, code: str = "Item") -> tuple[None, tuple[Problem, ...]]:
        return None, (blocked(f"services/{name}", service.where, what, hint, code),)

    named = str(service.value("unit", ""))
    if service.leaf("provider") and (own := next((key for key in ("command", "unit") if service.leaf(key)), "")):
        what = f"`provider` chooses the service of a role, and this entry has its own in `{own}`"
        return refused(what, f"remove `provider`, or `{own}`")
    if not named and service.leaf("command"):
        units = _ours(name, service)
        if hidden := hidden_unit(units.with_files, installed):
            what = describe_hidden(hidden)
            return refused(what, f"rename this service, or change the unit with `unit: {hidden.name}`", "Shadows")
        if (units.socket or units.timer) and service.branch("instances"):
            return refused("a service with instances cannot have listen or schedule", "write raw `units`")
        return units, ()
    role = names.roles.get(name)
    if role and role.what:
        return refused(role.what, role.hint, "NoProvider")
    relative = next((path for path in service.branch("files") if not path.startswith("/")), "")
    if role and relative and not names.service(name, "config"):
        what = f"no Transform names a directory in which {role.service} would read {relative} on this system"
        return refused(what, "write the absolute path of the file, in a layer for this system")
    if (provider := service.leaf("provider")) and not role:
        what = f"{name} is not a role, so that {provider.value} cannot have it"
        return refused(what, did_you_mean(name, names.tree.branch("roles")) or "remove `provider`")
    instance = names.service(name, "instance")
    if "instances" in service:
        unit = named or instance
        if (named or names.service(name, "unit")) and not unit_name.is_template(unit):
            what = f"{named or name} has no instances on this system"
            return refused(what, "remove `instances`, or name a template in `unit`, such as name@.service")
        if unit and {"listen", "schedule"} & set(service):
            return refused("a service with instances cannot have listen or schedule", "write raw `units`")
    else:
        unit = named or names.service(name, "unit")
        if instance and not unit:
            what = f"{name} runs as instances of {instance} on this system, and none is named"
            return refused(what, f"write `instances: [NAME]`, which runs {instance.replace('@.', '@NAME.')}")
    if not unit:
        what = f"no Transform names the unit of {name} on this system"
        if elsewhere := known_on(name):
            what += f", only on {', '.join(elsewhere)}"
        return refused(what, _hint_unmapped(name, names), "Unmapped")
    return _distributions(name, service, unit, names, installed), ()


def _hint_unmapped(name: str, names: Names) -> str:
    """Return the remedy for a service without a unit; a name that other systems know is not a misspelt one."""
    if neutral := neutral_name(name):
        return f"write {neutral}, its name on every system"
    meant = "" if known_on(name) else did_you_mean(name, {*names.services(), *names.roles})
    return meant or "add `command` to define it, `unit` to name an installed unit, or a row to a Transform"


def _ours(name: str, service: Branch) -> ServiceUnits:
    instances = sorted(service.branch("instances"))
    accept = service.branch("listen").value("accept") is True
    unit = f"{name}@.service" if "instances" in service or accept else f"{name}.service"
    units = tuple(unit_name.instance_of(unit, i) for i in instances) if "instances" in service else (unit,)
    socket = f"{name}.socket" if "listen" in service else ""
    timer = f"{name}.timer" if "schedule" in service else ""
    starters = tuple(starter for starter in (socket, timer) if starter) or units
    return ServiceUnits(name=name, ours=True, unit=unit, units=units, starters=starters, socket=socket, timer=timer)


def _distributions(name: str, service: Branch, unit: str, names: Names, installed: Installed | None) -> ServiceUnits:
    real = installed.aliases if installed else {}
    unit = real.get(unit, unit)
    instances = tuple(unit_name.instance_of(unit, i) for i in sorted(service.branch("instances")))
    stem = unit.rpartition(".")[0]
    socket = (names.service(name, "socket") or f"{stem}.socket") if "listen" in service else ""
    timer = f"{stem}.timer" if "schedule" in service else ""
    if unit.endswith((".socket", ".timer")):
        socket, timer = (unit if unit.endswith(".socket") else ""), (unit if unit.endswith(".timer") else "")
    # A unit that the document names itself is one unit, and so is each instance.
    whole = not service.leaf("unit") and "instances" not in service
    start = names.service(name, "start") if whole else ""
    further = tuple(dict.fromkeys(real.get(other, other) for other in names.further_units(name) if whole))
    missing = tuple(other for other in further if installed and not is_installed(other, installed))
    present = tuple(other for other in further if other not in missing)
    units = instances if "instances" in service else (unit,)
    starters = tuple(starter for starter in (socket, timer) if starter) or ((start,) if start else units)
    needed = [needed for needed in (unit, start) if needed]
    return ServiceUnits(
        name=name,
        ours=False,
        unit=unit,
        units=(*units, *present),
        starters=(*starters, *present),
        socket=socket,
        timer=timer,
        installed=None if installed is None else all(is_installed(unit, installed) for unit in needed),
        missing=missing,
    )


def is_installed(unit: str, installed: Installed) -> bool:
    """Return whether the distribution or the administrator has a file of ``unit``, or of its template."""
    template = unit_name.template_of(unit)
    return any(name in installed.units and installed.units[name].path for name in (unit, template) if name)


def describe_hidden(unit: InstalledUnit) -> str:
    """Return the fault that a unit of ours would hide ``unit``."""
    generated = unit.path.lstrip("/").startswith(generated_units.DIRECTORIES)
    owner = "another generator" if generated else "the distribution"
    return f"{unit.name} is a unit of {owner} ({unit.path}), and ours would hide it"


def hidden_unit(units: tuple[str, ...], installed: Installed | None) -> InstalledUnit | None:
    """Return the first unit of the distribution that a unit of ours with the same name would hide.

    An administrator's unit in /etc hides ours instead, as is their right. A unit that systemd-sysv-generator made of a
    script is meant to be hidden by any other.
    """
    for name in units:
        unit = installed.units.get(name) if installed else None
        if unit and unit.path and not unit.path.lstrip("/").startswith(("etc/", sysv_scripts.GENERATED)):
            return unit
    return None


def triggers(unit: str, installed: Installed) -> tuple[str, ...]:
    """Return the installed sockets, timers and paths that start ``unit``."""
    return tuple(name for name, other in sorted(installed.units.items()) if other.path and started_by(other) == unit)


def started_by(trigger: InstalledUnit) -> str:
    """Return the unit that an installed socket, timer or path starts, ``""`` for units of other types."""
    kind = unit_name.unit_type(trigger.name)
    if kind not in TRIGGERS:
        return ""
    section, key = TRIGGERS[kind]
    stem = trigger.name.rpartition(".")[0]
    accepts = kind == "socket" and trigger.values("Socket", "Accept")[-1:] in {("yes",), ("true",), ("1",), ("on",)}
    return (trigger.values(section, key) or (f"{stem}@.service" if accepts else f"{stem}.service",))[-1]


def clashes(services: Mapping[str, ServiceUnits], section: Branch) -> tuple[Problem, ...]:
    """Return a problem for each unit that two entries of the ``section`` have in common."""
    owner: dict[str, ServiceUnits] = {}
    problems = []
    for name in sorted(services):
        units = services[name]
        for unit in sorted({*units.with_files, *units.units}):
            first = owner.setdefault(unit, units)
            if first is not units:
                what = f"services {first.name} and {name} both use {unit}"
                where = section.branch(name).where
                problems.append(blocked(units.item, where, what, "merge the two entries", "Clash"))
    return tuple(problems)
