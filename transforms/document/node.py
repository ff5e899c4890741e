"""A document as it was written: values with their positions, before any meaning."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ordain.transforms.errors import Problem, Where

SUFFIXES = (".yaml", ".yml", ".json")
"""The endings of the names of document files."""
MAX_BYTES = 4 << 20
"""The size limit of a document file."""
MAX_NODES = 50_000
"""Values of one file, and of one document with its aliases expanded."""
MAX_DEPTH = 64
MAX_KEY = 16 << 10
MAX_DIGITS = 64
"""A number with more of them is a string, as is one that no float holds."""

INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+|0o[0-7]+")
DECIMAL = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")


class Number(str):
    """A number with its source text, which it keeps where a string belongs (docs/design/documents.md, rule 1)."""

    __slots__ = ()

    @property
    def integral(self) -> bool:
        """Whether the text is a whole number in decimal, 0x or 0o."""
        return INTEGER.fullmatch(self) is not None

    @property
    def number(self) -> int | float:
        """The value; `int` where the text is a whole number."""
        if not self.integral:
            return float(self)
        sign, digits = (-1, self[1:]) if self.startswith("-") else (1, self.removeprefix("+"))
        base = {"0x": 16, "0o": 8}.get(digits[:2], 10)
        return sign * int(digits, base)


Plain = str | bool | None | list["Plain"] | dict[str, "Plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A value and where it stands; ``where`` holds no pointer, since an anchor stands in several places.

    ``keys`` says where the keys of a map stand; ``size`` counts the nodes below, aliases expanded.
    """

    value: str | bool | tuple[Node, ...] | Mapping[str, Node] | None
    where: Where
    keys: Mapping[str, Where] = field(default_factory=dict)
    size: int = 1

    def plain(self) -> Plain:
        """The value without positions; numbers are `Number`."""
        if isinstance(self.value, Mapping):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, tuple):
            return [child.plain() for child in self.value]
        return self.value

    def at(self, steps: Iterable[str | int]) -> Node:
        """The node a path of keys and indices leads to."""
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
    """The value of a plain scalar: YAML 1.2 core schema, less what YAML 1.1 reads otherwise.

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
    """Whether ``text`` is a number that can be held."""
    if len(text) > MAX_DIGITS:
        return False
    return bool(INTEGER.fullmatch(text) or (DECIMAL.fullmatch(text) and math.isfinite(float(text))))


@dataclass(slots=True)
class ReadLimits:
    """Bounds what is read of one file, while it is read. Raises `Unreadable`."""

    left: int = MAX_NODES

    def value(self, where: Where) -> None:
        """One more value."""
        self.left -= 1
        if self.left < 0:
            raise Unreadable(f"more than {MAX_NODES:,} values", where, "split the file")

    def text(self, text: str, where: Where) -> str:
        """A string that may stand in a document."""
        if "\0" in text:
            raise Unreadable("a NUL byte can stand nowhere", where, "credentials hold what is no text")
        return text

    def key(self, text: str, where: Where) -> str:
        """A string that may be a key."""
        if len(text) > MAX_KEY:
            raise Unreadable(f"a key of {len(text):,} characters; {MAX_KEY:,} are allowed", where)
        return self.text(text, where)


def pointer_below(pointer: str, key: str | int) -> str:
    """``pointer`` one step further down, RFC 6901."""
    part = str(key).replace("~", "~0").replace("/", "~1")
    return f"{pointer}/{part}" if pointer else part


def unescape_key(part: str) -> str:
    """The key that one part of a pointer stands for: the inverse of `pointer_below`."""
    return part.replace("~1", "/").replace("~0", "~")


def sequence(items: list[Node], where: Where) -> Node:
    """A list of nodes. Raises `Unreadable` where it expands to more than `MAX_NODES`."""
    return Node(value=tuple(items), where=where, size=_bounded(1 + sum(i.size for i in items), where))


def mapping(items: dict[str, Node], keys: dict[str, Where], where: Where) -> Node:
    """A map of nodes. Raises `Unreadable` where it expands to more than `MAX_NODES`."""
    size = 1 + sum(i.size for i in items.values())
    return Node(value=items, where=where, keys=keys, size=_bounded(size, where))


def _bounded(size: int, where: Where) -> int:
    if size > MAX_NODES:
        raise Unreadable(f"expands to more than {MAX_NODES:,} values", where, "anchors may not multiply content")
    return size


class Unreadable(Exception):
    """The text is no YAML or JSON of ours; ``problem`` says where and why. Ends the reading of one file."""

    def __init__(self, what: str, where: Where, hint: str = "") -> None:
        self.problem = Problem(where=where, what=what, hint=hint, code="Syntax")
        super().__init__(str(self.problem))
