"""Turns the canonical tree of a document into JSON data."""

from __future__ import annotations

from typing import Any

from ordain.transforms.model import Branch, Row, Template, Tree


def plain(tree: Tree) -> Any:
    """Return the tree as JSON data with sorted keys."""
    if isinstance(tree, Branch):
        return {name: plain(tree.children[name]) for name in sorted(tree.children)}
    return plain_value(tree.value)


def plain_value(value: object) -> Any:
    """Return the value of a leaf as JSON data: a template as ``{"template": TEXT}``, argument vectors as lists."""
    if isinstance(value, Template):
        return {"template": value.text}
    if isinstance(value, tuple):
        return [plain_value(item) for item in value]
    if isinstance(value, Row):
        return {name: plain_value(cell) for name, cell in value.cells}
    return value
