"""Orderings that cannot hold: before a unit that the boot starts by itself, of a service that the agent starts later.

PID 1 orders two units only while both have a job. The agent starts the services of the documents after basic.target,
when the targets of the early boot are reached and the services that the distribution enables have been started.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ordain.transforms.errors import Problem, warning
from ordain.transforms.graph.effective_units import EffectiveUnits
from ordain.transforms.graph.setting_places import PlaceOf, place_of_key
from ordain.transforms.model import Wanted
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.unit_links import SERVICES_TARGET
from ordain.transforms.systemd.system_units import STARTED_BEFORE_SERVICES, WANTED_BY_EVERY_BOOT

_GOALS = frozenset({"multi-user.target", "graphical.target"})
"""The targets that a boot leads to; they wait for the services of the documents."""
_PULLS = ("Wants", "Requires", "BindsTo", "Requisite")


def late_orderings(
    items: Iterable[RenderedItem], units: EffectiveUnits, usual: frozenset[str], place_of: PlaceOf
) -> Iterator[Problem]:
    """Yield a warning for each ordering of a service of the main phase before a unit that the boot has started.

    ``usual`` are units that the distribution may install and enable, if the machine is not known.
    """
    members = [member for item in items for member in item.members]
    pulled = started_by_boot(units)  # also units of the documents with WantedBy=multi-user.target or the like
    late = {m.unit: m.item for m in members if m.wanted is Wanted.RUNNING and not m.early and m.unit not in pulled}
    ours = _GOALS | {member.unit for member in members if member.ours}
    started = (STARTED_BEFORE_SERVICES | pulled | (WANTED_BY_EVERY_BOOT if usual else frozenset())) - ours
    for unit, pointer in sorted(late.items()):
        later = set(units.words(unit, "Before")) - {unit}
        for other in sorted(later & started):
            yield _warning(unit, other, pointer, place_of)
        for other in sorted(later & usual - started - ours):
            yield _warning(unit, other, pointer, place_of, " where the distribution enables it")
    for other in sorted(started & units.items.keys()):
        for unit in sorted(set(units.words(other, "After")) & late.keys() - {other}):
            for pointer in sorted(units.items[other]):
                yield _warning(unit, other, pointer, place_of)


def _warning(unit: str, other: str, pointer: str, place_of: PlaceOf, limit: str = "") -> Problem:
    what = f"{unit} cannot start before {other}{limit}: the boot starts that earlier than the services of the documents"
    hint = f"set `phase: early`, so that {unit} is a part of the boot"
    return warning(pointer, place_of_key(pointer, ("before",), place_of), what, hint, "TooLate")


def started_by_boot(units: EffectiveUnits) -> frozenset[str]:
    """Return the units that the boot pulls in by itself, apart from the services of the documents."""
    seen: set[str] = set()
    waiting = ["sysinit.target", "basic.target", *sorted(_GOALS)]
    while waiting:
        unit = waiting.pop()
        if unit in seen or unit == SERVICES_TARGET:
            continue
        seen.add(unit)
        for key in _PULLS:
            waiting.extend(units.words(unit, key))
    return frozenset(seen)
