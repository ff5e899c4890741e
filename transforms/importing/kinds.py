"""Which kind of file each source is, and who imports it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from ordain.transforms.errors import Where
from ordain.transforms.importing import units
from ordain.transforms.importing.imported import Imported, Source
from ordain.transforms.names import Names


class Kind(StrEnum):
    """What a file can be."""

    UNITS = "units"


def kind_of(source: Source) -> Kind | None:
    """What ``source`` is, by its name and then by its content; None where neither says."""
    if units.unit_of(source):
        return Kind.UNITS
    return None


def carry(sources: Iterable[Source], names: Names, imported: Imported, kind: Kind | None = None) -> None:
    """Puts all ``sources`` into ``imported``; ``kind`` is what they are, None to look at each."""
    sorted_: dict[Kind, list[Source]] = {}
    for source in sources:
        found = kind or kind_of(source)
        if found is None:
            hint = f"name it with --from: {', '.join(Kind)}"
            imported.lost(Where(path=source.path), "what kind of file this is cannot be told", hint)
        else:
            sorted_.setdefault(found, []).append(source)
    for found, those in sorted_.items():
        IMPORTERS[found](those, names, imported)


def _units(sources: Iterable[Source], names: Names, imported: Imported) -> None:
    named = []
    for source in sources:
        if units.unit_of(source):
            named.append(source)
        else:
            hint = "call it NAME.service, or NAME.service.d/….conf"
            imported.lost(Where(path=source.path), "a unit file is known by its name", hint)
    units.carry(units.from_sources(named, imported), names, imported)


IMPORTERS: Mapping[Kind, Callable[[Iterable[Source], Names, Imported], None]] = {Kind.UNITS: _units}
