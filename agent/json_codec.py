"""JSON data read back into frozen values; `agent.model.to_json` is the other direction.

For each type, a reader is made once (`_reader`). It accepts data of that type only: a file or a report may come from
somebody else, and whoever uses the value must not meet a number where a text is expected.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Self, TypeVar

from ordain.agent.errors import OrdainError

T = TypeVar("T")
Reader = Callable[[Any], Any]
_LOWEST, _HIGHEST = -(2**63), 2**64 - 1
"""The bounds of integers: those of all integers of systemd and of D-Bus."""
_SHOWN = 40
_MAPS = dict, Mapping
"""JSON data are a dict, which is found in a quarter of the time that the abstract class takes."""


def from_json(kind: type[T], data: Any) -> T:
    """Return a ``kind`` made from ``data``. Missing fields get their defaults, and unknown fields are ignored.

    So a newer agent and an older ordainctl understand each other. Raises ValueError if the data has another shape or
    other types; the message names the place in the data.

    >>> from ordain.agent.model import Job, Verb
    >>> from_json(Job, {"unit": "a.service", "verb": "stop", "reason": "removed", "new-field": 1}).verb
    <Verb.STOP: 'stop'>
    """
    try:
        return typing.cast(T, _reader(kind)(data))  # type: ignore[arg-type] # python/mypy#11470
    except _Misfit as misfit:
        place = "/".join(reversed(misfit.path))
        raise ValueError(f"{place}: {misfit.what}" if place else misfit.what) from None


class _Misfit(OrdainError, ValueError):
    """Data of a wrong type. Each reader that the error passes adds its key to ``path``, the innermost first.

    A reader does so around its whole loop: a function call for each value would take a third of the time of reading.
    """

    def __init__(self, wanted: str, data: object) -> None:
        shown = repr(data) if isinstance(data, str | int | float | None) else type(data).__name__
        self.what = f"expected {wanted}, found {shown if len(shown) <= _SHOWN else f'{shown[:_SHOWN]}…'}"
        self.path: list[str] = []
        super().__init__(self.what)

    def inside(self, place: object) -> Self:
        """Return this error, as one of the data at ``place`` of a larger value."""
        self.path.append(str(place)[:_SHOWN])
        return self


@functools.cache
def _reader(kind: Any) -> Reader:
    """Return the function that reads a ``kind``."""
    if kind in _SCALARS:
        return _SCALARS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if arguments[1:] == (...,):
            return functools.partial(_list, _reader(arguments[0]), tuple)
        return functools.partial(_fixed_list, tuple(map(_reader, arguments)))
    if origin is frozenset:
        return functools.partial(_list, _reader(arguments[0]), frozenset)
    if origin in (types.UnionType, typing.Union):
        inner = [argument for argument in arguments if argument is not types.NoneType]
        return functools.partial(_optional, _reader(inner[0] if len(inner) == 1 else Any))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return functools.partial(_mapping, _reader(arguments[0]), _reader(arguments[1]))
    if dataclasses.is_dataclass(kind):
        return _record_reader(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return functools.partial(_enum, kind)
    return lambda data: data


def _text(data: Any) -> str:
    if not isinstance(data, str):
        raise _Misfit("a text", data)
    return data


def _integer(data: Any) -> int:
    if type(data) is not int or not _LOWEST <= data <= _HIGHEST:
        raise _Misfit("a whole number of 64 bits", data)
    return data


def _number(data: Any) -> float:
    if type(data) not in (int, float) or not (math.isfinite(data) if isinstance(data, float) else abs(data) < 2**64):
        raise _Misfit("a number", data)
    return data  # type: ignore[no-any-return]


def _boolean(data: Any) -> bool:
    if not isinstance(data, bool):
        raise _Misfit("true or false", data)
    return data


_SCALARS: Mapping[Any, Reader] = {str: _text, int: _integer, float: _number, bool: _boolean}


def _list(item: Reader, collect: Callable[[Any], Any], data: Any) -> Any:
    if not isinstance(data, list | tuple):
        raise _Misfit("a list", data)
    values: list[Any] = []
    try:
        for element in data:
            values.append(item(element))
    except _Misfit as misfit:
        raise misfit.inside(len(values)) from None
    return collect(values)


def _fixed_list(items: tuple[Reader, ...], data: Any) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple) or len(data) != len(items):
        raise _Misfit(f"a list of {len(items)} values", data)
    values: list[Any] = []
    try:
        for item, element in zip(items, data, strict=True):
            values.append(item(element))
    except _Misfit as misfit:
        raise misfit.inside(len(values)) from None
    return tuple(values)


def _optional(inner: Reader, data: Any) -> Any:
    return None if data is None else inner(data)


def _mapping(key: Reader, value: Reader, data: Any) -> dict[Any, Any]:
    if not isinstance(data, _MAPS):
        raise _Misfit("a map", data)
    values = {}
    name: Any = None
    try:
        for name, inner in data.items():
            values[key(name)] = value(inner)
    except _Misfit as misfit:
        raise misfit.inside(name) from None
    return values


def _enum(kind: type[Enum], data: Any) -> Enum:
    try:
        return kind(data)
    except (ValueError, TypeError):
        raise _Misfit(f"one of {', '.join(str(member.value) for member in kind)}", data) from None


def _record_reader(kind: Any) -> Reader:
    hints = typing.get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init]
    readers = [(field.name, _reader(hints[field.name])) for field in fields]
    required = [
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]

    def read(data: Any) -> Any:
        if not isinstance(data, _MAPS):
            raise _Misfit("a map", data)
        for name in required:
            if name not in data:
                raise _Misfit(f"the key {name}", data)
        values = {}
        name = ""
        try:
            for name, reader in readers:
                if name in data:
                    values[name] = reader(data[name])
        except _Misfit as misfit:
            raise misfit.inside(name) from None
        return kind(**values)

    return read
