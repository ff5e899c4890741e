"""What one compile made is there for the next: a value that is passed in, and changes nothing but the time it takes.

A `Memo` holds what the last compile made and no more. What was made is made again unless all that it was made from
is the same: its own part of the documents, and the ground it stands on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, cast

from ordain.transforms.model import Installed

T = TypeVar("T")


class Memo:
    """Notes by what they are on. Not for two compiles at a time."""

    def __init__(self) -> None:
        self._notes: dict[str, MemoTable] = {}

    def table(self, what: str, *ground: object) -> MemoTable:
        """Notes for this compile, which know those of the last one if it stood on the same ``ground``."""
        last = self._notes.get(what)
        known = last.made if last and identical(last.ground, ground) else {}
        notes = self._notes[what] = MemoTable(ground, known)
        return notes


class MemoTable:
    """What was made of each name on one ground; ``made`` are those of this compile."""

    def __init__(self, ground: tuple[object, ...], known: dict[str, tuple[object, object]]) -> None:
        self.ground = ground
        self.made: dict[str, tuple[object, object]] = {}
        self._known = known

    def get_or_make(self, name: str, source: object, make: Callable[[], T]) -> T:
        """What ``make`` returns, which depends on ``source`` and the ground alone and changes nothing."""
        known = self._known.get(name)
        result = cast(T, known[1]) if known and identical(known[0], source) else make()
        self.made[name] = source, result
        return result


def identical(one: object, other: object) -> bool:
    """Whether nothing that is made from one could tell it from the other: equality would take 1 for true, or not see
    in which order a map is or where a row stands.

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
    if isinstance(one, Installed):  # large, and all texts
        return one == other
    if isinstance(one, tuple):
        them = cast(tuple[object, ...], other)
        return len(one) == len(them) and all(map(identical, one, them))
    if isinstance(one, Mapping):
        theirs = cast(Mapping[object, object], other)
        return len(one) == len(theirs) and all(map(identical, one.items(), theirs.items()))
    if fields := _fields(kind):  # type: ignore[arg-type] # python/mypy#11470
        return all(identical(getattr(one, name), getattr(other, name)) for name in fields)
    return one == other


@cache
def _fields(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else ()
