"""The units that a name in ``after``, ``requires`` and so on refers to (docs/design/documents.md, rule 15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import did_you_mean
from ordain.transforms.render.service_units import ServiceUnits
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
        if name in self.services:
            units = self.services[name]
            order = tuple(dict.fromkeys((*units.starters, *units.units)))
            return ReferencedUnits(order=tuple(u for u in order if not u.endswith("@.service")), start=units.starters)
        if unit := self.names.service(name, "unit"):
            return ReferencedUnits(order=(unit,), start=(unit,))
        if unit := self.names.milestone(name):
            return ReferencedUnits(order=(unit,), start=(unit,), milestone=True)
        if name.startswith("/"):
            return ReferencedUnits(path=name)
        known = unit_name.is_valid(name) and not unit_name.is_template(name)  # a template has no job
        return ReferencedUnits(order=(name,), start=(name,)) if known else None

    def hint(self, name: str) -> str:
        """Return the remedy for a ``name`` that refers to nothing."""
        if unit_name.is_valid(name) and unit_name.is_template(name):
            return f"name an instance of the template, such as {name.replace('@.', '@1.')}"
        known = {*self.services, *self.names.services(), *self.names.milestones()}
        return did_you_mean(name, known) or "use a service, a milestone, an absolute path or the name of a unit"
