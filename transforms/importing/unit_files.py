"""Unit files and drop-ins → entries of ``services`` where those say the same, else of ``units``, word for word.

A service becomes an entry of ``services`` when a target of the normal boot wants it, or a timer or socket of its name
starts it; anything else (templates, targets, paths, early services, helpers) stays a unit in systemd's own syntax.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ordain.transforms.catalog.names import Names
from ordain.transforms.document import formats
from ordain.transforms.document.service_keys import LISTEN, SCHEDULE
from ordain.transforms.document.shapes import Position, Record
from ordain.transforms.errors import Where
from ordain.transforms.importing import invert, unit_reader
from ordain.transforms.importing.draft import Imported, Plain, Source
from ordain.transforms.importing.unit_reader import Assignment, Settings
from ordain.transforms.model import Branch
from ordain.transforms.render import service_directives as service
from ordain.transforms.render import sockets_and_timers
from ordain.transforms.render.unit_draft import UnitDraft
from ordain.transforms.render.unit_links import INSTALL
from ordain.transforms.render.unit_references import UnitReferences
from ordain.transforms.systemd import encode, splitting, unit_name, values

NORMAL_BOOT = frozenset({"multi-user.target", "graphical.target", "default.target"})
"""Targets whose WantedBy= means no more than: runs when the machine is up."""
STARTED_BY = {"timer": "timers.target", "socket": "sockets.target"}
"""The target that wants a trigger of each type; a document's own is wanted by ordain-services.target instead."""
WORDS = frozenset({"Description", "Documentation"})
"""Settings for people. A timer or socket that a service brings is described by the service."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit to import: its assignments, drop-ins last.

    ``own``: there is a unit file; else the drop-ins are for a unit of the distribution. ``instances`` of a template.
    """

    name: str
    where: Where
    comment: str
    assignments: tuple[Assignment, ...] = ()
    own: bool = True
    masked: bool = False
    instances: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """Its name without type, and without the @ of a template."""
        return self.name.rpartition(".")[0].removesuffix("@")

    @property
    def kind(self) -> str:
        """Its type."""
        return unit_name.unit_type(self.name)

    @property
    def settings(self) -> Settings:
        """What is in force of its assignments."""
        return unit_reader.effective(self.assignments) if self.own else unit_reader.grouped(self.assignments)


def from_sources(sources: Iterable[Source], imported: Imported) -> tuple[Unit, ...]:
    """The units of files called like a unit, or ``NAME.d/….conf``."""
    files: dict[str, Source] = {}
    drop_ins: dict[str, dict[str, Source]] = {}
    for source in sources:
        unit = unit_of(source)
        if source.name != unit:
            drop_ins.setdefault(unit, {})[source.name] = source
        elif unit in files:
            imported.lost(
                Where(path=source.path), f"a second {unit}", f"import it on its own; first {files[unit].path}"
            )
        else:
            files[unit] = source
    return tuple(
        assembled(name, files.get(name), [file for _, file in sorted(drop_ins.get(name, {}).items())], imported)
        for name in dict.fromkeys((*files, *drop_ins))
    )


def unit_of(source: Source) -> str:
    """The unit that a file is about by its name, "" if none."""
    if unit_name.is_valid(source.name):
        return source.name
    unit = source.folder.removesuffix(".d")
    drop_in = source.name.endswith(".conf") and source.folder.endswith(".d")
    return unit if drop_in and unit_name.is_valid(unit) else ""


def assembled(name: str, fragment: Source | None, drop_ins: Iterable[Source], imported: Imported) -> Unit:
    """The unit called ``name`` from its files."""
    files = [*([fragment] if fragment else ()), *drop_ins]
    return Unit(
        name=name,
        where=Where(path=files[0].path),
        comment="\n".join(file.path for file in files),
        assignments=tuple(a for file in files for a in unit_reader.read(name, file, imported)),
        own=fragment is not None,
        masked=fragment is not None and not fragment.data,
    )


def carry(units: Iterable[Unit], names: Names, imported: Imported) -> None:
    """Puts ``units`` into ``imported``; ``names`` is what neutral names mean on the machine they come from."""
    units = tuple(units)
    own = {unit.name: unit for unit in units if unit.own and not unit.masked}
    context = service.Context(names=names, references=UnitReferences(services={}, names=names))
    taken = frozenset(unit.stem for unit in own.values() if unit.kind == "service")
    _Carrier(own, invert.Known(context=context, taken=taken), imported).all(units)


