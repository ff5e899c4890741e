"""Evaluate queries on a document, or on a machine with its resolved document."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase

from ordain.transforms.document.text.plain_data import plain_value
from ordain.transforms.model import Branch, Leaf, Tree, Value
from ordain.transforms.query.expression import AllOf, AnyOf, Comparison, Expression, FieldTest, Not
from ordain.transforms.query.quantity import comparable, normal, quantity

_ORDERS: Mapping[Comparison, Callable[[Decimal, Decimal], bool]] = {
    Comparison.LESS: operator.lt,
    Comparison.AT_MOST: operator.le,
    Comparison.MORE: operator.gt,
    Comparison.AT_LEAST: operator.ge,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The thing that a query is asked about: a document, and attributes, each with all its values."""

    tree: Branch = field(default_factory=Branch)
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def holds(expression: Expression, subject: Subject) -> bool:
    """Return whether the expression holds for ``subject``."""
    match expression:
        case FieldTest():
            return any(_satisfies(expression, text) for text in _values(expression, subject))
        case Not(part):
            return not holds(part, subject)
        case AllOf(parts):
            return all(holds(part, subject) for part in parts)
        case AnyOf(parts):
            return any(holds(part, subject) for part in parts)


def matching_parts(test: FieldTest, tree: Tree) -> Iterator[tuple[str, Tree]]:
    """Yield pointer and part of the document for each place that ``test`` names and whose value fits."""
    if not test.pointer:
        return
    for pointer, part in _parts(tree, test.pointer, ""):
        if any(_satisfies(test, text) for text in texts(part)):
            yield pointer, part


def texts(part: Tree) -> Iterator[str]:
    """Yield the texts that a value is compared as: each item of a list, and all of it with blanks between."""
    if isinstance(part, Branch):
        yield from (part.children or ("",))
        return
    if isinstance(part.value, tuple):
        items = [_text(item) for item in _flat(part.value)]
        yield from items
        if len(items) != 1:
            yield " ".join(items)
    elif part.value is not None:
        yield _text(part.value)


def _values(test: FieldTest, subject: Subject) -> Iterator[str]:
    if not test.pointer:
        yield from subject.attributes.get(test.field, ())
        return
    for _, part in _parts(subject.tree, test.pointer, ""):
        yield from texts(part)


def _parts(tree: Tree, names: tuple[str, ...], pointer: str) -> Iterator[tuple[str, Tree]]:
    """Yield every part of ``tree`` that ``names`` lead to."""
    if not names:
        yield pointer, tree
        return
    name, rest = names[0].replace("~1", "/").replace("~0", "~"), names[1:]
    if isinstance(tree, Leaf):
        return
    for child_name in sorted(tree.children) if any(mark in name for mark in "*?[") else (name,):
        child = tree.children.get(child_name)
        if child is not None and (child_name == name or fnmatchcase(child_name, name)):
            yield from _parts(child, rest, f"{pointer}/{child_name}".lstrip("/"))


def _satisfies(test: FieldTest, text: str) -> bool:
    comparison, wanted = test.comparison, test.value
    if comparison is Comparison.EXISTS:
        return test.pointer != () or text not in ("", "false")
    if comparison is Comparison.CONTAINS:
        return wanted in text
    if comparison is Comparison.EQUAL:
        return _equal(text, wanted)
    if comparison is Comparison.UNEQUAL:
        return not _equal(text, wanted)
    one, other = quantity(text), quantity(wanted)
    if not comparable(one, other):
        return False
    assert one is not None
    assert other is not None
    return _ORDERS[comparison](one.number, other.number)


def _equal(text: str, wanted: str) -> bool:
    if normal(text) == normal(wanted) or fnmatchcase(text, wanted):
        return True
    one, other = quantity(text), quantity(wanted)
    return comparable(one, other) and one == other


def _flat(value: tuple[Value, ...]) -> Iterator[Value]:
    """Yield the items of a list of lists, such as the words of commands."""
    for item in value:
        if isinstance(item, tuple):
            yield from _flat(item)
        else:
            yield item


def _text(value: object) -> str:
    """Return a value as documents write it."""
    if isinstance(value, bool):
        return str(value).lower()
    data = plain_value(value)
    if isinstance(data, list):
        return " ".join(str(item) for item in data)
    return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, sort_keys=True)
