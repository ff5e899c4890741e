"""Dependencies with which the start of a unit would end the system, or stop what the machine needs.

A unit that wants reboot.target reboots the machine at each boot, and one that conflicts with basic.target stops all
services with it: PID 1 does what the unit says (systemd.unit(5), Wants= and Conflicts=).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ordain.transforms.errors import Problem, blocked
from ordain.transforms.graph.effective_units import EffectiveUnits
from ordain.transforms.graph.late_orderings import started_by_boot
from ordain.transforms.graph.setting_places import PlaceOf, place_of_key
from ordain.transforms.model import Wanted
from ordain.transforms.render.rendered_item import RenderedItem
from ordain.transforms.systemd.system_units import ENDS_SYSTEM, NOT_REPLACEABLE

_RESCUE = frozenset(("emergency.target", "emergency.service", "rescue.target", "rescue.service", "umount.target"))
_NEEDED = NOT_REPLACEABLE - ENDS_SYSTEM - _RESCUE
_PULLS = {"Wants": "wants", "Requires": "requires", "BindsTo": "", "Upholds": ""}
_HINT = "remove it; a timer with `Unit={}` in `units` does so at a time of its own"


def fatal_dependencies(items: Iterable[RenderedItem], units: EffectiveUnits, place_of: PlaceOf) -> Iterator[Problem]:
    """Yield the units of the documents that start with the machine and have such a dependency."""
    running = {m.unit for item in items for m in item.members if m.wanted is Wanted.RUNNING}
    for unit in sorted(units.items.keys() & (running | started_by_boot(units))):
        for key, neutral in _PULLS.items():
            for other in sorted(ENDS_SYSTEM.intersection(units.words(unit, key))):
                what = f"{unit} starts {other} ({key}=), which would end the system whenever {unit} starts"
                yield from _problems(unit, key, neutral, (what, _HINT.format(other)), units, place_of)
        for other in sorted(_NEEDED.intersection(units.words(unit, "Conflicts"))):
            what = f"{unit} conflicts with {other}, so that its start would stop that unit, which the machine needs"
            yield from _problems(unit, "Conflicts", "conflicts", (what, "remove it"), units, place_of)


def _problems(
    unit: str, key: str, neutral: str, text: tuple[str, str], units: EffectiveUnits, place_of: PlaceOf
) -> Iterator[Problem]:
    keys = (*filter(None, (neutral,)), f"systemd/Unit/{key}", f"Unit/{key}")
    for item in sorted(units.items[unit]):
        yield blocked(item, place_of_key(item, keys, place_of), *text, "Vital")
