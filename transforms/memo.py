"""What one compile made is there for the next: a value that is passed in, and changes nothing but the time it takes.

A `Memory` holds what the last compile made and no more. What was made is made again unless all that it was made from
is the same: its own part of the documents, and the ground it stands on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, cast

from ordain.transforms.model import Installed

T = TypeVar("T")


class Memory:
    """Notes by what they are on. Not for two compiles at a time."""

    def __init__(self) -> None:
        self._notes: dict[str, Notes] = {}

    def on(self, what: str, *ground: object) -> Notes:
        """Notes for this compile, which know those of the last one if it stood on the same ``ground``."""
        last = self._notes.get(what)
        known = last.made if last and same(last.ground, ground) else {}
        notes = self._notes[what] = Notes(ground, known)
        return notes


class Notes:
    """What was made of each name on one ground; ``made`` are those of this compile."""

    def __init__(self, ground: tuple[object, ...], known: dict[str, tuple[object, object]]) -> None:
        self.ground = ground
        self.made: dict[str, tuple[object, object]] = {}
        self._known = known

    def recall(self, name: str, source: object, make: Callable[[], T]) -> T:
        """What ``make`` returns, which depends on ``source`` and the ground alone and changes nothing."""
        known = self._known.get(name)
        result = cast(T, known[1]) if known and same(known[0], source) else make()
        self.made[name] = source, result
        return result


def same(one: object, other: object) -> bool:
    """Whether nothing that is made from one could tell it from the other: equality would take 1 for true, or not see
    in which order a map is or where a row stands.

    >>> same(("a", {"x": 1, "y": 2}), ("a", {"x": 1, "y": 2}))
    True
    >>> same(True, 1), same({"x": 1, "y": 2}, {"y": 2, "x": 1})
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
        return len(one) == len(them) and all(map(same, one, them))
    if isinstance(one, Mapping):
        theirs = cast(Mapping[object, object], other)
        return len(one) == len(theirs) and all(map(same, one.items(), theirs.items()))
    if fields := _fields(kind):  # type: ignore[arg-type] # python/mypy#11470
        return all(same(getattr(one, name), getattr(other, name)) for name in fields)
    return one == other


@cache
def _fields(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else ()
