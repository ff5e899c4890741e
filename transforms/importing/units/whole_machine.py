"""The units of a whole machine that its administrator decided about: own units, and those enabled, masked or changed.

The units of the distribution stay there: one that is enabled becomes an entry without other keys, under its neutral
name if it has one, with only the drop-ins in /etc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from ordain.transforms.errors import Where
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.units.unit_assignments import Assignment
from ordain.transforms.importing.units.unit_files import ImportedUnit, read_unit
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Installed, InstalledUnit, Link
from ordain.transforms.render.services.service_units import started_by
from ordain.transforms.render.unit_links import INSTALL
from ordain.transforms.systemd import unit_name

ADMINISTRATORS = "/etc/"
DISTRIBUTIONS = ("/usr/lib/systemd/system", "/lib/systemd/system", "/usr/local/lib/systemd/system")
INSTALL_KEYS = {directory: key for key, directory in INSTALL.items()}
_OF_ORDAIN = lazy_pattern(r"ordain(-[a-z-]+)?\.(service|timer|target)")
"""The units of Ordain's package, which no document needs to name."""
PULLS = ("Wants", "Requires", "BindsTo", "Upholds", "OnFailure", "OnSuccess")

ReadFile = Callable[[str], bytes | None]
"""Returns the content of a file of the machine by its path there, None if there is no such file."""


def administrators_units(installed: Installed, read: ReadFile, draft: DocumentDraft) -> tuple[ImportedUnit, ...]:
    """Return the units that the administrator of the machine decided about."""
    return tuple(_Machine(installed, read, draft).units())


class _Machine:
    def __init__(self, installed: Installed, read: ReadFile, draft: DocumentDraft) -> None:
        self.installed, self.read, self.draft = installed, read, draft
        self.links: dict[str, list[Link]] = {}
        for link in installed.links:
            if link.path.startswith(ADMINISTRATORS):
                self.links.setdefault(installed.aliases.get(link.name, link.name), []).append(link)
        self.shared_drop_ins: set[str] = set()

    def units(self) -> Iterator[ImportedUnit]:
        templates: dict[str, list[str]] = {}
        for name in self.names():
            unit = self.installed.units.get(name)
            template = unit_name.template_of(name)
            if unit is None or (not unit.path and not unit.drop_ins):
                for link in self.links.get(name, ()):
                    self.draft.not_converted(Where(path=link.path), f"there is no unit {name}", "remove the link")
            elif _OF_ORDAIN.fullmatch(name) and not _is_own(unit):
                for path in self.drop_ins(unit):
                    hint = "keep the file: documents cannot change units of Ordain"
                    self.draft.not_converted(Where(path=path), f"a drop-in for {name}", hint)
            elif _is_own(unit) and template:
                templates.setdefault(template, []).append(name)
            elif _is_own(unit) and not unit.masked:
                if not self.hides_distribution_unit(unit):
                    yield self.own_unit(unit, name, [name])
            else:
                yield self.distribution_unit(unit)
        for template, names in sorted(templates.items()):
            yield self.own_unit(self.installed.units[names[0]], template, names)

    def names(self) -> tuple[str, ...]:
        """Return the units enabled, masked or changed in /etc, and the administrator's units that those start."""
        names = {*self.links}
        for name, unit in self.installed.units.items():
            if (unit.masked and _is_own(unit)) or (not unit_name.is_template(name) and any(self.drop_ins(unit))):
                names.add(name)
        todo = list(names)
        while todo:
            starter = self.installed.units.get(todo.pop())
            for name in _started_units(starter) if starter else ():
                name = self.installed.aliases.get(name, name)
                other = self.installed.units.get(name)
                if other and _is_own(other) and name not in names:
                    names.add(name)
                    todo.append(name)
        return tuple(sorted(names))

    def own_unit(self, unit: InstalledUnit, name: str, names: list[str]) -> ImportedUnit:
        """Return a unit of the administrator, whose links replace the directives of [Install]."""
        from_files = read_unit(name, self.file(unit.path), self.files(unit), self.draft)
        links = dict.fromkeys((link.kind, link.target, link.path) for n in names for link in self.links.get(n, ()))
        install = (
            Assignment(where=Where(path=path), section="Install", key=INSTALL_KEYS[kind], value=target)
            for kind, target, path in links
        )
        return replace(
            from_files,
            assignments=(*(a for a in from_files.assignments if a.section != "Install"), *install),
            own=True,
            masked=False,
            instances=tuple(sorted(n.partition("@")[2].rpartition(".")[0] for n in names)) if name not in names else (),
        )

    def distribution_unit(self, unit: InstalledUnit) -> ImportedUnit:
        """Return a unit of the distribution with the assignments that /etc adds to it."""
        if any(self.drop_ins(unit)):
            return replace(read_unit(unit.name, None, self.files(unit), self.draft), masked=unit.masked)
        links = self.links.get(unit.name, ())
        return ImportedUnit(
            name=unit.name,
            where=Where(path=links[0].path if links else unit.path),
            comment=f"{unit.path}{': masked' if unit.masked else ''}",
            own=False,
            masked=unit.masked,
        )

    def hides_distribution_unit(self, unit: InstalledUnit) -> bool:
        """Return whether a unit hides one of the distribution, which documents cannot do, and add the problem."""
        hidden = next((p for d in DISTRIBUTIONS if self.read(p := f"{d}/{unit.name}") is not None), "")
        if hidden:
            hint = f"write the differences into `services` with `unit: {unit.name}`, or rename this unit"
            self.draft.not_converted(Where(path=unit.path), f"it hides {hidden} of the distribution", hint)
        return bool(hidden)

    def drop_ins(self, unit: InstalledUnit) -> Iterator[str]:
        """Yield the drop-ins in /etc for this unit alone, or for its template."""
        directories = {f"{unit.name}.d", f"{unit_name.template_of(unit.name) or unit.name}.d"}
        for path in unit.drop_ins:
            if path.startswith(ADMINISTRATORS):
                if path.split("/")[-2] in directories:
                    yield path
                elif path not in self.shared_drop_ins:
                    self.shared_drop_ins.add(path)
                    hint = "repeat it in each service, or keep the file beside the documents"
                    what = "a document cannot express a drop-in for many units"
                    self.draft.not_converted(Where(path=path), what, hint)

    def files(self, unit: InstalledUnit) -> Iterable[InputFile]:
        return [self.file(path) for path in self.drop_ins(unit)]

    def file(self, path: str) -> InputFile:
        return InputFile(path=path, data=self.read(path) or b"\n")


def _is_own(unit: InstalledUnit) -> bool:
    return unit.path.startswith(ADMINISTRATORS)


def _started_units(unit: InstalledUnit) -> Iterator[str]:
    for key in PULLS:
        for text in unit.values("Unit", key):
            yield from text.split()
    if started := started_by(unit):
        yield started
