"""The keys of documents as tables, one for each record of the JSON Schema; the reference pages print them.

schema ─▶ KeyTable… ─▶ docs/reference/documents.md, docs/reference/sections/*.md, ordain-document(5)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ordain.transforms.document.keys.shapes import Schema

MANY_SHARED_KEYS = 8
"""A table with so many keys of an earlier one refers to that one instead of repeating them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRow:
    """One key: the noun for its value, its meaning, examples, and the table of the keys below it, "" if none."""

    name: str
    value: str
    meaning: str
    examples: tuple[str, ...]
    below: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTable:
    """The keys of one record. In ``pointer``, words in capitals stand for names that the user chooses.

    ``shared_keys`` are described in the table ``shared_with``. Of each group in ``one_of``, at most one key is set.
    """

    pointer: str
    rows: tuple[KeyRow, ...]
    shared_keys: tuple[str, ...] = ()
    shared_with: str = ""
    one_of: tuple[tuple[str, ...], ...] = ()


def key_tables(pointer: str, shape: Schema) -> tuple[KeyTable, ...]:
    """Return the table of the record at ``pointer``, and those of the records below it."""
    return tuple(_tables(pointer, shape, []))


def key_rows(prefix: str, keys: Mapping[str, Schema]) -> tuple[KeyRow, ...]:
    """Return a row for each key; ``prefix`` and the name of the key are its pointer."""
    return tuple(_row(prefix, name, shape) for name, shape in keys.items())


_Printed = list[tuple[str, Mapping[str, Schema]]]
"""The pointer and the keys of each table so far."""


def _tables(pointer: str, shape: Schema, printed: _Printed) -> Iterator[KeyTable]:
    pointer, keys = _record(pointer, shape)
    if not keys:
        return
    shared_with, shared = _shared(keys, printed)
    own = {name: below for name, below in keys.items() if name not in shared}
    printed.append((pointer, own))
    yield KeyTable(
        pointer=pointer,
        rows=key_rows(f"{pointer}/", own),
        shared_keys=shared,
        shared_with=shared_with,
        one_of=tuple(tuple(group) for group in shape.get("x-one-of", ())),
    )
    for name, below in own.items():
        yield from _tables(f"{pointer}/{name}", below, printed)


def _shared(keys: Mapping[str, Schema], printed: _Printed) -> tuple[str, tuple[str, ...]]:
    """Return the earlier table that shares the most keys with ``keys``, and these keys."""
    common = [(other, tuple(key for key in keys if earlier.get(key) == keys[key])) for other, earlier in printed]
    best = max(common, key=lambda item: len(item[1]), default=("", ()))
    return best if len(best[1]) >= MANY_SHARED_KEYS else ("", ())


def _record(pointer: str, shape: Schema) -> tuple[str, Mapping[str, Schema]]:
    """Return the known keys at ``pointer``, or of the items of a map or list there, and their pointer."""
    inner = shape.get("additionalProperties")
    if isinstance(inner, Mapping) and shape.get("x-merge") != "set":
        return _record(f"{pointer}/NAME", dict(inner))
    if isinstance(item := shape.get("items"), Mapping) and "additionalProperties" in item:
        return _record(f"{pointer}/N", dict(item))
    keys: Mapping[str, Schema] = shape.get("properties", {})
    # Every string may be {template: TEXT}, and every condition {not: …}: the rules of the language say so once.
    return pointer, {} if set(keys) <= {"template", "not"} else keys


def _row(prefix: str, name: str, shape: Schema) -> KeyRow:
    below, keys = _record(f"{prefix}{name}", shape)
    return KeyRow(
        name=name,
        value=_value(shape),
        meaning=shape.get("description", "").strip(),
        examples=tuple(shape.get("examples", ())),
        below=below if keys else "",
    )


def _value(shape: Schema) -> str:
    if shape.get("x-merge") == "set":
        return f"set: {shape['propertyNames']['title']}"
    if shape.get("format") == "command":
        return "a command"
    title: str = shape.get("title", "")
    return title
