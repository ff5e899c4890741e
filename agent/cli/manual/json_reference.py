"""docs/reference/json.md, made from the table of outputs: `python3 -m ordain.agent.cli.manual.json_reference`."""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

from ordain.agent.cli.manual.json_outputs import OUTPUTS, REFUSAL, JsonOutput, fields_of, is_record, named

_HEAD = """\
# JSON

<!-- Made by `python3 -m ordain.agent.cli.manual.json_reference`: do not edit. -->

Every command that prints a table or a list prints the same with `--json`, as one JSON value on standard output.
Messages stay on standard error, and the exit status is the same as without it. JSON on [D-Bus](dbus.md) has the same
shapes.

A key that is described here keeps its name, its type and its meaning. New keys may come: ignore those that you do not
know. All keys of an object are always there, except those with *optional*. Times are ISO 8601 in UTC; a text without a
value is "".

If documents are refused, every command prints [Refusal](#refusal), with exit status 1.

## Commands

| command | output |
|---|---|
"""
_NAMES = {str: "text", int: "whole number", float: "number", bool: "true or false", type(None): "null", Any: "any"}


def markdown() -> str:
    """Return the whole page."""
    rows = [f"| `{command}` | {'; '.join(map(_output, outputs))} |\n" for command, outputs in OUTPUTS.items()]
    outputs = [REFUSAL, *(output for outputs in OUTPUTS.values() for output in outputs)]
    kinds: dict[str, Any] = {}
    for output in outputs:
        for part in output.parts:
            collect(part, kinds)
    hyphens = {title(part) for output in outputs if output.hyphens for part in output.parts}
    sections = [section(name, kinds[name], hyphens=name in hyphens) for name in sorted(kinds)]
    return _HEAD + "".join(rows) + "\n## Objects\n" + "".join(sections)


def title(kind: type) -> str:
    """Return the name of an object in the page."""
    return kind.__name__.removeprefix("Json")


def _output(output: JsonOutput) -> str:
    shape = " and ".join(link(part) for part in output.parts)
    if len(output.parts) > 1:
        shape = f"{link(output.parts[0])} with the keys of {' and '.join(map(link, output.parts[1:]))}"
    if output.many:
        shape = f"a list of {shape}"
    if output.by_name:
        shape = f"a map of names to {shape}"
    if output.optional:
        shape += " or null"
    text = f"{shape} ({output.what})" if shape and output.what else shape or output.what
    return f"{output.when}: {text}" if output.when else text


def link(kind: Any) -> str:
    """Return a type in words, with links to objects."""
    kind = named(kind)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if is_record(kind):
        return f"[{title(kind)}](#{title(kind).lower()})"
    if origin is Annotated:
        return link(arguments[0])
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(link, arguments))
    if origin is tuple and arguments[-1] is not ...:
        return f"list: {', '.join(map(link, arguments))}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"map to {link(arguments[1])}"
    if isinstance(origin, type) and issubclass(origin, (Sequence, frozenset, set)):
        return f"list of {link(arguments[0])}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(f'"{one.value}"' for one in kind)
    return _NAMES.get(kind, "any")


def collect(kind: Any, kinds: dict[str, Any]) -> None:
    """Add the objects that a type consists of to ``kinds``, by title."""
    kind = named(kind)
    if is_record(kind):
        if title(kind) in kinds:
            return
        kinds[title(kind)] = kind
        for field, _ in fields_of(kind).values():
            collect(field, kinds)
    for argument in typing.get_args(kind):
        collect(argument, kinds)


def section(name: str, kind: Any, *, hyphens: bool = False) -> str:
    """Return the section of an object: its text, and a table of its keys."""
    lines = [f"\n### {name}\n\n{_text(kind)}\n\n| key | value |\n|---|---|\n"]
    lines += _rows(kind, hyphens=hyphens)
    return "".join(lines)


def _text(kind: Any) -> str:
    """Return the docstring of a class as Markdown."""
    text = re.sub(r" \(`[a-z_.]+`\)", "", inspect.cleandoc(kind.__doc__ or "").replace("``", "`"))
    for python, json in (("None", "null"), ("True", "true"), ("False", "false")):
        text = re.sub(rf"\b{python}\b", json, text)
    return text


def _rows(kind: Any, *, hyphens: bool) -> Iterator[str]:
    for name, (field, always) in fields_of(kind).items():
        key = name.replace("_", "-") if hyphens else name
        optional = "" if always else ", *optional*"
        nullable = " or null" if typing.get_origin(field) is Annotated and field.__origin__ is Any else ""
        yield f"| `{key}` | {link(field)}{nullable}{optional} |\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
