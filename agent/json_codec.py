"""JSON data read back into frozen values; `agent.model.to_json` is the other direction."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")


def from_json(kind: type[T], data: Any) -> T:
    """Return a ``kind`` made from ``data``. Missing fields get their defaults, and unknown fields are ignored.

    So a newer agent and an older ordainctl understand each other. Raises TypeError, ValueError or AttributeError if the
    data has another shape.

    >>> from ordain.agent.model import Job, Verb
    >>> from_json(Job, {"unit": "a.service", "verb": "stop", "reason": "removed", "new-field": 1}).verb
    <Verb.STOP: 'stop'>
    """
    return typing.cast(T, _value(kind, data))


@functools.cache
def _fields(kind: type) -> Mapping[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}


def _value(kind: Any, data: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin is tuple:
        item, *rest = typing.get_args(kind)
        if rest == [...]:
            return tuple(_value(item, element) for element in data)
        return tuple(_value(k, element) for k, element in zip((item, *rest), data, strict=True))
    if origin is frozenset:
        (item,) = typing.get_args(kind)
        return frozenset(_value(item, element) for element in data)
    if origin in (types.UnionType, typing.Union):
        inner = [k for k in typing.get_args(kind) if k is not type(None)]
        return data if data is None or len(inner) > 1 else _value(inner[0], data)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key, value = typing.get_args(kind)
        return {_value(key, k): _value(value, v) for k, v in data.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return kind(**{name: _value(hint, data[name]) for name, hint in _fields(kind).items() if name in data})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    return data
