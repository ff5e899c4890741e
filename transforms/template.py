"""Expands ``{template: TEXT}`` once the machine is known (documents.md, rule 9).

jinja2 in its sandbox, undefined names are errors. ``instance`` and ``credential()`` become sentinels, which only the
encoders turn into ``%i`` and ``%d/NAME``; nothing else a template makes has any meaning to systemd.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Branch, Facts, Leaf, Row, Template, Tree, Value
from ordain.transforms.quoting import CREDENTIALS, INSTANCE

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

MAX_LENGTH = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What templates may read. ``paths`` are the neutral names of programs and files on this OS."""

    facts: Facts
    values: Mapping[str, object] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)

    def names(self, *, instance: bool, credentials: frozenset[str]) -> dict[str, Any]:
        """The variables and functions of one item's templates."""
        facts = self.facts
        known: dict[str, Any] = {
            "facts": {name.replace("-", "_"): value for name, value in fact_values(facts).items()},
            "labels": {name: values[0] if len(values) == 1 else values for name, values in facts.labels.items()},
            "values": self.values,
            "path": self.path,
            "credential": _Credentials(credentials).path,
        }
        return {**known, "instance": INSTANCE} if instance else known

    def path(self, name: str) -> str:
        """The path of a neutral name on this OS. Raises `KeyError`."""
        if name not in self.paths:
            raise KeyError(f"no transform names the path {name!r} on {self.facts.id}")
        return self.paths[name]


def fact_values(facts: Facts) -> dict[str, object]:
    """The closed list of facts (rule 4), by the names ``match`` and templates use."""
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
    }


@dataclass(frozen=True, slots=True)
class _Credentials:
    names: frozenset[str]

    def path(self, name: str) -> str:
        if name not in self.names:
            raise KeyError(f"the service has no credential {name!r}")
        return f"{CREDENTIALS}/{name}"


def expand(tree: Branch, scope: Scope, item: str, *, instance: bool = False) -> tuple[Branch, tuple[Problem, ...]]:
    """``tree`` with every template replaced by its text; problems block ``item``."""
    credentials = frozenset(name for name, _ in tree.branch("credentials").branches())
    expander = _Expander(scope, item, instance, credentials)
    expanded = expander.tree(tree)
    assert isinstance(expanded, Branch)
    return expanded, tuple(expander.problems)


class _Expander:
    def __init__(self, scope: Scope, item: str, instance: bool, credentials: frozenset[str]) -> None:
        self.scope, self.item, self.instance, self.credentials = scope, item, instance, credentials
        self.problems: list[Problem] = []

    def tree(self, tree: Tree) -> Tree:
        if isinstance(tree, Leaf):
            return replace(tree, value=self.value(tree.value, tree)) if _holds_template(tree.value) else tree
        if not any(isinstance(leaf, Branch) or _holds_template(leaf.value) for leaf in tree.children.values()):
            return tree
        return replace(tree, children={name: self.tree(child) for name, child in tree.children.items()})

    def value(self, value: Value, leaf: Leaf) -> Value:
        if isinstance(value, tuple):
            return tuple(self.value(part, leaf) for part in value)
        if isinstance(value, Row):
            return replace(value, cells=tuple((name, self.value(cell, leaf)) for name, cell in value.cells))
        return self.text(value, leaf) if isinstance(value, Template) else value

    def text(self, template: Template, leaf: Leaf) -> str:
        import jinja2

        try:
            names = self.scope.names(instance=self.instance, credentials=self.credentials)
            text = _environment().from_string(template.text).render(names)
        except jinja2.TemplateSyntaxError as error:
            return self.problem(leaf, f"line {error.lineno} of the template: {error.message}")
        except (jinja2.TemplateError, KeyError, TypeError, ValueError, ArithmeticError, OverflowError) as error:
            what = str(error.args[0]) if error.args else type(error).__name__
            hint = "known: facts, labels, values, credential('NAME'), path('NAME'), and instance below `instances`"
            return self.problem(leaf, f"the template gives no text: {what}", hint)
        if len(text) > MAX_LENGTH:
            return self.problem(leaf, f"the template gives more than {MAX_LENGTH} characters")
        return text

    def problem(self, leaf: Leaf, what: str, hint: str = "") -> str:
        blocked = Severity.BLOCKED
        self.problems.append(
            Problem(where=leaf.where, what=what, hint=hint, code="Template", severity=blocked, item=self.item)
        )
        return ""


def _holds_template(value: Value) -> bool:
    if isinstance(value, tuple):
        return any(map(_holds_template, value))
    if isinstance(value, Row):
        return any(_holds_template(cell) for _, cell in value.cells)
    return isinstance(value, Template)


@cache
def _environment() -> SandboxedEnvironment:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
