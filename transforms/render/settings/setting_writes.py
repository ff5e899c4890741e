"""The writes of one system for the value of a setting: rows of its definition, with expanded templates.

    value, writes ──▶ Written: files, the units that read them, and additions to other sections

Each kind of write is a row in `_KINDS`. Nothing here knows the name of a setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ordain.transforms.artifacts import Artifact
from ordain.transforms.catalog.names import Names
from ordain.transforms.catalog.setting_systems import READERS, service_of
from ordain.transforms.errors import Problem, blocked, is_blocked, warning
from ordain.transforms.model import Branch, Installed, Leaf, Member, OnChange, Template, Wanted, strings
from ordain.transforms.render import placed_files
from ordain.transforms.render.cause_comments import file_header
from ordain.transforms.render.services.service_units import is_installed
from ordain.transforms.render.settings.additions import Addition
from ordain.transforms.render.settings.setting_values import PlainValue
from ordain.transforms.render.unit_links import SERVICES_TARGET, wants
from ordain.transforms.systemd import unit_name
from ordain.transforms.template.expand import Scope, TemplateScope, expand

COMMAND_UNIT = "ordain-command@.service"
"""The static unit whose instance is a command: it runs again when one of the files that it uses changes."""
_REACTIONS = {"reload": OnChange.RELOAD, "restart": OnChange.RESTART, "reader": OnChange.NONE}
NO_COMMENT = "none"
"""The word for a file whose format has no comments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsMachine:
    """The values that all writes need: ``mounts`` as in `placed_files`, ``packages`` those that documents want.

    ``made`` are the units of the documents, ``values`` the checked values of all settings by name.
    """

    names: Names
    scope: Scope
    installed: Installed | None
    mounts: Mapping[str, bool]
    packages: frozenset[str] = frozenset()
    made: frozenset[str] = frozenset()
    values: Mapping[str, PlainValue] = field(default_factory=dict)

    def has(self, service: str) -> bool:
        """Return whether the unit of ``service`` is installed, or will be; not known counts as yes."""
        unit = self.names.service(service, "unit")
        if self.names.service(service, "package") in self.packages:
            return True
        return self.installed is None or unit in self.made or is_installed(self._real(unit), self.installed)

    def unit(self, service: str) -> str:
        """Return the unit of a service under its own name, "" if no Transform names it."""
        return self._real(self.names.service(service, "unit"))

    def _real(self, unit: str) -> str:
        return self.installed.aliases.get(unit, unit) if self.installed else unit


@dataclass(slots=True)
class Written:
    """Everything that the writes of one setting make."""

    artifacts: list[Artifact] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    additions: list[Addition] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _SettingScope:
    """The names for templates of writes: those of `Scope` that belong to a machine, and those of the setting."""

    machine: SettingsMachine
    own: Mapping[str, PlainValue]

    @property
    def known(self) -> str:
        return f"known names: {', '.join(self.own)}, facts, labels, path('NAME'), service('NAME').log, setting('NAME')"

    def variables(self, *, instance: bool, credentials: frozenset[str]) -> dict[str, Any]:
        names = self.machine.scope.variables(instance=instance, credentials=credentials)
        return {
            **{name: names[name] for name in ("facts", "labels", "path", "service")},
            "setting": self.setting,
            **self.own,
        }

    def setting(self, name: str) -> PlainValue:
        """Return the value of another setting, or its default. Raises `KeyError`."""
        if (value := self.machine.values.get(name)) is None:
            raise KeyError(f"the setting {name!r} has neither a value nor a default")
        return value


def chosen_writes(definition: Branch, machine: SettingsMachine) -> tuple[Branch, ...]:
    """Return the writes for this machine, by their names.

    A fallback counts where its service is installed and none of the services of the others is. An optional one counts
    where its service is installed.
    """
    rows = [write for _, write in definition.branch("writes").branches()]
    writes = [write for write in rows if write.value("optional") is not True or machine.has(service_of(write))]
    usual = tuple(write for write in writes if write.value("fallback") is not True)
    read = [write for write in usual if service_of(write)]
    if machine.installed is None or any(machine.has(service_of(write)) for write in read):
        return usual
    others = tuple(write for write in writes if write not in usual and machine.has(service_of(write)))
    return (*(write for write in usual if write not in read), *others) if others else usual


def write_setting(
    item: str, leaf: Leaf, value: PlainValue, writes: Iterable[Branch], machine: SettingsMachine
) -> Written:
    """Return what ``writes`` make of ``value``; ``leaf`` has its place in the documents."""
    writes, written = tuple(writes), Written()
    for write in writes:
        _Write(item, leaf, value, write, machine, written).make()
    services = dict.fromkeys(map(service_of, writes))
    for service in services if not is_blocked(written.problems) else ():
        if not service or machine.has(service):
            continue
        unit, package = machine.unit(service), machine.names.service(service, "package")
        hint = f"install the package {package}" if package else "install it"
        what = f"nothing reads this value now: {unit} is not installed"
        written.problems.append(warning(item, leaf.where, what, hint, "Unread"))
    return written


