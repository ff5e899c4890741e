"""Orderings that cannot hold: before a unit that the boot starts by itself, of a service that the agent starts later.

PID 1 orders two units only while both have a job. The agent starts the services of the documents after basic.target,
when the targets of the early boot are reached and the services that the distribution enables have been started.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ordain.transforms.errors import Problem, Where, warning
from ordain.transforms.graph.effective_units import EffectiveUnits
from ordain.transforms.model import Wanted
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.render.unit_links import SERVICES_TARGET
from ordain.transforms.systemd.early_boot import EARLY_BOOT

_GOALS = frozenset({"multi-user.target", "graphical.target"})
"""The targets that a boot leads to; they wait for the services of the documents."""
_PULLS = ("Wants", "Requires", "BindsTo", "Requisite")


def late_orderings(
    items: Iterable[RenderedItem], units: EffectiveUnits, place_of: Callable[[str], Where]
) -> Iterator[Problem]:
    """Yield a warning for each ordering of a service of the main phase before a unit that the boot has started."""
    members = [member for item in items for member in item.members]
    pulled = _started_by_boot(units)  # also units of the documents with WantedBy=multi-user.target or the like
    late = {m.unit: m.item for m in members if m.wanted is Wanted.RUNNING and not m.early and m.unit not in pulled}
    started = (EARLY_BOOT | pulled) - _GOALS - {member.unit for member in members if member.ours}
    for unit, pointer in sorted(late.items()):
        for other in sorted(set(units.words(unit, "Before")) & started - {unit}):
            yield _warning(unit, other, pointer, place_of)
    for other in sorted(started & units.items.keys()):
        for unit in sorted(set(units.words(other, "After")) & late.keys() - {other}):
            for pointer in sorted(units.items[other]):
                yield _warning(unit, other, pointer, place_of)


def _warning(unit: str, other: str, pointer: str, place_of: Callable[[str], Where]) -> Problem:
    what = f"{unit} cannot start before {other}: the boot starts that earlier than the services of the documents"
    hint = f"set `phase: early`, so that {unit} is a part of the boot"
    return warning(pointer, place_of(pointer), what, hint, "TooLate")


def _started_by_boot(units: EffectiveUnits) -> frozenset[str]:
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
