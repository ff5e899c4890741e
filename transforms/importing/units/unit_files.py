"""Unit files and drop-ins as entries of ``services`` if those can say the same, else as they are in ``units``.

A service becomes an entry of ``services`` if a target of the normal boot wants it, or if a timer or socket of its name
starts it. All other units (templates, targets, paths, early services, helpers) stay in systemd's own syntax.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ordain.transforms.catalog.names import Names
from ordain.transforms.document.formats import formats
from ordain.transforms.document.keys.service_keys import LISTEN, SCHEDULE
from ordain.transforms.document.keys.shapes import Position, Record
from ordain.transforms.errors import Where
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile, Plain
from ordain.transforms.importing.units import neutral_keys, unit_assignments
from ordain.transforms.importing.units.neutral_keys import KnownNames
from ordain.transforms.importing.units.unit_assignments import Assignment, Settings
from ordain.transforms.model import Branch
from ordain.transforms.render.services import sockets_and_timers
from ordain.transforms.render.services.service_directives import DEPENDENCIES, Context
from ordain.transforms.render.services.unit_references import UnitReferences
from ordain.transforms.render.unit_draft import UnitDraft
from ordain.transforms.render.unit_links import INSTALL
from ordain.transforms.systemd import encode, splitting, unit_name, values
from ordain.transforms.systemd.system_units import STARTED_BEFORE_SERVICES

NORMAL_BOOT = frozenset({"multi-user.target", "graphical.target", "default.target"})
"""Targets whose WantedBy= only means that the unit runs when the machine is up."""
STARTED_BY = {"timer": "timers.target", "socket": "sockets.target"}
"""The target that wants a trigger of each type. For a trigger of a document, ordain-services.target takes its place."""
DESCRIPTION, DOCUMENTATION = ("Unit", "Description"), ("Unit", "Documentation")
"""Settings for people, which a timer or socket of a document takes from its service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedUnit:
    """A unit to import: its assignments, those of drop-ins last.

    ``own``: there is a unit file; else the drop-ins are for a unit of the distribution, which is to run if it is
    ``enabled``. ``instances`` are those of a template.
    """

    name: str
    where: Where
    comment: str
    assignments: tuple[Assignment, ...] = ()
    own: bool = True
    masked: bool = False
    enabled: bool = False
    instances: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """Return the name without type, and without the @ of a template."""
        return self.name.rpartition(".")[0].removesuffix("@")

    @property
    def kind(self) -> str:
        """Return the type of unit."""
        return unit_name.unit_type(self.name)

    @property
    def settings(self) -> Settings:
        """Return the assignments by section and key."""
        if self.own:
            return unit_assignments.effective_settings(self.assignments)
        return unit_assignments.all_settings(self.assignments)


def read_units(files: Iterable[InputFile], draft: DocumentDraft) -> tuple[ImportedUnit, ...]:
    """Return the units in files that are named like a unit, or ``NAME.d/….conf``."""
    fragments: dict[str, InputFile] = {}
    drop_ins: dict[str, dict[str, InputFile]] = {}
    for file in files:
        unit = unit_of(file)
        if file.name != unit:
            drop_ins.setdefault(unit, {})[file.name] = file
        elif unit in fragments:
            what = f"there is a second {unit}; the first is {fragments[unit].path}"
            draft.not_converted(Where(path=file.path), what, "import this file alone")
        else:
            fragments[unit] = file
    return tuple(
        read_unit(name, fragments.get(name), [file for _, file in sorted(drop_ins.get(name, {}).items())], draft)
        for name in dict.fromkeys((*fragments, *drop_ins))
    )


def unit_of(file: InputFile) -> str:
    """Return the unit that a file is named after, ``""`` if there is none."""
    if unit_name.is_valid(file.name):
        return file.name
    unit = file.folder.removesuffix(".d")
    drop_in = file.name.endswith(".conf") and file.folder.endswith(".d")
    return unit if drop_in and unit_name.is_valid(unit) else ""


def read_unit(
    name: str, fragment: InputFile | None, drop_ins: Iterable[InputFile], draft: DocumentDraft
) -> ImportedUnit:
    """Return the unit called ``name`` from its files."""
    files = [*([fragment] if fragment else ()), *drop_ins]
    return ImportedUnit(
        name=name,
        where=Where(path=files[0].path),
        comment="\n".join(file.path for file in files),
        assignments=tuple(a for file in files for a in unit_assignments.read(name, file, draft)),
        own=fragment is not None,
        masked=fragment is not None and not fragment.data,
    )


