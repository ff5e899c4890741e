"""Reads JSON text into nodes.

The YAML reader would read most JSON, but neither its tabs nor its surrogate pairs, and the databases hold JSON. The
grammar is that of RFC 8259. Numbers keep their source text; duplicate keys are errors.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right

from ordain.transforms.control_characters import BYTE_ORDER_MARK
from ordain.transforms.document.text.node import (
    MAX_DEPTH,
    Node,
    Number,
    ReadLimits,
    Unreadable,
    is_number,
    mapping,
    sequence,
)
from ordain.transforms.errors import Where
from ordain.transforms.lazy_patterns import lazy_pattern

_BLANK = lazy_pattern(r"[ \t\r\n]*")
_NUMBER = lazy_pattern(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_STRING = lazy_pattern(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"')
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def read(path: str, text: str) -> Node:
    """Return the one value of a JSON text. Raises `Unreadable`."""
    reader = _Reader(path, text)
    node = reader.value(0)
    if reader.peek():
        raise Unreadable("there is text after the end of the document", reader.where(), "remove it")
    return node


class _Reader:
    def __init__(self, path: str, text: str) -> None:
        self.path, self.text, self.at = path, text, 0
        self.limits = ReadLimits()
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]

    def where(self) -> Where:
        line = bisect_right(self.lines, self.at)
        return Where(path=self.path, line=line, column=self.at - self.lines[line - 1] + 1)

    def peek(self) -> str:
        """Return the next character after blanks, "" at the end."""
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def expect(self, wanted: str) -> None:
        if self.peek() != wanted:
            text = repr(self.peek()) if self.peek() else "the end"
            raise Unreadable(f"expected {wanted!r}, found {text}", self.where())
        self.at += 1

    def value(self, depth: int) -> Node:
        first = self.peek()
        where = self.where()
        self.limits.count_value(where)
        if depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH} levels", where)
        if first == "{":
            return self.object(where, depth)
        if first == "[":
            return self.array(where, depth)
        if first == '"':
            return Node(value=self.string(), where=where)
        if match := _NUMBER.match(self.text, self.at):
            self.at = match.end()
            if not is_number(match.group()):
                raise Unreadable("the number is too long or too large", where, "write it as a string")
            return Node(value=Number(match.group()), where=where)
        for word, value in _WORDS.items():
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return Node(value=value, where=where)
        if first == BYTE_ORDER_MARK:
            raise Unreadable("there is a byte order mark (U+FEFF) in the middle of the file", where, "remove it")
        raise Unreadable("expected a value", where, "write a string in double quotes")

    def string(self) -> str:
        where = self.where()
        match = _STRING.match(self.text, self.at)
        if not match:
            raise Unreadable("this string has no end, or holds a wrong escape or a control character", where)
        self.at = match.end()
        text: str = json.loads(match.group())
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise Unreadable("this string holds half of a surrogate pair, which is not a character", where)
        return self.limits.check_text(text, where)

    def array(self, where: Where, depth: int) -> Node:
        self.expect("[")
        items: list[Node] = []
        while self.peek() != "]":
            if items:
                self.expect(",")
            items.append(self.value(depth + 1))
        self.expect("]")
        return sequence(items, where)

    def object(self, where: Where, depth: int) -> Node:
        self.expect("{")
        items: dict[str, Node] = {}
        keys: dict[str, Where] = {}
        while self.peek() != "}":
            if items:
                self.expect(",")
            if self.peek() != '"':
                raise Unreadable("expected a key in double quotes", self.where())
            at = self.where()
            key = self.limits.check_key(self.string(), at)
            if key in items:
                raise Unreadable(f"duplicate key {key!r}", at, f"it is also in line {keys[key].line}; remove one")
            self.expect(":")
            items[key] = self.value(depth + 1)
            keys[key] = at
        self.expect("}")
        return mapping(items, keys, where)
