"""YAML of other programs: YAML 1.1 with tags, merge keys and duplicate keys, of which one bad item costs that item.

The text of a scalar is kept, because each program reads it in its own way: netplan and Compose by the type that a key
wants, cloud-init by YAML 1.1 (`python_text`).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from ordain.transforms.document.text import yaml_reader
from ordain.transforms.document.text.node import Node, Number, scalar
from ordain.transforms.errors import Where
from ordain.transforms.importing.draft.document_draft import DocumentDraft
from ordain.transforms.lazy_patterns import lazy_pattern

TAG = "tag:yaml.org,2002:"


class Unquoted(str):
    """A scalar without quotes that the core schema of YAML 1.2 reads as a string; YAML 1.1 may read a number."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusableNode(Node):
    """A value that no document can hold; ``what`` says why."""

    what: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ForeignRules(yaml_reader.Rules):
    """The rules of YAML 1.1; problems go to ``draft``."""

    draft: DocumentDraft

    def plain_scalar(self, text: str) -> str | bool | None:
        """Return the value of a scalar without quotes."""
        value = scalar(text)
        return value if isinstance(value, (bool, Number)) or value is None else Unquoted(value)

    def tagged(self, tag: str, node: Node) -> Node:
        """Return a node that has a tag: those of YAML 1.1 for types are known."""
        kind = tag.removeprefix(TAG)
        if kind == "binary" and isinstance(node.value, str):
            return _decoded(node)
        if kind in {"str", "map", "seq", "omap"}:
            return node
        if kind in {"int", "float", "bool", "null"} and isinstance(node.value, str):
            return Node(value=self.plain_scalar(node.value), where=node.where)
        shown = f"!!{kind}" if kind != tag else tag
        return UnusableNode(value="", where=node.where, what=f"the tag {shown[:80]} has no meaning here")

    def merged_keys(self, node: Node, at: Where) -> Mapping[str, Node]:
        """Return the keys that << adds: those of a map, or of a list of maps of which the first counts."""
        maps = node.value if isinstance(node.value, tuple) else (node,)
        merged: dict[str, Node] = {}
        for one in reversed(maps):
            if isinstance(one.value, Mapping):
                merged.update(one.value)
            else:
                self.draft.not_converted(at, "<<: the value is not a map", "remove it")
        return merged

    def check_duplicate(self, key: str, at: Where, first: Where) -> None:
        """Add the problem that the first value of a key is not used."""
        what = f"{key!r} is set again in line {at.line}, and the last value is used"
        self.draft.not_converted(first, what, "remove one")


def _decoded(node: Node) -> Node:
    """Return the text of a scalar in base64."""
    try:
        text = base64.b64decode("".join(str(node.value).split()), validate=True).decode()
    except (binascii.Error, ValueError):
        text = "\0"
    if "\0" in text:
        hint = "copy binary files in another way"
        return UnusableNode(value="", where=node.where, what="the value of !!binary is not a text", hint=hint)
    return Node(value=text, where=node.where)


def python_value(node: Node) -> object:
    """Return the value of a scalar as Python programs such as cloud-init read YAML 1.1.

    >>> [python_value(Node(value=Unquoted(text), where=Where())) for text in ("yes", "0644", "1:30", "1_000", "no way")]
    [True, 420, 90, 1000, 'no way']

    Raises ValueError for a text that only looks like a value, such as a date in month 13.
    """
    if not isinstance(node.value, (Number, Unquoted)):
        return node.value
    tag = _resolver().resolve(_yaml().ScalarNode, str(node.value), (True, False))
    if tag == f"{TAG}str":
        return str(node.value)
    try:
        return _resolver().construct_object(_yaml().ScalarNode(tag, str(node.value)))
    except _yaml().YAMLError:
        return str(node.value)


def go_text(value: str) -> str:
    """Return the text that Compose makes of a scalar without quotes: yaml.v3 reads a number, fmt.Sprint writes it.

    >>> [go_text(text) for text in ("012", "0x1F", "1_000", "1e3", "3.10", "1e21", "-.5", "08", ".inf", "1.2.3", "yes")]
    ['10', '31', '1000', '1000', '3.1', '1e+21', '-0.5', '8', '+Inf', '1.2.3', 'yes']
    """
    plain = value.replace("_", "")
    if value.lower() in _NOT_FINITE:
        return _NOT_FINITE[value.lower()]
    if _GO_INTEGER.fullmatch(plain):
        digits = re.sub(r"^([-+]?)0([0-7]+)$", r"\g<1>0o\g<2>", plain)
        if -(1 << 63) <= (number := int(digits, 0)) < 1 << 64:
            return str(number)
    if not _GO_FLOAT.fullmatch(plain):
        return value
    number_text = repr(abs(float(plain)))
    sign = "-" * plain.startswith("-")
    _, digits_of, exponent = Decimal(number_text).normalize().as_tuple()
    assert isinstance(exponent, int)
    first = len(digits_of) + exponent - 1
    if float(plain) == 0 or -4 <= first < 21:  # strconv.FormatFloat with %g, and the bound of fmt
        return sign + f"{Decimal(number_text).normalize():f}"
    digits = "".join(map(str, digits_of))
    return f"{sign}{digits[0]}{'.' * (len(digits) > 1)}{digits[1:]}e{'-' if first < 0 else '+'}{abs(first):02}"


_GO_INTEGER = lazy_pattern(r"[-+]?(0|[1-9][0-9]*|0[0-7]+|0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+)")
_GO_FLOAT = lazy_pattern(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,2})?")
_NOT_FINITE = {".inf": "+Inf", "+.inf": "+Inf", "-.inf": "-Inf", ".nan": "NaN"}


# PyYAML has no types for its resolver and constructor, and is loaded only when there is YAML to read.


@cache
def _resolver() -> Any:
    return _yaml().SafeLoader("")


@cache
def _yaml() -> Any:
    import yaml

    return yaml