def convert(units: Iterable[ImportedUnit], names: Names, draft: DocumentDraft) -> None:
    """Add ``units`` to ``draft``; ``names`` are the neutral names on the machine that they come from."""
    units = tuple(units)
    own = {unit.name: unit for unit in units if unit.own and not unit.masked}
    context = Context(names=names, references=UnitReferences(services={}, names=names))
    taken = frozenset(unit.stem for unit in own.values() if unit.kind == "service")
    _Converter(own, KnownNames(context=context, taken=taken), draft).convert(units)


class _Converter:
    def __init__(self, own: Mapping[str, ImportedUnit], known: KnownNames, draft: DocumentDraft) -> None:
        self.own, self.known, self.draft = own, known, draft
        self.converted: set[str] = set()

    def convert(self, units: tuple[ImportedUnit, ...]) -> None:
        for unit in units:
            if unit.name in self.converted or self.is_trigger(unit):
                continue
            if unit.masked:
                self.add_distribution_unit(unit, {"state": "masked"})
            elif not unit.own:
                self.add_drop_in(unit)
            elif not (unit.kind == "service" and self.add_service(unit)):
                self.add_raw(unit, unit.name)
        for unit in units:
            if unit.name not in self.converted and self.is_trigger(unit):  # which its service cannot express
                self.add_raw(unit, unit.name)
        self.use_names_of_siblings()

    def is_trigger(self, unit: ImportedUnit) -> bool:
        """Return whether ``unit`` is the timer or socket of a service in the same import."""
        return unit.own and unit.kind in STARTED_BY and f"{unit.stem}.service" in self.own

    def add_service(self, unit: ImportedUnit) -> bool:
        """Add a service of our own. Return False, and add nothing, if ``services`` cannot say the same."""
        settings = unit.settings
        triggers = [self.own[f"{unit.stem}.{kind}"] for kind in STARTED_BY if f"{unit.stem}.{kind}" in self.own]
        trigger = triggers[0] if len(triggers) == 1 else None
        template = unit_name.split(unit.name)[1] is not None
        wanted_by = _wanted_by(settings)
        wanted = wanted_by <= NORMAL_BOOT if wanted_by else bool(trigger)
        instances = unit.instances or _default_instance(settings)
        if not wanted or not _is_expressible(unit.stem, settings) or (template and not instances):
            return False
        if STARTED_BEFORE_SERVICES & _words(settings, "Unit", "Before") and not triggers:
            return False  # the agent starts services when the boot has passed these; PID 1 starts `units` in time
        entry = self.service_entry(settings)
        if entry is None:
            return False
        comment = unit.comment
        if triggers:
            trigger_entry = _trigger_entry(trigger) if trigger and not wanted_by else None
            if trigger is None or trigger_entry is None:
                return False
            entry |= trigger_entry
            comment += f"\n{trigger.comment}"
            _add_descriptions(entry, trigger.settings)
            comment += "".join(f": {a.value}" for a in trigger.settings.get(DESCRIPTION, ()))
            self.converted.add(trigger.name)
        if template:
            entry["instances"] = [*instances]
        entry["state"] = "running"
        if ("Service", "ExecStart") in _raw_places(entry):
            comment += (
                "\n`command` only names the program. The service runs ExecStart, which is in systemd's own syntax."
            )
        self.draft.add("services", unit.stem, entry, unit.where, comment=comment)
        self.converted.add(unit.name)
        return True

    def service_entry(self, settings: Settings) -> dict[str, Plain] | None:
        """Return the entry of a service of our own, None if `command` or `type` cannot express the settings."""
        entry = neutral_keys.service_entry(settings, self.known)
        if "command" not in entry:
            first = settings["Service", "ExecStart"][0].value
            program = next(iter(splitting.split(first, unescape=True)), "").lstrip(neutral_keys.PREFIXES)
            try:
                encode.encode_command((program,))
            except encode.EncodeError:
                return None
            entry["command"] = neutral_keys.written_command([program])
        if "type" not in entry:
            if ("Service", "Type") in settings:
                return None
            entry["type"] = "dbus" if ("Service", "BusName") in settings else "simple"
        return entry

    def add_raw(self, unit: ImportedUnit, name: str) -> None:
        """Add a whole unit, or a drop-in, in systemd's own syntax."""
        entry: dict[str, Plain] = {}
        listen = _listen_keys(unit)
        if listen != sorted(listen):  # the order in which a document is rendered
            what = f"the order of {', '.join(dict.fromkeys(listen))}, in which the service gets its sockets"
            hint = "let the service find out the address of each socket, or write a socket unit for each type"
            self.draft.not_converted(unit.where, what, hint)
        for (section, key), assignments in unit.settings.items():
            if section == "Install" and (key not in {*INSTALL, "Alias"} or unit_name.is_template(unit.name)):
                for assignment in assignments:
                    if key != "Also" or not self.own.keys() >= {*assignment.value.split()}:
                        self.draft.not_converted(assignment.where, *_install_problem(key, assignment.value))
                continue
            texts: list[Plain] = [assignment.value for assignment in assignments]
            keys = entry.setdefault(section, {})
            assert isinstance(keys, dict)
            keys[key] = texts[0] if len(texts) == 1 else texts
        if set(entry) <= {"Install"}:
            what = f"{unit.name} has no directives, and an empty unit would be a mask"
            self.draft.not_converted(unit.where, what, "remove the file")
            return
        self.draft.add("units", name, entry, unit.where, comment=unit.comment)
        self.converted.add(unit.name)

    def add_drop_in(self, unit: ImportedUnit) -> None:
        state: dict[str, Plain] = {"state": "running"} if unit.enabled else {}
        if unit.kind != "service" and unit.assignments:
            self.add_raw(unit, f"{unit.name}.d")
            if state:
                self.add_distribution_unit(unit, state)
            return
        entry = neutral_keys.service_entry(unit.settings, self.known, drop_in=True)
        self.add_distribution_unit(unit, {**entry, **state})

    def add_distribution_unit(self, unit: ImportedUnit, entry: dict[str, Plain]) -> None:
        """Add an entry for a unit of the distribution, under its neutral name if it has one."""
        name = self.known.service_of(unit.name)
        if not name:
            name = unit.stem.replace("@", "-")
            if name in self.draft.entries("services") or f"{name}.service" in self.own:
                name = f"{name}-{unit.kind}"
            entry = {"unit": unit.name, **entry}
        self.draft.add("services", name, entry, unit.where, comment=unit.comment)
        self.converted.add(unit.name)

    def use_names_of_siblings(self) -> None:
        """Refer to a service of the same import by its name, if that means exactly its unit."""
        entries = self.draft.entries("services")
        simple = {
            f"{name}.service": name
            for name, entry in entries.items()
            if isinstance(entry, dict) and "command" in entry and not {"listen", "schedule", "instances"} & set(entry)
        }
        for entry in entries.values():
            for key in DEPENDENCIES:
                if isinstance(entry, dict) and isinstance(listed := entry.get(key), list):
                    entry[key] = [simple.get(name, name) if isinstance(name, str) else name for name in listed]


