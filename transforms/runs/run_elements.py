"""The elements of a run: one, or one for each index of its array or combination of its parameters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ordain.transforms.document.formats.formats import FORMATS
from ordain.transforms.document.formats.run_formats import MAX_ELEMENTS, indices
from ordain.transforms.document.keys.run_keys import RUN
from ordain.transforms.document.keys.shapes import Map, Record, Sequence, Shape, String
from ordain.transforms.document.text.plain_data import plain
from ordain.transforms.errors import Problem, Refused, Severity
from ordain.transforms.model import Branch, Leaf, Tree, strings
from ordain.transforms.runs.run_model import Element, ResolvedRun, RunTarget
from ordain.transforms.template.expand import expand, holds_template

SHARED = frozenset(
    """
    account queue output errors mail resources native after array parameters inherit-environment launcher on-failure
    """.split()
)
"""The keys that are the same for all elements, because directives are read once for a whole array."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScope:
    """The values that templates of a run may read; ``element`` holds those of one element."""

    run: ResolvedRun
    target: RunTarget
    values: Mapping[str, object]
    element: Mapping[str, object] = field(default_factory=dict)

    @property
    def known(self) -> str:
        """Return a hint with the names."""
        own = "parameters and index" if self.element else "but not parameters and index: all elements share this key"
        return f"known names: run, system, scheduler, user, labels, values, {own}"

    def variables(self, *, instance: bool, credentials: frozenset[str]) -> dict[str, Any]:
        """Return the variables for the templates."""
        labels = {name: values[0] if len(values) == 1 else values for name, values in self.run.labels.items()}
        target = {"system": self.target.system, "scheduler": self.target.scheduler, "user": self.target.user}
        return {"run": self.run.name, **target, "labels": labels, "values": self.values, **self.element}


def elements_of(run: ResolvedRun, target: RunTarget) -> tuple[Branch, tuple[Element, ...]]:
    """Return the keys that all elements share, and each element with all its keys. Raises `Refused`."""
    values = plain(run.tree.branch("values"))
    scope = RunScope(run=run, target=target, values=values)
    if not holds_template(run.tree):
        numbered = _numbered(run.tree)
        return run.tree, tuple(Element(index=n, parameters=parameters, tree=run.tree) for n, parameters in numbered)
    shared = _expanded(_only(run.tree, shared=True), scope)
    own = _only(run.tree, shared=False)
    elements: list[Element] = []
    for index, parameters in _numbered(shared):
        names: Mapping[str, object] = (
            {"parameters": parameters, "index": index} if index is not None else {"parameters": {}}
        )
        tree = _expanded(own, replace(scope, element=names))
        whole = replace(tree, children={**shared.children, **tree.children})
        elements.append(Element(index=index, parameters=parameters, tree=whole))
    return shared, tuple(elements)


def _only(tree: Branch, *, shared: bool) -> Branch:
    return replace(tree, children={n: c for n, c in tree.children.items() if n != "values" and (n in SHARED) is shared})


def _numbered(tree: Branch) -> list[tuple[int | None, Mapping[str, str]]]:
    """Return the index and the parameters of each element; the index None if the run has no elements."""
    if leaf := tree.branch("array").leaf("indices"):
        return [(index, {}) for numbers in indices(str(leaf.value)) for index in numbers]
    lists = {
        name: strings(child.value)
        for name, child in tree.branch("parameters").children.items()
        if isinstance(child, Leaf)
    }
    if not lists:
        if leaf := tree.branch("array").leaf("most-at-once"):
            raise Refused([Problem(where=leaf.where, what="an array without indices", hint="set array/indices, too")])
        return [(None, {})]
    number = 1
    for values in lists.values():
        number *= len(values)
    if not number or number > MAX_ELEMENTS:
        what = f"these parameters make {number:,} combinations; 1 to {MAX_ELEMENTS:,} are allowed"
        raise Refused([Problem(where=tree.branch("parameters").where, what=what, hint="change the lists of values")])
    rows = itertools.product(*lists.values())
    return [(index, dict(zip(lists, row, strict=True))) for index, row in enumerate(rows, 1)]


def _expanded(tree: Branch, scope: RunScope) -> Branch:
    expanded, problems = expand(tree, scope, "")
    wrong = [replace(problem, severity=Severity.ERROR) for problem in problems]
    if not wrong:
        _find_misfits(expanded, Record(RUN), wrong)
    if wrong:
        raise Refused(wrong)
    return expanded


def _find_misfits(tree: Tree, shape: Shape, problems: list[Problem]) -> None:
    """Add a problem for each expanded text that does not fit its place."""
    if isinstance(tree, Branch):
        for name, child in tree.children.items():
            if isinstance(shape, Record) and name in shape.keys:
                _find_misfits(child, shape.keys[name], problems)
            elif isinstance(shape, Map):
                _find_misfits(child, shape.of, problems)
        return
    item = shape.item if isinstance(shape, Sequence) else shape
    if isinstance(item, String) and item.format:
        for text in strings(tree.value):
            try:
                FORMATS[item.format](text)
            except ValueError as error:
                what = f"{text!r} is not {item.title}"
                problems.append(Problem(where=tree.where, what=what, hint=str(error)))
