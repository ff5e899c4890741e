"""Keeps the results of one compile for the next, which changes nothing but its time.

The caller passes a `Memo` in. It holds the results of the last compile and no older ones. A result is only used again
if everything that it was made from is identical: its part of the documents, and the inputs of its table.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, cast

from ordain.transforms import set_budget
from ordain.transforms.model import Installed
from ordain.transforms.set_budget import Spent

T = TypeVar("T")


class Memo:
    """The results of the last compile, in tables by name. Two compiles at the same time need two of them."""

    def __init__(self) -> None:
        self._tables: dict[str, MemoTable] = {}

    def table(self, name: str, *inputs: object) -> MemoTable:
        """Return a table for this compile. It knows the results of the last one if that had identical ``inputs``."""
        last = self._tables.get(name)
        known = last.results if last and identical(last.inputs, inputs) else {}
        table = self._tables[name] = MemoTable(inputs, known)
        return table


class MemoTable:
    """The results by name that depend on the same ``inputs``; ``results`` holds those of this compile."""

    def __init__(self, inputs: tuple[object, ...], known: dict[str, tuple[object, object]]) -> None:
        self.inputs = inputs
        self.results: dict[str, tuple[object, object]] = {}
        self._known = known

    def get_or_make(self, name: str, source: object, make: Callable[[], T]) -> T:
        """Return the result of ``make``, which depends only on ``source`` and the inputs and has no effects.

        A result that is known costs the set of documents as much of its budget as it cost when it was made.
        """
        known = self._known.get(name)
        if known and identical(known[0], source):
            result, cost = cast(tuple[T, Spent], known[1])
            set_budget.current().spend(bytes=cost.bytes, values=cost.values, steps=cost.steps)
        else:
            result, cost = set_budget.measured(make)
        self.results[name] = source, (result, cost)
        return result


def identical(one: object, other: object) -> bool:
    """Return whether no result could depend on the difference between two values.

    Equality is not enough: it ignores the difference between 1 and true, the order of a map, and the place of a row.

    >>> identical(("a", {"x": 1, "y": 2}), ("a", {"x": 1, "y": 2}))
    True
    >>> identical(True, 1), identical({"x": 1, "y": 2}, {"y": 2, "x": 1})
    (False, False)
    """
    if one is other:
        return True
    kind = type(one)
    if kind is not type(other):
        return False
    if isinstance(one, Installed):  # large, and only texts
        return one == other
    if isinstance(one, tuple):
        others = cast(tuple[object, ...], other)
        return len(one) == len(others) and all(map(identical, one, others))
    if isinstance(one, Mapping):
        theirs = cast(Mapping[object, object], other)
        return len(one) == len(theirs) and all(map(identical, one.items(), theirs.items()))
    if fields := _fields(kind):  # type: ignore[arg-type] # python/mypy#11470
        return all(identical(getattr(one, name), getattr(other, name)) for name in fields)
    return one == other


@cache
def _fields(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else ()
