"""Which kind of file each source is, and who imports it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Where
from ordain.transforms.importing import cloud_config, compose, fstab, quadlet, unit_files
from ordain.transforms.importing.draft import Imported, Source


class Kind(StrEnum):
    """What a file can be."""

    UNITS = "units"
    CLOUD = "cloud-config"
    QUADLET = "quadlet"
    COMPOSE = "compose"
    FSTAB = "fstab"


def kind_of(source: Source) -> Kind | None:
    """What ``source`` is, by its name and then by its content; None where neither says."""
    if unit_files.unit_of(source):
        return Kind.UNITS
    if source.name.rpartition(".")[2] in quadlet.TYPES and source.stem != source.name:
        return Kind.QUADLET
    if source.name == "fstab" or source.name.endswith(".fstab"):
        return Kind.FSTAB
    if source.name in CLOUD_NAMES or source.data.lstrip().startswith(b"#cloud-config"):
        return Kind.CLOUD
    head = source.data[:65536]
    if COMPOSE_NAME.fullmatch(source.name) or (re.search(rb"(?m)^services:", head) and b"ordain:" not in head):
        return Kind.COMPOSE
    return None


CLOUD_NAMES = frozenset({"user-data", "vendor-data", "network-config"})
COMPOSE_NAME = re.compile(r"(docker-)?compose([.-][\w.-]+)?\.ya?ml")


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
        if unit_files.unit_of(source):
            named.append(source)
        else:
            hint = "call it NAME.service, or NAME.service.d/….conf"
            imported.lost(Where(path=source.path), "a unit file is known by its name", hint)
    unit_files.carry(unit_files.from_sources(named, imported), names, imported)


IMPORTERS: Mapping[Kind, Callable[[Iterable[Source], Names, Imported], None]] = {
    Kind.UNITS: _units,
    Kind.CLOUD: cloud_config.carry,
    Kind.QUADLET: quadlet.carry,
    Kind.COMPOSE: compose.carry,
    Kind.FSTAB: fstab.carry,
}
