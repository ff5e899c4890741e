"""Checks values against the JSON Schemas of our documents and returns every misfit as a `Problem`.

Two checkers do this. `fits` says yes or no. Only for a value that does not fit, jsonschema is loaded and finds each
misfit (`schema_errors`). The second checker earns its place: to import jsonschema costs 40 ms of CPU time and 11 MB of
memory, which is more than to compile the documents of a small machine. A first boot waits for that, and a process that
has imported it keeps it. Nearly every document is valid and never needs it.
`tests/transforms/document/test_validate.py` asks both about the same values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ordain.transforms.document.formats.formats import FORMATS
from ordain.transforms.document.keys.schema import schema
from ordain.transforms.document.keys.shapes import Schema
from ordain.transforms.document.text.node import Node, Number, Plain
from ordain.transforms.errors import Problem
from ordain.transforms.model import Kind


def problems(node: Node, kind: Kind) -> list[Problem]:
    """Return everything that is wrong with a document of ``kind``, unsorted."""
    return misfits(node, schema(kind))


def misfits(node: Node, wanted: Schema) -> list[Problem]:
    """Return every place where ``node`` does not fit the schema ``wanted``, unsorted."""
    if fits(node.plain(), wanted):
        return []
    from ordain.transforms.document.schema_errors import violations

    return violations(node, wanted)


def fits(value: Plain, schema: Schema) -> bool:
    """Return whether ``value`` fits ``schema``. Raises `KeyError` for a keyword that is not in `_KEYWORDS`.

    >>> fits({"a": "1"}, {"type": "object", "properties": {"a": {"enum": ["1"]}}, "additionalProperties": False})
    True
    """
    return all(_KEYWORDS[keyword](value, wanted, schema) for keyword, wanted in schema.items())


_TYPES: dict[str, Callable[[Plain], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, Number) and value.integral,
    "number": lambda value: isinstance(value, Number),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def _type(value: Plain, wanted: str | list[str], _: Schema) -> bool:
    return any(_TYPES[name](value) for name in ([wanted] if isinstance(wanted, str) else wanted))


def _enum(value: Plain, wanted: list[str | bool | None], _: Schema) -> bool:
    return any(value == member if isinstance(member, str) else value is member for member in wanted)


def _properties(value: Plain, wanted: dict[str, Schema], _: Schema) -> bool:
    return not isinstance(value, dict) or all(fits(child, wanted[key]) for key, child in value.items() if key in wanted)


def _additional(value: Plain, wanted: Schema | bool, schema: Schema) -> bool:
    if not isinstance(value, dict):
        return True
    known = schema.get("properties", {})
    rest = [child for key, child in value.items() if key not in known]
    return not rest if isinstance(wanted, bool) else all(fits(child, wanted) for child in rest)


def _format(value: Plain, wanted: str, _: Schema) -> bool:
    if isinstance(value, str):
        try:
            FORMATS[wanted](value)
        except ValueError:
            return False
    return True


def _then(value: Plain, wanted: Schema, schema: Schema) -> bool:
    return not fits(value, schema["if"]) or fits(value, wanted)


def _one_of(value: Plain, wanted: list[list[str]], _: Schema) -> bool:
    return not isinstance(value, dict) or not any(
        sum(value.get(key) is not None for key in group) > 1 for group in wanted
    )


_KEYWORDS: dict[str, Callable[[Plain, Any, Schema], bool]] = {
    "type": _type,
    "enum": _enum,
    "const": lambda value, wanted, _: _enum(value, [wanted], _),
    "properties": _properties,
    "additionalProperties": _additional,
    "propertyNames": lambda value, wanted, _: not isinstance(value, dict) or all(fits(key, wanted) for key in value),
    "required": lambda value, wanted, _: not isinstance(value, dict) or all(key in value for key in wanted),
    "items": lambda value, wanted, _: not isinstance(value, list) or all(fits(item, wanted) for item in value),
    "minItems": lambda value, wanted, _: not isinstance(value, list) or len(value) >= wanted,
    "minimum": lambda value, wanted, _: not isinstance(value, Number) or value.number >= wanted,
    "maximum": lambda value, wanted, _: not isinstance(value, Number) or value.number <= wanted,
    "format": _format,
    "not": lambda value, wanted, _: not fits(value, wanted),
    "allOf": lambda value, wanted, _: all(fits(value, part) for part in wanted),
    "if": lambda *_: True,  # `_then` asks it
    "then": _then,
    "x-one-of": _one_of,
    **dict.fromkeys(("title", "description", "examples", "x-merge", "$schema", "$id"), lambda *_: True),
}
"""For each keyword of our schemas, the check of a value against the keyword's value and the schema it is in."""
