"""The units that a name in ``after``, ``requires`` and so on refers to (docs/design/documents.md, rule 15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ordain.transforms.catalog.foreign_names import known_on
from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import did_you_mean
from ordain.transforms.render.services.service_units import ServiceUnits
from ordain.transforms.systemd import unit_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencedUnits:
    """Units to order by (``order``) and to start (``start``), or a ``path`` whose mounts are needed.

    ``milestone``: nothing starts the unit by itself, so that a unit ordered after it has to want it too.
    """

    order: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    path: str = ""
    milestone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitReferences:
    """The names that documents can refer to on this machine."""

    services: Mapping[str, ServiceUnits]
    names: Names

    def resolve(self, name: str) -> ReferencedUnits | None:
        """Return the units that ``name`` refers to, None if there are none."""
        milestone = self.names.milestone(name)
        is_role = name in self.names.roles
        # `after: [time-sync]` is about the milestone, also where an entry has the role.
        if name in self.services and not (milestone and is_role):
            units = self.services[name]
            order = tuple(dict.fromkeys((*units.starters, *units.units)))
            return ReferencedUnits(order=tuple(u for u in order if not u.endswith("@.service")), start=units.starters)
        unit = "" if milestone and is_role else self.names.service(name, "unit")
        if unit:
            further = self.names.further_units(name)
            start = self.names.service(name, "start") or unit
            return ReferencedUnits(order=tuple(dict.fromkeys((start, unit, *further))), start=(start, *further))
        if milestone:
            return ReferencedUnits(order=(milestone,), start=(milestone,), milestone=True)
        if name.startswith("/"):
            return ReferencedUnits(path=name)
        known = unit_name.is_valid(name) and not unit_name.is_template(name)  # a template has no job
        return ReferencedUnits(order=(name,), start=(name,)) if known else None

    def hint(self, name: str) -> str:
        """Return the remedy for a ``name`` that refers to nothing."""
        if unit_name.is_valid(name) and unit_name.is_template(name):
            return f"name an instance of the template, such as {name.replace('@.', '@1.')}"
        if (role := self.names.roles.get(name)) and role.hint:
            return role.hint
        if systems := known_on(name):
            return (
                f"only {', '.join(systems)} can have it: limit the layer to them with `match`, or name another service"
            )
        known = {*self.services, *self.names.services(), *self.names.roles, *self.names.milestones()}
        return did_you_mean(name, known) or "use a service, a milestone, an absolute path or the name of a unit"