@dataclass(slots=True)
class _Write:
    item: str
    leaf: Leaf
    value: PlainValue
    write: Branch
    machine: SettingsMachine
    written: Written

    def make(self) -> None:
        kind = next((kind for kind in _KINDS if kind in self.write), "")
        if not kind:
            self.fault(self.write.here, "the write has none of the keys " + ", ".join(_KINDS))
            return
        paths: list[str] = []
        for scope in self.scopes():
            paths += _KINDS[kind](self, scope)
        self.written.members += self.members(service_of(self.write), paths)

    def scopes(self) -> Iterator[TemplateScope]:
        """Yield the names for the templates, once for each file."""
        if self.write.value("each") is True and isinstance(self.value, dict):
            for name, value in self.value.items():
                yield _SettingScope(self.machine, {"name": name, "value": value})
        else:
            yield _SettingScope(self.machine, {"value": self.value})

    def members(self, service: str, paths: list[str]) -> Iterator[Member]:
        key = next((key for key in READERS if key in self.write), "")
        reaction = _REACTIONS.get(key, OnChange.NONE)
        if paths and reaction is not OnChange.NONE:
            check = self.machine.names.check(service)
            yield Member(
                unit=self.machine.unit(service),
                item=self.item,
                wanted=Wanted.PRESENT,
                ours=False,
                on_change=OnChange.RESTART if reaction is OnChange.RESTART else OnChange.AUTO,
                uses=tuple((path, reaction) for path in sorted(paths)),
                check=tuple(strings(vector) for vector in check.value)
                if check and isinstance(check.value, tuple)
                else (),
            )
        command = self.write.leaf("run")
        for vector in command.value if paths and command and isinstance(command.value, tuple) else ():
            unit = unit_name.instance_of(COMMAND_UNIT, unit_name.escape(" ".join(strings(vector))))
            self.written.artifacts.append(wants(SERVICES_TARGET, unit, self.item))
            uses = tuple((path, OnChange.RESTART) for path in sorted(paths))
            yield Member(
                unit=unit, item=self.item, wanted=Wanted.RUNNING, ours=False, on_change=OnChange.RESTART, uses=uses
            )

    def file(self, scope: TemplateScope) -> list[str]:
        return self.place(self.text("file", scope), scope)

    def drop_in(self, scope: TemplateScope) -> list[str]:
        directory = self.machine.names.service(service_of(self.write), "config")
        return self.place(f"{directory.rstrip('/')}/{self.text('drop-in', scope)}", scope)

    def place(self, path: str, scope: TemplateScope) -> list[str]:
        """Place the file at ``path``, and return its path; no file if the content is blank."""
        content = self.text("content", scope)
        if not content.strip():
            return []
        sign = str(self.write.value("comment", "#"))
        if sign != NO_COMMENT:
            content = "".join(f"{sign}{line[1:]}\n" for line in file_header(self.item)) + content
        entry: dict[str, Leaf] = {"content": replace(self.leaf, value=content)}
        if mode := self.write.leaf("mode"):
            entry["mode"] = mode
        made = placed_files.render(
            path, Branch(children=entry, where=self.leaf.where), self.item, self.machine.names, self.machine.mounts
        )
        self.written.artifacts += made.artifacts
        self.written.problems += made.problems
        return [path]

    def sysctl(self, scope: TemplateScope) -> list[str]:
        for name, leaf in self.write.branch("sysctl").leaves():
            self.add(("sysctl", name), self.expanded(leaf, scope))
        return []

    def services(self, scope: TemplateScope) -> list[str]:
        for service, keys in self.write.branch("services").branches():
            for key, leaf in keys.leaves():
                self.add(("services", service, key), self.expanded(leaf, scope))
        return []

    def unit(self, scope: TemplateScope) -> list[str]:
        for unit, sections in self.write.branch("unit").branches():
            for section, directives in sections.branches():
                for directive, leaf in directives.leaves():
                    texts = [self.expanded(replace(leaf, value=text), scope) for text in strings(leaf.value)]
                    if any(texts):
                        place = replace(self.leaf, value=tuple(texts))
                        self.written.additions.append(Addition(path=("units", unit, section, directive), leaf=place))
        return []

    def add(self, path: tuple[str, ...], text: str) -> None:
        if text:
            self.written.additions.append(Addition(path=path, leaf=replace(self.leaf, value=text)))

    def text(self, key: str, scope: TemplateScope) -> str:
        leaf = self.write.leaf(key)
        return self.expanded(leaf, scope) if leaf else ""

    def expanded(self, leaf: Leaf, scope: TemplateScope) -> str:
        """Return the text that the template at ``leaf`` makes; its problems are those of the Transform."""
        template = replace(leaf, value=Template(str(leaf.value)))
        tree, problems = expand(Branch(children={"text": template}), scope, self.item)
        for problem in problems:
            self.fault(replace(leaf, where=problem.where), problem.what, problem.hint)
        return str(tree.value("text", ""))

    def fault(self, place: Leaf, what: str, hint: str = "") -> None:
        what = f"the row {place.where.pointer} of this Transform cannot be used: {what}"
        self.written.problems.append(blocked(self.item, place.where, what, hint, "BadTransform"))


_KINDS: Mapping[str, Callable[[_Write, TemplateScope], list[str]]] = {
    "file": _Write.file,
    "drop-in": _Write.drop_in,
    "sysctl": _Write.sysctl,
    "services": _Write.services,
    "unit": _Write.unit,
}
"""By the key of its kind, the function that makes a write, and returns the paths of its files."""
