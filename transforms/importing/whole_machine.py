"""A whole machine → what its administrator decided: units of their own, what is enabled, masked and changed.

What the distribution ships stays the distribution's: an enabled unit of it is an entry without keys, under its
neutral name where it has one, and only drop-ins below /etc are carried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ordain.transforms.errors import Where
from ordain.transforms.importing import unit_files as units
from ordain.transforms.importing.draft import Imported, Source
from ordain.transforms.importing.unit_files import Unit
from ordain.transforms.importing.unit_reader import Assignment
from ordain.transforms.model import Installed, InstalledUnit, Link
from ordain.transforms.render.service_units import started_by
from ordain.transforms.systemd import unit_name

ADMINISTRATORS = "/etc/"
DISTRIBUTIONS = ("/usr/lib/systemd/system", "/lib/systemd/system", "/usr/local/lib/systemd/system")
INSTALL = {"wants": "WantedBy", "requires": "RequiredBy", "upholds": "UpheldBy"}
PULLS = ("Wants", "Requires", "BindsTo", "Upholds", "OnFailure", "OnSuccess")

Reader = Callable[[str], bytes | None]
"""The content of a file of the machine by its path there; None if there is none."""


def from_machine(installed: Installed, read: Reader, imported: Imported) -> tuple[Unit, ...]:
    """The units of the machine that its administrator has spoken of."""
    return tuple(_Machine(installed, read, imported).units())


class _Machine:
    def __init__(self, installed: Installed, read: Reader, imported: Imported) -> None:
        self.installed, self.read, self.imported = installed, read, imported
        self.links: dict[str, list[Link]] = {}
        for link in installed.links:
            if link.path.startswith(ADMINISTRATORS):
                self.links.setdefault(installed.aliases.get(link.name, link.name), []).append(link)
        self.shared: set[str] = set()

    def units(self) -> Iterator[Unit]:
        templates: dict[str, list[str]] = {}
        for name in self.wanted():
            there = self.installed.units.get(name)
            template = unit_name.template_of(name)
            if there is None or (not there.path and not there.drop_ins):
                for link in self.links.get(name, ()):
                    self.imported.lost(Where(path=link.path), f"there is no {name}", "remove the link")
            elif _is_own(there) and template:
                templates.setdefault(template, []).append(name)
            elif _is_own(there) and not there.masked:
                if self.shadows(there):
                    continue
                yield self.own(there, name, [name])
            else:
                yield self.distributions(there)
        for template, names in sorted(templates.items()):
            yield self.own(self.installed.units[names[0]], template, names)

    def wanted(self) -> tuple[str, ...]:
        """Units that are enabled, masked or changed in /etc, and units of the administrator that those lead to."""
        found = {*self.links}
        for name, unit in self.installed.units.items():
            template = unit_name.split(name)[1] == ""
            if (unit.masked and _is_own(unit)) or (not template and any(self.own_drop_ins(unit))):
                found.add(name)
        todo = list(found)
        while todo:
            reached = self.installed.units.get(todo.pop())
            for name in _leads_to(reached) if reached else ():
                name = self.installed.aliases.get(name, name)
                other = self.installed.units.get(name)
                if other and _is_own(other) and name not in found:
                    found.add(name)
                    todo.append(name)
        return tuple(sorted(found))

    def own(self, unit: InstalledUnit, name: str, names: list[str]) -> Unit:
        """A unit of the administrator; how it is enabled is said by the links, not by [Install]."""
        made = units.assembled(name, self.source(unit.path), self.sources(unit), self.imported)
        wanted = dict.fromkeys((link.kind, link.target, link.path) for n in names for link in self.links.get(n, ()))
        links = [
            Assignment(where=Where(path=path), section="Install", key=INSTALL[kind], value=target)
            for kind, target, path in wanted
        ]
        return Unit(
            name=name,
            where=made.where,
            comment=made.comment,
            assignments=(*(a for a in made.assignments if a.section != "Install"), *links),
            instances=tuple(sorted(n.partition("@")[2].rpartition(".")[0] for n in names)) if name not in names else (),
        )

    def distributions(self, unit: InstalledUnit) -> Unit:
        """A unit of the distribution with what /etc adds to it."""
        made = (
            units.assembled(unit.name, None, self.sources(unit), self.imported)
            if any(self.own_drop_ins(unit))
            else None
        )
        links = self.links.get(unit.name, ())
        return Unit(
            name=unit.name,
            where=made.where if made else Where(path=links[0].path if links else unit.path),
            comment=made.comment if made else f"{unit.path}{': masked' if unit.masked else ''}",
            assignments=made.assignments if made else (),
            own=False,
            masked=unit.masked,
        )

    def shadows(self, unit: InstalledUnit) -> bool:
        """Whether it hides a unit file of the distribution, which a document cannot; says so."""
        hidden = next((p for d in DISTRIBUTIONS if self.read(p := f"{d}/{unit.name}") is not None), "")
        if hidden:
            hint = f"carry what differs in `services` with `unit: {unit.name}`, or give it a name of its own"
            self.imported.lost(Where(path=unit.path), f"it hides {hidden} of the distribution", hint)
        return bool(hidden)

    def own_drop_ins(self, unit: InstalledUnit) -> Iterator[str]:
        """Drop-ins in /etc that are for this unit alone, or for its template."""
        names = {f"{unit.name}.d", f"{unit_name.template_of(unit.name) or unit.name}.d"}
        for path in unit.drop_ins:
            if path.startswith(ADMINISTRATORS):
                if path.split("/")[-2] in names:
                    yield path
                elif path not in self.shared:
                    self.shared.add(path)
                    hint = "say it in each service, or keep the file beside the documents"
                    self.imported.lost(Where(path=path), "a drop-in for many units has no place in a document", hint)

    def sources(self, unit: InstalledUnit) -> Iterable[Source]:
        return [self.source(path) for path in self.own_drop_ins(unit)]

    def source(self, path: str) -> Source:
        return Source(path=path, data=self.read(path) or b"\n")


def _is_own(unit: InstalledUnit) -> bool:
    return unit.path.startswith(ADMINISTRATORS)


def _leads_to(unit: InstalledUnit) -> Iterator[str]:
    for key in PULLS:
        for text in unit.values("Unit", key):
            yield from text.split()
    if started := started_by(unit):
        yield started
