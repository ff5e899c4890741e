"""The values of a document with their places in the file, as it was written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ordain.transforms.control_characters import BYTE_ORDER_MARK
from ordain.transforms.errors import Problem, Where
from ordain.transforms.lazy_patterns import lazy_pattern

SUFFIXES = (".yaml", ".yml", ".json")
"""The endings of the names of document files."""
MAX_BYTES = 4 << 20
"""The size limit of a document file."""
MAX_NODES = 50_000
"""The most values in one file, and in one document after its aliases are expanded."""
MAX_DEPTH = 64
MAX_KEY = 16 << 10
MARK_HINT = 'remove it; in a text that needs it, write "\\ufeff" in double quotes'
MAX_DIGITS = 64
"""A number with more digits is read as a string, and so is one that is too large for a float."""

INTEGER = lazy_pattern(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+")
DECIMAL = lazy_pattern(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


class Number(str):
    """A number that keeps its source text, since a string may be expected (docs/design/documents.md, rule 1)."""

    __slots__ = ()

    @property
    def integral(self) -> bool:
        """Return whether the text is a whole number in decimal, 0x or 0o."""
        return INTEGER.fullmatch(self) is not None

    @property
    def number(self) -> int | float:
        """Return the value: `int` if the text is a whole number, else `float`."""
        if not self.integral:
            return float(self)
        sign, digits = (-1, self[1:]) if self.startswith("-") else (1, self.removeprefix("+"))
        base = {"0x": 16, "0o": 8}.get(digits[:2], 10)
        return sign * int(digits, base)


Plain = str | bool | None | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value and its place. ``where`` has no pointer, since an anchor is used at several places.

    ``keys`` holds the places of the keys of a map. ``size`` counts the node and all below it, with aliases expanded.
    """

    value: str | bool | tuple[Node, ...] | Mapping[str, Node] | None
    where: Where
    keys: Mapping[str, Where] = field(default_factory=dict)
    size: int = 1

    def plain(self) -> Plain:
        """Return the value without places; numbers are `Number`."""
        if isinstance(self.value, Mapping):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, tuple):
            return [child.plain() for child in self.value]
        return self.value

    def at(self, steps: Iterable[str | int]) -> Node:
        """Return the node that a path of keys and indices leads to."""
        node = self
        for step in steps:
            if isinstance(node.value, Mapping):
                node = node.value[str(step)]
            elif isinstance(node.value, tuple):
                node = node.value[int(step)]
        return node


def is_document_name(name: str) -> bool:
    """Return whether a file called ``name`` in a directory of documents is one of them; hidden files are not."""
    return name.endswith(SUFFIXES) and not name.startswith(".")


def scalar(text: str) -> str | bool | None:
    """Return the value of a plain scalar: YAML 1.2, core schema, but a string if YAML 1.1 reads another value.

    >>> scalar("no"), scalar("0644"), scalar("12:30"), scalar("22.10"), scalar("true"), scalar("~")
    ('no', '0644', '12:30', '22.10', True, None)
    """
    if text in {"", "~", "null", "Null", "NULL"}:
        return None
    if text in {"true", "True", "TRUE"}:
        return True
    if text in {"false", "False", "FALSE"}:
        return False
    return Number(text) if is_number(text) else text


def is_number(text: str) -> bool:
    """Return whether ``text`` is a number that `Number` can hold."""
    if len(text) > MAX_DIGITS:
        return False
    return bool(INTEGER.fullmatch(text) or (DECIMAL.fullmatch(text) and math.isfinite(float(text))))


@dataclass(slots=True)
class ReadLimits:
    """The limits of one file, which count down while it is read. Methods raise `Unreadable`."""

    left: int = MAX_NODES

    def count_value(self, where: Where) -> None:
        """Count one more value."""
        self.left -= 1
        if self.left < 0:
            raise Unreadable(f"more than {MAX_NODES:,} values", where, "split the file")

    def check_text(self, text: str, where: Where) -> str:
        """Return ``text`` if a document may hold it."""
        if "\0" in text:
            raise Unreadable("a document cannot hold a NUL byte", where, "put binary data into a credential")
        return text

    def check_plain(self, text: str, where: Where) -> str:
        """Return ``text`` if it may be without quotes."""
        if BYTE_ORDER_MARK in text:
            raise Unreadable("there is a byte order mark (U+FEFF), which nobody sees", where, MARK_HINT)
        return text

    def check_key(self, text: str, where: Where) -> str:
        """Return ``text`` if it may be a key."""
        if len(text) > MAX_KEY:
            raise Unreadable(f"a key has {len(text):,} characters; at most {MAX_KEY:,} are allowed", where)
        return self.check_text(text, where)


def pointer_below(pointer: str, key: str | int) -> str:
    """Return the pointer to ``key`` in the map or list at ``pointer`` (RFC 6901)."""
    part = str(key).replace("~", "~0").replace("/", "~1")
    return f"{pointer}/{part}" if pointer else part


def unescape_key(part: str) -> str:
    """Return the key that one part of a pointer stands for: the inverse of `pointer_below`."""
    return part.replace("~1", "/").replace("~0", "~")


def sequence(items: list[Node], where: Where) -> Node:
    """Return the node of a list. Raises `Unreadable` if it expands to more than `MAX_NODES`."""
    return Node(value=tuple(items), where=where, size=_bounded(1 + sum(i.size for i in items), where))


def mapping(items: dict[str, Node], keys: dict[str, Where], where: Where) -> Node:
    """Return the node of a map. Raises `Unreadable` if it expands to more than `MAX_NODES`."""
    size = 1 + sum(i.size for i in items.values())
    return Node(value=items, where=where, keys=keys, size=_bounded(size, where))


def _bounded(size: int, where: Where) -> int:
    if size > MAX_NODES:
        raise Unreadable(f"expands to more than {MAX_NODES:,} values", where, "use fewer aliases")
    return size


class Unreadable(Exception):
    """A text is not the YAML or JSON of a document; ``problem`` names the place and the fault. It ends the reading."""

    def __init__(self, what: str, where: Where, hint: str = "") -> None:
        self.problem = Problem(where=where, what=what, hint=hint, code="Syntax")
        super().__init__(str(self.problem))
