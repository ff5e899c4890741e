"""The differences of printed JSON data from the shape that a command declares."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

from ordain.agent.cli.manual.json_outputs import JsonOutput, fields_of, is_record, named


def differences(value: Any, output: JsonOutput) -> list[str]:
    """Return everything in which printed JSON data differs from a declared shape."""
    if value is None and output.optional:
        return []
    if output.many or output.by_name:
        if not isinstance(value, list if output.many else dict):
            return [f"{value!r} is not a {'list' if output.many else 'map'}"]
        items = value.items() if isinstance(value, dict) else enumerate(value)
        one = dataclasses.replace(output, many=False, by_name=False)
        return [f"{at}: {text}" for at, item in items for text in differences(item, one)]
    if not output.parts:
        return []
    if len(output.parts) == 1 and not is_record(output.parts[0]):
        return list(_differences_from_type(value, output.parts[0], ""))
    fields = {name: field for part in output.parts for name, field in fields_of(part).items()}
    if output.hyphens:
        fields = {name.replace("_", "-"): field for name, field in fields.items()}
    return list(_differences_of_fields(value, fields, ""))


def _differences_from_type(value: Any, kind: Any, at: str) -> Iterator[str]:
    """Yield the differences of a value from a type."""
    if (named_class := named(kind)) is not kind:
        if value is not None or kind.__origin__ is not Any:
            yield from _differences_from_type(value, named_class, at)
        return
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or kind is object:
        return
    if origin is Annotated:
        yield from _differences_from_type(value, arguments[0], at)
    elif origin in (types.UnionType, typing.Union):
        answers = [list(_differences_from_type(value, one, at)) for one in arguments]
        if all(answers):
            yield from min(answers, key=len)
    elif is_record(kind):
        yield from _differences_of_fields(value, fields_of(kind), at)
    elif origin is tuple and arguments[-1] is not ...:
        if not isinstance(value, list) or len(value) != len(arguments):
            yield f"{at}: {value!r} is not a list of {len(arguments)}"
        else:
            for index, (item, one) in enumerate(zip(value, arguments, strict=True)):
                yield from _differences_from_type(item, one, f"{at}/{index}")
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            yield f"{at}: {value!r} is not a map"
            return
        for name, item in value.items():
            yield from _differences_from_type(item, arguments[1], f"{at}/{name}")
    elif isinstance(origin, type) and issubclass(origin, (Sequence, frozenset, set)):
        if not isinstance(value, list):
            yield f"{at}: {value!r} is not a list"
            return
        for index, item in enumerate(value):
            yield from _differences_from_type(item, arguments[0], f"{at}/{index}")
    elif isinstance(kind, type) and issubclass(kind, Enum):
        if value not in [one.value for one in kind]:
            yield f"{at}: {value!r} is not a {kind.__name__}"
    elif kind is float:
        if type(value) not in (int, float):
            yield f"{at}: {value!r} is not a number"
    elif kind in (type(None), None):
        if value is not None:
            yield f"{at}: {value!r} is not null"
    elif type(value) is not kind:
        yield f"{at}: {value!r} is not {kind}"


def _differences_of_fields(value: Any, fields: Mapping[str, tuple[Any, bool]], at: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{at}: {value!r} is not an object"
        return
    for name in sorted(value.keys() - fields.keys()):
        yield f"{at}/{name}: is not declared"
    for name, (kind, always) in fields.items():
        if name in value:
            yield from _differences_from_type(value[name], kind, f"{at}/{name}")
        elif always:
            yield f"{at}/{name}: is missing"
