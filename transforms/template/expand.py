"""Expands ``{template: TEXT}`` for a machine (docs/design/documents.md, rule 9).

The templates run in `jinja_sandbox`; undefined names are errors. ``instance`` and ``credential()`` become sentinels,
which only the encoders turn into ``%i`` and ``%d/NAME``. Nothing else in the text of a template has a meaning to
systemd.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ordain.transforms import set_budget
from ordain.transforms.decimal_numbers import is_decimal
from ordain.transforms.document.formats.fact_table import FACT_TABLE, SITE, ValueKind
from ordain.transforms.errors import Problem, blocked
from ordain.transforms.model import Branch, Facts, Leaf, Row, Template, Tree, Value
from ordain.transforms.systemd.quoting import CREDENTIALS, INSTANCE

_KNOWN = (
    "known names: facts, labels, values, machines(LABEL='VALUE'), credential('NAME'), path('NAME'), "
    "service('NAME').log (and other keys of a service), and instance below `instances`; `--fact NAME=VALUE` sets a "
    "fact of a machine that is only described"
)
_FILE_TEXTS = frozenset(("content", "template"))
"""The keys whose templates make the content of a file, which may be longer than other values."""


def _no_machines(*_: object, **__: object) -> tuple[Mapping[str, object], ...]:
    return ()


def _no_services(_: str) -> Mapping[str, object]:
    return {}


class TemplateScope(Protocol):
    """The names that the templates of an item may use."""

    @property
    def known(self) -> str:
        """Return a hint with the names."""

    def variables(self, *, instance: bool, credentials: frozenset[str]) -> dict[str, Any]:
        """Return the variables and functions for the templates of one item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The values that templates of machines may read.

    ``path_of`` maps a neutral name to its path on this system, or to ``""``; ``service_of`` maps one to the values of
    the row of a service, none if there is none. ``machines`` returns records of Nodes (`resolve.other_machines`).
    """

    facts: Facts
    values: Mapping[str, object] = field(default_factory=dict)
    path_of: Callable[[str], str]
    service_of: Callable[[str], Mapping[str, object]] = _no_services
    machines: Callable[..., Sequence[Mapping[str, object]]] = _no_machines

    @property
    def known(self) -> str:
        """Return a hint with the names."""
        return _KNOWN

    def variables(self, *, instance: bool, credentials: frozenset[str]) -> dict[str, Any]:
        """Return the variables and functions for the templates of one item."""
        facts = self.facts
        known: dict[str, Any] = {
            "facts": {name.replace("-", "_"): value for name, value in self.fact_values().items()},
            "labels": {name: values[0] if len(values) == 1 else values for name, values in facts.labels.items()},
            "values": self.values,
            "path": self.path,
            "service": self.service,
            "machines": self.machines,
            "credential": _Credentials(credentials).path,
        }
        return {**known, "instance": INSTANCE} if instance else known

    def fact_values(self) -> dict[str, object]:
        """Return the facts by name; those of the table that could be read are among them, and those of the site."""
        details = sorted(self.facts.details.items())
        site = {name.removeprefix(SITE): _detail(name, values) for name, values in details}
        return {**site, **fact_values(self.facts)}

    def path(self, name: str) -> str:
        """Return the path of a neutral name on this system. Raises `KeyError`."""
        path = self.path_of(name)
        if not path:
            raise KeyError(f"no transform names the path {name!r} on {self.facts.id}")
        return path

    def service(self, name: str) -> Mapping[str, object]:
        """Return the values of a service on this system by its neutral name. Raises `KeyError`."""
        values = self.service_of(name)
        if not values:
            raise KeyError(f"no transform names the service {name!r} on {self.facts.id}")
        return values


def fact_values(facts: Facts) -> dict[str, object]:
    """Return the facts by the names that ``match`` and templates use (docs/design/documents.md, rule 4)."""
    return {
        "id": facts.id,
        "os": (facts.id, *facts.like),
        "version": facts.version,
        "systemd": facts.systemd,
        "arch": facts.arch,
        "virtualization": facts.virtualization,
        "hostname": facts.hostname,
        "machine-id": facts.machine_id,
        "mac": facts.mac,
        "root": facts.root,
        "system-firmware": facts.system_firmware,
        "system-uuid": facts.system_uuid,
        "system-serial-number": facts.system_serial_number,
        "system-manufacturer": facts.system_manufacturer,
        "system-product-name": facts.system_product_name,
    }


def _detail(name: str, values: tuple[str, ...]) -> object:
    """Return the value of a further fact: a list, or its only value, which is a number where the table says so."""
    row = FACT_TABLE.get(name)
    if row is None:
        return values[0] if len(values) == 1 else values
    if row.many:
        return values
    value = values[0] if values else ""
    number = row.kind in (ValueKind.NUMBER, ValueKind.SIZE)
    return int(value) if number and is_decimal(value) else 0 if number and not value else value


@dataclass(frozen=True, slots=True)
class _Credentials:
    names: frozenset[str]

    def path(self, name: str) -> str:
        if name not in self.names:
            raise KeyError(f"the service has no credential {name!r}")
        return f"{CREDENTIALS}/{name}"


def expand(
    tree: Branch, scope: TemplateScope, item: str, *, instance: bool = False
) -> tuple[Branch, tuple[Problem, ...]]:
    """Return ``tree`` with every template replaced by its text, and the problems, which block ``item``."""
    credentials = frozenset(name for name, _ in tree.branch("credentials").branches())
    expander = _Expander(scope, item, instance, credentials)
    expanded = expander.tree(tree)
    assert isinstance(expanded, Branch)
    return expanded, tuple(expander.problems)


class _Expander:
    def __init__(self, scope: TemplateScope, item: str, instance: bool, credentials: frozenset[str]) -> None:
        self.scope, self.item, self.instance, self.credentials = scope, item, instance, credentials
        self.problems: list[Problem] = []

    def tree(self, tree: Tree) -> Tree:
        if isinstance(tree, Leaf):
            return replace(tree, value=self.value(tree.value, tree)) if _is_template(tree.value) else tree
        if not any(isinstance(leaf, Branch) or _is_template(leaf.value) for leaf in tree.children.values()):
            return tree
        return replace(tree, children={name: self.tree(child) for name, child in tree.children.items()})

    def value(self, value: Value, leaf: Leaf) -> Value:
        if isinstance(value, tuple):
            return tuple(self.value(part, leaf) for part in value)
        if isinstance(value, Row):
            return replace(value, cells=tuple((name, self.value(cell, leaf)) for name, cell in value.cells))
        return self.text(value, leaf) if isinstance(value, Template) else value

    def text(self, template: Template, leaf: Leaf) -> str:
        from ordain.transforms.template import budget, jinja_sandbox

        set_budget.current().where = replace(leaf.where, pointer=self.item)
        names = self.scope.variables(instance=self.instance, credentials=self.credentials)
        try:
            longest = budget.MAX_RESULT if leaf.where.pointer.rpartition("/")[2] in _FILE_TEXTS else budget.MAX_LENGTH
            return jinja_sandbox.expand_text(template.text, names, longest)
        except jinja_sandbox.NoResult as error:
            hint = self.scope.known if "undefined" in str(error) else ""
            return self.problem(leaf, f"the template cannot be expanded: {error}", hint)

    def problem(self, leaf: Leaf, what: str, hint: str = "") -> str:
        self.problems.append(blocked(self.item, leaf.where, what, hint, "Template"))
        return ""


def holds_template(tree: Tree) -> bool:
    """Return whether there is a template in ``tree``."""
    if isinstance(tree, Leaf):
        return _is_template(tree.value)
    return any(map(holds_template, tree.children.values()))


def _is_template(value: Value) -> bool:
    if isinstance(value, tuple):
        return any(map(_is_template, value))
    if isinstance(value, Row):
        return any(_is_template(cell) for _, cell in value.cells)
    return isinstance(value, Template)
