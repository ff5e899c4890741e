"""What a name in ``after``, ``requires`` and so on means (docs/design/documents.md, rule 15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import near
from ordain.transforms.render.service_units import ServiceUnits
from ordain.transforms.systemd import unit_name
from ordain.transforms.systemd.encode import EncodeError


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferencedUnits:
    """Units to order by (``order``) and to start (``start``), or a path whose mounts are needed.

    ``milestone``: the unit is no goal by itself, so a reference to it wants it too.
    """

    order: tuple[str, ...] = ()
    start: tuple[str, ...] = ()
    path: str = ""
    milestone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitReferences:
    """The names known on this machine."""

    services: Mapping[str, ServiceUnits]
    names: Names

    def meaning(self, name: str) -> ReferencedUnits | str:
        """What ``name`` means, or a hint if it means nothing."""
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
        try:
            unit_name.check(name)
        except EncodeError:
            known = {*self.services, *self.names.services(), *self.names.milestones()}
            return near(name, known) or "a service, milestone, absolute path or unit name"
        return ReferencedUnits(order=(name,), start=(name,))
