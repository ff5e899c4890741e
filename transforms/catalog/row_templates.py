"""Expands the templates in the transformation database for a machine, and checks the results like documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ordain.transforms.catalog.names import Names
from ordain.transforms.document.formats.formats import FORMATS
from ordain.transforms.document.keys.schema import sections
from ordain.transforms.document.keys.shapes import Map, Record, Shape, String
from ordain.transforms.document.text.node import pointer_below
from ordain.transforms.document.transform_faults import as_blocked
from ordain.transforms.errors import Problem
from ordain.transforms.model import Branch, Facts, Kind, Leaf, TransformFault, Tree
from ordain.transforms.template.expand import Scope, expand, holds_template


def expand_rows(names: Names, facts: Facts, values: Mapping[str, object]) -> Names:
    """Return ``names`` with every template expanded. A row whose template fails is doubtful.

    In a row, ``path()`` knows the paths that are not templates themselves.
    """
    tree = names.tree
    if not holds_template(tree):
        return names
    paths = tree.branch("paths")
    fixed = {name: leaf for name, leaf in paths.leaves() if not holds_template(leaf)}
    without_templates = replace(tree, children={**tree.children, "paths": replace(paths, children=fixed)})
    scope = Scope(facts=facts, values=values, path_of=replace(names, tree=without_templates).path)
    faults = list(names.faults)
    children: dict[str, Tree] = {}
    for section, rows in tree.children.items():
        children[section] = rows
        if isinstance(rows, Branch):
            expanded = ((name, _expanded_row(section, name, row, scope, faults)) for name, row in rows.children.items())
            children[section] = replace(rows, children={name: row for name, row in expanded if row is not None})
    return replace(names, tree=replace(tree, children=children), faults=tuple(faults))


def _expanded_row(section: str, name: str, row: Tree, scope: Scope, faults: list[TransformFault]) -> Tree | None:
    """Return ``row``, expanded and checked; None if it is wrong, with a fault in ``faults``."""
    if not holds_template(row):
        return row
    pointer = pointer_below(section, name)
    expanded, problems = expand(Branch(children={name: row}), scope, "")
    result = expanded.children[name]
    shape = sections(Kind.TRANSFORM).keys[section]
    wrong = problems or tuple(_misfits(result, shape.of if isinstance(shape, Map) else shape))
    faults += (TransformFault(pointer=pointer, problem=as_blocked(problem)) for problem in wrong)
    return None if wrong else result


def _misfits(tree: Tree, shape: Shape) -> Iterator[Problem]:
    """Yield a problem for each expanded text that does not fit its place."""
    if isinstance(tree, Branch) and isinstance(shape, Record):
        for name, child in tree.children.items():
            yield from _misfits(child, shape.keys[name])
    elif isinstance(tree, Leaf) and isinstance(shape, String) and shape.format:
        try:
            FORMATS[shape.format](str(tree.value))
        except ValueError as error:
            yield Problem(where=tree.where, what=f"{tree.value!r} is not {shape.title}", hint=str(error))
