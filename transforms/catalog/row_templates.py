"""Templates in the transformation database: expanded for this machine, and checked as if a document had said it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from ordain.transforms.catalog.names import Names
from ordain.transforms.document.formats import FORMATS
from ordain.transforms.document.node import pointer_below
from ordain.transforms.document.schema import sections
from ordain.transforms.document.shapes import Map, Record, Shape, String
from ordain.transforms.document.transform_faults import as_blocked
from ordain.transforms.errors import Problem
from ordain.transforms.model import Branch, Facts, Kind, Leaf, TransformFault, Tree
from ordain.transforms.template.expand import Scope, expand, holds_template


def expand_rows(names: Names, facts: Facts, values: Mapping[str, object]) -> Names:
    """Return ``names`` with every template expanded. A row that cannot be is doubtful, for who asks for it.

    ``path()`` knows the paths that are no templates themselves.
    """
    tree = names.tree
    if not holds_template(tree):
        return names
    paths = tree.branch("paths")
    sure = {name: leaf for name, leaf in paths.leaves() if not holds_template(leaf)}
    within = replace(tree, children={**tree.children, "paths": replace(paths, children=sure)})
    scope = Scope(facts=facts, values=values, path_of=replace(names, tree=within).path)
    found = list(names.faults)
    children: dict[str, Tree] = {}
    for section, rows in tree.children.items():
        children[section] = rows
        if isinstance(rows, Branch):
            lent = ((name, _lent(section, name, row, scope, found)) for name, row in rows.children.items())
            children[section] = replace(rows, children={name: row for name, row in lent if row is not None})
    return replace(names, tree=replace(tree, children=children), faults=tuple(found))


def _lent(section: str, name: str, row: Tree, scope: Scope, found: list[TransformFault]) -> Tree | None:
    """``row``, expanded and checked; None if it is wrong, which goes to ``found``."""
    if not holds_template(row):
        return row
    pointer = pointer_below(section, name)
    expanded, problems = expand(Branch(children={name: row}), scope, "")
    lent = expanded.children[name]
    shape = sections(Kind.TRANSFORM).keys[section]
    wrong = problems or tuple(_misfits(lent, shape.of if isinstance(shape, Map) else shape))
    found += (TransformFault(pointer=pointer, problem=as_blocked(problem)) for problem in wrong)
    return None if wrong else lent


def _misfits(tree: Tree, shape: Shape) -> Iterator[Problem]:
    """Where an expanded text is not what its place wants."""
    if isinstance(tree, Branch) and isinstance(shape, Record):
        for name, child in tree.children.items():
            yield from _misfits(child, shape.keys[name])
    elif isinstance(tree, Leaf) and isinstance(shape, String) and shape.format:
        try:
            FORMATS[shape.format](str(tree.value))
        except ValueError as error:
            yield Problem(where=tree.where, what=f"{tree.value!r} is not {shape.title}", hint=str(error))
