"""The shapes that only the section ``network`` has: netplan's lists of maps, each one leaf, and its mixed values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ordain.transforms.document.node import Node
from ordain.transforms.document.shapes import TEMPLATE, Position, Record, Schema
from ordain.transforms.errors import Problem
from ordain.transforms.model import Branch, Row, Template, Tree, Value


def _row(node: Node, record: Record, at: Position) -> Row:
    """One map of a list; what is null is as if it were not there."""
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
    """Maps in order, with known keys: one leaf, replaced as a whole. ``needs`` are the keys each map must have."""

    of: Record
    about: str = ""
    needs: tuple[str, ...] = ()

    def schema(self) -> Schema:
        """JSON Schema."""
        item = {**self.of.schema(), "type": "object", "required": list(self.needs)}
        return {
            "title": f"a list of {self.of.title}",
            "description": self.about,
            "type": ["array", "null"],
            "items": item,
            "x-merge": "sequence",
        }

    def canonical(self, node: Node, at: Position) -> Tree:
        """A leaf holding a tuple of `Row`."""
        if not isinstance(node.value, tuple):
            return at.leaf(None, node)
        return at.leaf(tuple(_row(item, self.of, at.below(n)) for n, item in enumerate(node.value)), node)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses, some with options: a list of ``ADDRESS`` and ``{ADDRESS: {label: …}}``.

    Canonical, each is a `Row` with the cell ``address`` and its options.
    """

    options: Record
    about: str = ""

    def schema(self) -> Schema:
        """JSON Schema."""
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
        """A leaf holding a tuple of `Row`."""
        if not isinstance(node.value, tuple):
            return at.leaf(None, node)
        return at.leaf(tuple(self._one(item, at.below(n)) for n, item in enumerate(node.value)), node)

    def _one(self, node: Node, at: Position) -> Row:
        where = at.where(node.where)
        if not isinstance(node.value, Mapping):
            return Row((("address", str(node.value)),), where)
        if len(node.value) != 1:
            what = f"one address is wanted here, found {len(node.value)}"
            at.problems.append(Problem(where=where, what=what, hint="begin each address with a dash of its own"))
            return Row((), where)
        ((address, options),) = node.value.items()
        if address == "template":
            return Row((("address", Template(str(options.value))),), where)
        if options.value is None:
            return Row((("address", address),), where)
        return Row((("address", address), *_row(options, self.options, at.below(address)).cells), where)


@dataclass(frozen=True, slots=True)
class FlagOr:
    """true, false, or one of a few words."""

    words: tuple[str, ...]
    about: str = ""

    def schema(self) -> Schema:
        """JSON Schema."""
        title = f"true, false, {' or '.join(self.words)}"
        return {"title": title, "description": self.about, "enum": [True, False, *self.words, None]}

    def canonical(self, node: Node, at: Position) -> Tree:
        """A leaf holding `bool` or `str`."""
        flag = isinstance(node.value, bool) or node.value is None
        return at.leaf(node.value if flag else str(node.value), node)  # type: ignore[arg-type] # a flag or null
