"""A tree of a document as JSON data."""

from __future__ import annotations

from ordain.transforms.model import Branch, Row, Template, Tree


def plain(tree: Tree) -> object:
    """The tree as JSON data, keys sorted; templates as ``{"template": TEXT}``, argument vectors as lists."""
    if isinstance(tree, Branch):
        return {name: plain(tree.children[name]) for name in sorted(tree.children)}
    return _plain_value(tree.value)


def _plain_value(value: object) -> object:
    if isinstance(value, Template):
        return {"template": value.text}
    if isinstance(value, tuple):
        return [_plain_value(item) for item in value]
    if isinstance(value, Row):
        return {name: _plain_value(cell) for name, cell in value.cells}
    return value
