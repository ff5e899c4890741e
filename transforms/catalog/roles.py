"""Roles, such as time-sync: which of several services a machine has for a purpose (docs/design/catalog.md).

    roles of the Transforms, the documents, the unit files ──choose──▶ RoleChoice ──Names──▶ the row of the service

A choice is a pure function: the same documents and unit files give the same service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ordain.transforms.catalog.names import Names, RoleChoice
from ordain.transforms.errors import did_you_mean
from ordain.transforms.model import Branch, Facts, Installed, Leaf, strings
from ordain.transforms.systemd import unit_name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """The evidence for a choice: services that the documents run, packages that they want, and units that exist.

    ``units`` and ``enabled`` are names of unit files, and of those that a link starts; ``packages`` are installed ones.
    """

    running: frozenset[str] = frozenset()
    wanted: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    units: frozenset[str] = frozenset()
    enabled: frozenset[str] = frozenset()
    real: Mapping[str, str] = field(default_factory=dict)


def with_roles(
    names: Names, services: Branch, wanted: Iterable[str], installed: Installed | None, facts: Facts
) -> Names:
    """Return ``names`` with the choice for each role, except those whose name is a service of its own in ``services``.

    ``services`` is the section of the documents, and ``wanted`` are packages that they want. Without ``installed``, the
    facts ``unit`` and ``package`` say what there is, if somebody has set them.
    """
    rows = names.tree.branch("roles")
    if not rows:
        return names
    known = replace(names, asked=set())  # a choice uses only the row of the service that it makes
    machine = _evidence(services, frozenset(wanted), installed, facts)
    roles = {
        role: _choose(role, row, services.branch(role).leaf("provider"), known, machine)
        for role, row in rows.branches()
        if not {"command", "unit"} & set(services.branch(role)) and role not in names.services()
    }
    return replace(names, roles=roles)


def _evidence(services: Branch, wanted: frozenset[str], installed: Installed | None, facts: Facts) -> _Machine:
    running = frozenset(name for name, entry in services.branches() if entry.value("state") == "running")
    if installed is None:
        units, packages = (frozenset(facts.details.get(fact, ())) for fact in ("unit", "package"))
        return _Machine(running=running, wanted=wanted, units=units, packages=packages)
    return _Machine(
        running=running,
        wanted=wanted,
        units=frozenset(name for name, unit in installed.units.items() if unit.path and not unit.masked),
        enabled=frozenset(link.name for link in installed.links),
        real=installed.aliases,
    )


def _choose(role: str, row: Branch, said: Leaf | None, names: Names, machine: _Machine) -> RoleChoice:
    listed = row.leaf("services") or row.here
    alternatives = tuple(name for name in strings(listed.value or ()) if names.service(name, "unit"))
    if said is not None:
        name = str(said.value)
        if names.service(name, "unit"):
            return RoleChoice(service=name, reason="the documents name it", place=said, alternatives=alternatives)
        hint = did_you_mean(name, alternatives) or _hint(alternatives)
        what = f"{name} is not a service of this system that can have the role {role}"
        return RoleChoice(what=what, hint=hint, place=said, alternatives=alternatives)
    default = str(row.value("default", ""))
    for reason, holds in _REASONS:
        held = [name for name in alternatives if holds(name, names, machine)]
        held = list({names.service(name, "unit"): name for name in reversed(held)}.values())[::-1]
        if len(held) > 1 and default not in held:
            what = f"several services of this machine can have the role {role}: {', '.join(held)}"
            return RoleChoice(what=what, hint=_hint(held), place=listed, alternatives=alternatives)
        if held:
            service = default if default in held else held[0]
            return RoleChoice(service=service, reason=reason, place=listed, alternatives=alternatives)
    if default and names.service(default, "unit"):
        place = row.leaf("default") or listed
        return RoleChoice(service=default, reason="usual on this system", place=place, alternatives=alternatives)
    what = f"no service of this machine has the role {role}"
    hint = f"install one of them: {', '.join(alternatives)}; or {_hint(alternatives)}" if alternatives else ""
    return RoleChoice(what=what, hint=hint, place=listed, alternatives=alternatives)


def _hint(services: Iterable[str]) -> str:
    return "say which one with " + " or ".join(f"`provider: {name}`" for name in services)


def _units(name: str, names: Names, machine: _Machine) -> frozenset[str]:
    """Return the names of the main unit of a service, and of its template."""
    unit = names.service(name, "unit")
    unit = machine.real.get(unit, unit)
    return frozenset(filter(None, (unit, unit_name.template_of(unit))))


def _is_running(name: str, names: Names, machine: _Machine) -> bool:
    return name in machine.running


def _is_wanted(name: str, names: Names, machine: _Machine) -> bool:
    return names.package(name) in machine.wanted


def _is_enabled(name: str, names: Names, machine: _Machine) -> bool:
    start = names.service(name, "start")
    started = {*_units(name, names, machine), start} - {""}
    return _is_installed(name, names, machine) and bool(started & machine.enabled)


def _is_installed(name: str, names: Names, machine: _Machine) -> bool:
    return bool(_units(name, names, machine) & machine.units) or names.package(name) in machine.packages


_REASONS: tuple[tuple[str, Callable[[str, Names, _Machine], bool]], ...] = (
    ("the documents run it", _is_running),
    ("the documents want its package", _is_wanted),
    ("installed and enabled", _is_enabled),
    ("installed", _is_installed),
)
"""The evidence for a service, the strongest first: the first that any alternative has decides."""
