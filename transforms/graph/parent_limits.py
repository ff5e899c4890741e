"""Limits of units above those of their slices: the smaller one counts, and nobody says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ordain.transforms.errors import Problem, warning
from ordain.transforms.graph.effective_units import EffectiveUnits
from ordain.transforms.graph.setting_places import PlaceOf, place_of_key
from ordain.transforms.systemd import unit_name
from ordain.transforms.systemd.values import EncodeError, percent, size, unsigned

_LIMITS: dict[str, tuple[str, Callable[[str], object]]] = {
    "MemoryMax": ("limits/memory", size),
    "MemoryHigh": ("limits/memory-high", size),
    "TasksMax": ("limits/tasks", unsigned),
    "CPUQuota": ("limits/cpu", lambda text: percent(text, 0)),
}
"""The key of a service and the reader for each limit that a slice has, too (systemd.resource-control(5))."""
_WITH_LIMITS = {"service": "Service", "socket": "Socket", "mount": "Mount", "swap": "Swap", "slice": "Slice"}


def parent_limits(units: EffectiveUnits, place_of: PlaceOf) -> Iterator[Problem]:
    """Warn of each limit of a unit of the documents that is above that of a slice which it is in."""
    for unit, items in sorted(units.items.items()):
        section = _WITH_LIMITS.get(unit_name.unit_type(unit), "")
        for key, (own, read) in _LIMITS.items() if section else ():
            limit = _limit(units, unit, section, key, read)
            for parent in _parents(units, unit, section) if limit is not None else ():
                most = _limit(units, parent, "Slice", key, read)
                if limit is not None and most is not None and most < limit:
                    value, smaller = (
                        units.words(name, key, of)[-1] for name, of in ((unit, section), (parent, "Slice"))
                    )
                    what = f"{unit}: {key}={value} is above the {key}={smaller} of {parent}, which counts"
                    for item in sorted(items):
                        keys = (own, f"{section}/{key}", f"systemd/{section}/{key}")
                        yield warning(
                            item, place_of_key(item, keys, place_of), what, "write a smaller limit", "Doubtful"
                        )
                    break


def _limit(units: EffectiveUnits, unit: str, section: str, key: str, read: Callable[[str], object]) -> float | None:
    words = units.words(unit, key, section)
    try:
        return float(str(read(words[-1]))) if words else None
    except EncodeError:
        return None


def _parents(units: EffectiveUnits, unit: str, section: str) -> Iterator[str]:
    """Yield the slices that a unit is in, the nearest first."""
    words = units.words(unit, "Slice", section)
    name = unit if section == "Slice" else words[-1] if words else "system.slice"
    if section != "Slice":
        yield name
    stem = name.removesuffix(".slice")
    while "-" in stem.strip("-"):
        stem = stem.rpartition("-")[0]
        yield f"{stem}.slice"
    yield "-.slice"
