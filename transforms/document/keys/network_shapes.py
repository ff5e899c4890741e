"""The shapes that only the section ``network`` has: netplan's lists of maps, each one leaf, and mixed values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ordain.transforms.document.keys.shapes import TEMPLATE, Position, Record, Schema
from ordain.transforms.document.text.node import Node
from ordain.transforms.errors import Problem
from ordain.transforms.model import Branch, Row, Template, Tree, Value


def _row(node: Node, record: Record, at: Position) -> Row:
    """Return one map of a list. A key whose value is null counts as not set."""
    tree = record.canonical(node, at)
    assert isinstance(tree, Branch)
    return Row(tuple(_cells(tree)), at.where(node.where))


def _cells(branch: Branch) -> Iterator[tuple[str, Value]]:
    for name, child in sorted(branch.children.items()):
        if isinstance(child, Branch):
            yield name, Row(tuple(_cells(child)), child.where)
        elif child.value is not None:
            yield name, child.value


@dataclass(frozen=True, slots=True)
class Rows:
    """A list of maps with known keys: one leaf, which layers replace as a whole. ``needs``: the required keys."""

    of: Record
    about: str = ""
    needs: tuple[str, ...] = ()

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        item = {**self.of.schema(), "type": "object", "required": list(self.needs)}
        return {
            "title": f"a list of {self.of.title}",
            "description": self.about,
            "type": ["array", "null"],
            "items": item,
            "x-merge": "sequence",
        }

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a leaf that holds a tuple of `Row`."""
        if not isinstance(node.value, tuple):
            return at.leaf(None, node)
        return at.leaf(tuple(_row(item, self.of, at.below(n)) for n, item in enumerate(node.value)), node)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses, some with options: a list of ``ADDRESS`` and ``{ADDRESS: {label: …}}``.

    In canonical form each is a `Row` with the cell ``address`` and its options.
    """

    options: Record
    about: str = ""

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        title = "an address with its prefix length"
        item = {
            "title": title,
            "type": ["string", "object"],
            "format": "interface-address",
            "properties": TEMPLATE["properties"],
            "propertyNames": {"type": "string", "title": title, "format": "interface-address-or-template"},
            "additionalProperties": self.options.schema(),
        }
        return {
            "title": "a list of addresses, each with its options or without",
            "description": self.about,
            "examples": ["10.0.0.2/24"],
            "type": ["array", "null"],
            "items": item,
            "x-merge": "sequence",
        }

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a leaf that holds a tuple of `Row`."""
        if not isinstance(node.value, tuple):
            return at.leaf(None, node)
        return at.leaf(tuple(self._one(item, at.below(n)) for n, item in enumerate(node.value)), node)

    def _one(self, node: Node, at: Position) -> Row:
        where = at.where(node.where)
        if not isinstance(node.value, Mapping):
            return Row((("address", str(node.value)),), where)
        if len(node.value) != 1:
            what = f"expected one address, found {len(node.value)}"
            at.problems.append(Problem(where=where, what=what, hint="write a dash before each address"))
            return Row((), where)
        ((address, options),) = node.value.items()
        if address == "template":
            return Row((("address", Template(str(options.value))),), where)
        if options.value is None:
            return Row((("address", address),), where)
        return Row((("address", address), *_row(options, self.options, at.below(address)).cells), where)


@dataclass(frozen=True, slots=True)
class FlagOr:
    """A value that is true, false, or one of a few words."""

    words: tuple[str, ...]
    about: str = ""

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        title = f"true, false, {' or '.join(self.words)}"
        return {"title": title, "description": self.about, "enum": [True, False, *self.words, None]}

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return a leaf that holds `bool` or `str`."""
        flag = isinstance(node.value, bool) or node.value is None
        return at.leaf(node.value if flag else str(node.value), node)  # type: ignore[arg-type] # a flag or null