def _install_problem(key: str, value: str) -> tuple[str, str]:
    if key == "Also":
        return f"a document enables each unit by itself, without Also={value}", f"import {value}, too"
    return f"{key}={value} in [Install] of a template", "name each instance under `instances`: a link would start one"


def _wanted_by(settings: Settings) -> frozenset[str]:
    return _words(settings, "Install", "WantedBy")


def _words(settings: Settings, section: str, key: str) -> frozenset[str]:
    return frozenset(word for assignment in settings.get((section, key), ()) for word in assignment.value.split())


def _default_instance(settings: Settings) -> tuple[str, ...]:
    """Return the instance that `systemctl enable` would enable of a template."""
    return tuple(assignment.value for assignment in settings.get(("Install", "DefaultInstance"), ())[-1:])


def _is_expressible(stem: str, settings: Settings) -> bool:
    """Return whether ``services`` can have a service of this name with these settings."""
    try:
        formats.service_name(stem)
        isolated = [values.boolean(assignment.value) for assignment in settings.get(("Unit", "IgnoreOnIsolate"), ())]
    except ValueError:
        return False
    install = {key for section, key in settings if section == "Install"}
    return ("Service", "ExecStart") in settings and install <= {"WantedBy", "DefaultInstance"} and all(isolated[-1:])


