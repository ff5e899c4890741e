"""Scalars and lists of documents as text, in the forms that the readers of network files want."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ordain.transforms.model import Value
from ordain.transforms.systemd.values import timespan

ToText = Callable[[Value], str]
Parameters = Mapping[str, tuple[str, ToText]]
"""Keys of a document, each with the key for a renderer and the function that writes the value."""


def yes_no(value: Value) -> str:
    """Return a scalar as text, booleans as yes and no, and a list with blanks between: for systemd."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def true_false(value: Value) -> str:
    """Return a boolean as true or false: for keyfiles."""
    return "true" if value else "false"


def false_true(value: Value) -> str:
    """Return the opposite of a boolean: for keys of keyfiles that start with `ignore`."""
    return true_false(not value)


def one_zero(value: Value) -> str:
    """Return a scalar as text, booleans as 1 and 0, and a list with commas between: for the kernel and keyfiles."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def seconds(value: Value) -> str:
    """Return a time in whole seconds; a number without a unit is in seconds."""
    return str(timespan(str(value)) // 1_000_000)


def milliseconds(value: Value) -> str:
    """Return a time in whole milliseconds; a number without a unit is in milliseconds."""
    return str(timespan(str(value), 1000) // 1000)


def with_milliseconds(value: Value) -> str:
    """Return a time as it is; a number without a unit gets the unit ms."""
    return f"{value}ms" if str(value).isdigit() else str(value)


def keyfile_text(value: Value) -> str:
    r"""Return a text with the escapes of keyfiles: for backslashes, and for blanks at either end (GKeyFile).

    >>> keyfile_text(" a b;c ")
    '\\sa b;c\\s'
    """
    text = str(value).replace("\\", "\\\\")
    inner = text.strip(" ")
    before, after = len(text) - len(text.lstrip(" ")), len(text) - len(text.rstrip(" "))
    return "\\s" * before + inner + "\\s" * (after if inner else 0)