class _Carrier:
    def __init__(self, own: Mapping[str, Unit], known: invert.Known, imported: Imported) -> None:
        self.own, self.known, self.imported = own, known, imported
        self.done: set[str] = set()

    def all(self, units: tuple[Unit, ...]) -> None:
        for unit in units:
            if unit.name in self.done or (unit.kind in STARTED_BY and self.starts(unit)):
                continue
            if unit.masked:
                self.distribution(unit, {"state": "masked"})
            elif not unit.own:
                self.drop_in(unit)
            elif not (unit.kind == "service" and self.service(unit)):
                self.raw(unit, unit.name)
        for unit in units:  # triggers whose service could not take them in
            if unit.kind in STARTED_BY and unit.own and unit.name not in self.done and self.starts(unit):
                self.raw(unit, unit.name)
        self.siblings()

    def starts(self, unit: Unit) -> bool:
        """Whether ``unit`` is the trigger of a service that is imported along with it."""
        return unit.own and f"{unit.stem}.service" in self.own and unit.name != f"{unit.stem}.service"

    def service(self, unit: Unit) -> bool:
        """Puts a service of our own, if ``services`` can say what it says."""
        settings = unit.settings
        triggers = [self.own[f"{unit.stem}.{k}"] for k in STARTED_BY if f"{unit.stem}.{k}" in self.own]
        trigger = triggers[0] if len(triggers) == 1 else None
        template = unit_name.split(unit.name)[1] is not None
        wanted = _installed(settings) <= NORMAL_BOOT if _installed(settings) else bool(trigger)
        instances = unit.instances or _default_instance(settings)
        if not wanted or not _fits(unit.stem, settings) or (template and not instances):
            return False
        entry = self.ours(settings)
        if entry is None:
            return False
        comment = unit.comment
        if triggers:
            started = _trigger(trigger) if trigger and not _installed(settings) else None
            if trigger is None or started is None:
                return False
            entry |= started
            comment += f"\n{trigger.comment}"
            self.done.add(trigger.name)
        if template:
            entry["instances"] = [*instances]
        entry["state"] = "running"
        if ("Service", "ExecStart") in _raw_places(entry):
            comment += "\n`command` only names the program: it runs what ExecStart says, in systemd's own syntax."
        self.imported.put("services", unit.stem, entry, unit.where, comment=comment)
        self.done.add(unit.name)
        return True

    def ours(self, settings: Settings) -> dict[str, Plain] | None:
        """The entry of a service of our own; None where it cannot have a command."""
        entry = invert.entry(settings, self.known)
        if "command" not in entry:
            first = settings["Service", "ExecStart"][0].value
            program = next(iter(splitting.split(first, unescape=True)), "").lstrip(invert.PREFIXES)
            try:
                encode.encode_command((program,))
            except encode.EncodeError:
                return None
            entry["command"] = invert.command_line([program])
        if "type" not in entry:
            if ("Service", "Type") in settings:
                return None
            entry["type"] = "dbus" if ("Service", "BusName") in settings else "simple"
        return entry

    def raw(self, unit: Unit, name: str) -> None:
        """Puts a whole unit, or a drop-in, in systemd's own syntax."""
        entry: dict[str, Plain] = {}
        for (section, key), those in unit.settings.items():
            if section == "Install" and (key not in {*INSTALL, "Alias"} or unit_name.split(unit.name)[1] == ""):
                for one in those:
                    self.imported.lost(one.where, *self.left_out(key, one.value))
                continue
            texts: list[Plain] = [one.value for one in those]
            below = entry.setdefault(section, {})
            assert isinstance(below, dict)
            below[key] = texts[0] if len(texts) == 1 else texts
        if set(entry) <= {"Install"}:
            self.imported.lost(unit.where, f"{unit.name} says nothing", "an empty unit would be a mask")
            return
        self.imported.put("units", name, entry, unit.where, comment=unit.comment)
        self.done.add(unit.name)

    def left_out(self, key: str, value: str) -> tuple[str, str]:
        if key == "Also":
            return f"Also={value}: a document enables each unit by itself", f"import {value}, too"
        return f"[Install] {key}={value} of a template", "a link starts an instance: name each under `instances`"

    def drop_in(self, unit: Unit) -> None:
        if unit.kind != "service" and unit.assignments:
            self.raw(unit, f"{unit.name}.d")
            return
        entry = invert.entry(unit.settings, self.known, drop_in=True)
        self.distribution(unit, entry)

    def distribution(self, unit: Unit, entry: dict[str, Plain]) -> None:
        """Puts an entry about a unit of the distribution, by its neutral name where it has one."""
        name = self.known.service_of(unit.name)
        if not name:
            name = unit.stem.replace("@", "-")
            if name in self.imported.mapping("services") or f"{name}.service" in self.own:
                name = f"{name}-{unit.kind}"
            entry = {"unit": unit.name, **entry}
        self.imported.put("services", name, entry, unit.where, comment=unit.comment)
        self.done.add(unit.name)

    def siblings(self) -> None:
        """Calls services of this import by their names, where that means their one unit."""
        entries = self.imported.mapping("services")
        simple = {
            f"{name}.service": name
            for name, entry in entries.items()
            if isinstance(entry, dict) and "command" in entry and not {"listen", "schedule", "instances"} & set(entry)
        }
        for entry in entries.values():
            for key in service.DEPENDENCIES:
                if isinstance(entry, dict) and isinstance(listed := entry.get(key), list):
                    entry[key] = [simple.get(name, name) if isinstance(name, str) else name for name in listed]