def _raw_places(entry: Mapping[str, Plain]) -> set[tuple[str, str]]:
    raw = entry.get("systemd")
    sections = raw.items() if isinstance(raw, dict) else ()
    return {(section, key) for section, keys in sections if isinstance(keys, dict) for key in keys}


_TRIGGER_KEYS = {
    **{key: name for name, key in sockets_and_timers.SCHEDULE.items()},
    **{key: name for name, key in sockets_and_timers.LISTEN.items()},
    **{"OnCalendar": "calendar", "Accept": "accept", "SocketMode": "mode", "SocketUser": "user"},
}
"""Directives of timers and sockets, and the keys of ``schedule`` and ``listen`` for them."""
_TRIGGER_FLAGS = frozenset({"Persistent", "Accept"})


def _trigger_entry(unit: ImportedUnit) -> dict[str, Plain] | None:
    """Return ``schedule`` or ``listen`` for a timer or socket, None if they cannot say the same."""
    section = unit.kind.capitalize()
    shape, key = (SCHEDULE, "schedule") if unit.kind == "timer" else (LISTEN, "listen")
    entry: dict[str, Plain] = {}
    texts: dict[str, tuple[str, ...]] = {}
    for (its_section, directive), assignments in unit.settings.items():
        if (its_section, directive) in {DESCRIPTION, DOCUMENTATION, ("Install", "WantedBy")}:
            continue
        if its_section != section or directive not in _TRIGGER_KEYS:
            return None
        texts[directive] = tuple(assignment.value for assignment in assignments)
        if directive in _TRIGGER_FLAGS:
            entry[_TRIGGER_KEYS[directive]] = texts[directive][-1].lower() in {"yes", "true", "1", "on"}
        else:
            listed: list[Plain] = [*texts[directive]]
            entry[_TRIGGER_KEYS[directive]] = listed[0] if len(listed) == 1 else listed
    if _wanted_by(unit.settings) != {STARTED_BY[unit.kind]} or not _renders_to(entry, texts, shape, unit):
        return None
    return {key: entry["calendar"] if set(entry) == {"calendar"} else entry}


def _listen_keys(unit: ImportedUnit) -> list[str]:
    """Return the key of each socket of a unit; in their order the service gets the sockets (sd_listen_fds(3))."""
    counted = {id(assignment) for assignments in unit.settings.values() for assignment in assignments}
    return [
        a.key for a in unit.assignments if id(a) in counted and a.section == "Socket" and a.key.startswith("Listen")
    ]


def _add_descriptions(entry: dict[str, Plain], settings: Settings) -> None:
    """Add the documentation of a timer or socket to that of its service."""
    documentation = entry.get("documentation", [])
    uris: list[Plain] = [*documentation] if isinstance(documentation, list) else [documentation]
    for assignment in settings.get(DOCUMENTATION, ()):
        uris += [uri for uri in assignment.value.split() if uri not in uris]
    if uris:
        entry["documentation"] = uris[0] if len(uris) == 1 else uris


def _renders_to(
    entry: dict[str, Plain], texts: Mapping[str, tuple[str, ...]], shape: Record, unit: ImportedUnit
) -> bool:
    """Return whether the renderer makes the directives ``texts`` of ``entry``."""
    kind = unit.kind
    key = "schedule" if kind == "timer" else "listen"
    node = neutral_keys.valid({key: entry}, key)
    if node is None or entry.get("accept") is True:
        return False
    branch = shape.canonical(node, Position("import"))
    draft = UnitDraft(unit=f"x.{kind}", item="", systemd=neutral_keys.NEWEST)
    assert isinstance(branch, Branch)
    if kind == "timer":
        sockets_and_timers.add_schedule(branch, draft)
    else:
        sockets_and_timers.add_listen(branch, draft, Names(tree=Branch()))
    rendered: dict[str, tuple[str, ...]] = {}
    for line in draft.lines:
        rendered[line.key] = (*rendered.get(line.key, ()), line.value)
    if [line.key for line in draft.lines if line.key.startswith("Listen")] != _listen_keys(unit):
        return False
    same = all(rendered[name] == texts.get(name) or name in _TRIGGER_FLAGS for name in rendered)
    return not draft.problems and rendered.keys() == texts.keys() and same