def _installed(settings: Settings) -> frozenset[str]:
    return frozenset(word for one in settings.get(("Install", "WantedBy"), ()) for word in one.value.split())


def _default_instance(settings: Settings) -> tuple[str, ...]:
    """What `systemctl enable` makes of a template without an instance."""
    return tuple(one.value for one in settings.get(("Install", "DefaultInstance"), ())[-1:])


def _fits(stem: str, settings: Settings) -> bool:
    """Whether ``services`` takes a service of this name with these settings."""
    try:
        formats.service_name(stem)
        isolated = [values.boolean(a.value) for a in settings.get(("Unit", "IgnoreOnIsolate"), ())]
    except ValueError:
        return False
    install = {key for section, key in settings if section == "Install"}
    return ("Service", "ExecStart") in settings and install <= {"WantedBy", "DefaultInstance"} and all(isolated[-1:])


def _raw_places(entry: Mapping[str, Plain]) -> set[tuple[str, str]]:
    raw = entry.get("systemd")
    sections = raw.items() if isinstance(raw, dict) else ()
    return {(section, key) for section, keys in sections if isinstance(keys, dict) for key in keys}


def _trigger(unit: Unit) -> dict[str, Plain] | None:
    """``schedule`` or ``listen`` for a timer or socket, None where they say less than it."""
    section = unit.kind.capitalize()
    neutral = {key: name for name, key in (sockets_and_timers.SCHEDULE | {"calendar": "OnCalendar"}).items()}
    neutral |= {key: name for name, key in sockets_and_timers.LISTEN.items()}
    neutral |= {"Accept": "accept", "SocketMode": "mode", "SocketUser": "user"}
    shape, key = (SCHEDULE, "schedule") if unit.kind == "timer" else (LISTEN, "listen")
    found: dict[str, Plain] = {}
    texts: dict[str, tuple[str, ...]] = {}
    for (where, name), those in unit.settings.items():
        if (where == "Unit" and name in WORDS) or (where, name) == ("Install", "WantedBy"):
            continue
        if where != section or name not in neutral:
            return None
        texts[name] = tuple(one.value for one in those)
        if name in {"Persistent", "Accept"}:
            found[neutral[name]] = texts[name][-1].lower() in {"yes", "true", "1", "on"}
        else:
            listed: list[Plain] = [*texts[name]]
            found[neutral[name]] = listed[0] if len(listed) == 1 else listed
    if _installed(unit.settings) != {STARTED_BY[unit.kind]} or not _same(found, texts, shape, unit.kind):
        return None
    return {key: found["calendar"] if set(found) == {"calendar"} else found}


def _same(found: dict[str, Plain], texts: Mapping[str, tuple[str, ...]], shape: Record, kind: str) -> bool:
    """Whether the renderer makes ``texts`` of ``found``."""
    key = "schedule" if kind == "timer" else "listen"
    node = invert.valid({key: found}, key)
    if node is None or found.get("accept") is True:
        return False
    branch = shape.canonical(node, Position("import"))
    draft = UnitDraft(unit=f"x.{kind}", item="", systemd=invert.NEWEST)
    assert isinstance(branch, Branch)
    if kind == "timer":
        sockets_and_timers.add_schedule(branch, draft)
    else:
        sockets_and_timers.add_listen(branch, draft, Names(tree=Branch()))
    made: dict[str, tuple[str, ...]] = {}
    for line in draft.lines:
        made[line.key] = (*made.get(line.key, ()), line.value)
    flags = {"Persistent", "Accept"}
    return not draft.problems and made.keys() == texts.keys() and all(made[k] == texts[k] or k in flags for k in made)
