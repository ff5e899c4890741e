"""The language of queries: text to a tree of conditions.

    expression = and-part {"or" and-part}
    and-part   = part {["and"] part}
    part       = "not" part | "(" expression ")" | test
    test       = FIELD [("=" | "!=" | "<" | "<=" | ">" | ">=" | "~") VALUE]

A FIELD with a slash is a pointer into a document, such as ``services/nginx/limits/memory``, in which ``*`` stands for
any one name, and ``~1`` for a slash in a name. Another FIELD names an attribute, such as ``state`` or a label. Values
with blanks, brackets or operators are written in quotes. ``~`` means "contains".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from ordain.transforms.lazy_patterns import lazy_pattern

MAX_DEPTH = 50
MAX_LENGTH = 10_000
_TOKEN = lazy_pattern(
    r"""\s*(?:(?P<sign>[()]|!=|<=|>=|[=<>~])|"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<word>(?:[^\s()=<>~!"']|~[01])+))"""
)


class Comparison(StrEnum):
    """The ways to compare a value; `EXISTS` is a test without a value."""

    EXISTS = ""
    EQUAL = "="
    UNEQUAL = "!="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    CONTAINS = "~"


@dataclass(frozen=True, slots=True)
class FieldTest:
    """One condition on one field."""

    field: str
    comparison: Comparison
    value: str = ""

    @property
    def pointer(self) -> tuple[str, ...]:
        """The names of a pointer into a document, () for an attribute."""
        return tuple(self.field.strip("/").split("/")) if "/" in self.field else ()


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of ``part``."""

    part: Expression


@dataclass(frozen=True, slots=True)
class AllOf:
    """Holds if all ``parts`` hold."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Holds if one of ``parts`` holds."""

    parts: tuple[Expression, ...]


Expression = FieldTest | Not | AllOf | AnyOf


class QueryError(ValueError):
    """A text that is not an expression; the message says where and why."""


def parse_expression(text: str) -> Expression:
    """Return the expression that ``text`` means. Raises `QueryError`.

    >>> parse_expression("role=web and not services/nginx")
    AllOf(parts=(FieldTest(field='role', comparison=<Comparison.EQUAL: '='>, value='web'), \
Not(part=FieldTest(field='services/nginx', comparison=<Comparison.EXISTS: ''>, value=''))))
    """
    if len(text) > MAX_LENGTH:
        raise QueryError(f"the expression is longer than {MAX_LENGTH:,} characters")
    parser = _Parser(text)
    expression = parser.expression(0)
    parser.require_end()
    return expression


def field_tests(expression: Expression) -> Iterator[FieldTest]:
    """Yield all tests of an expression, in its order."""
    match expression:
        case FieldTest():
            yield expression
        case Not(part):
            yield from field_tests(part)
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from field_tests(part)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    at: int
    is_sign: bool = False
    is_quoted: bool = False

    def is_word(self, word: str) -> bool:
        """Return whether this is the word itself, which quotes would make a value."""
        return self.text == word and not self.is_sign and not self.is_quoted


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._read())
        self._next = 0

    def _read(self) -> Iterator[_Token]:
        at, end = 0, len(self._text.rstrip())
        while at < end:
            match = _TOKEN.match(self._text, at)
            if match is None:
                raise QueryError(f"cannot read {self._text[at : at + 20].strip()!r} (character {at + 1})")
            kind = match.lastgroup or ""
            yield _Token(match[kind], match.start(kind) + 1, kind == "sign", kind in ("double", "single"))
            at = match.end()

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _take(self, wanted: str) -> _Token:
        token = self._peek()
        if token is None:
            raise QueryError(f"{wanted} is missing at the end")
        self._next += 1
        return token

    def require_end(self) -> None:
        """Raise `QueryError` if something is left."""
        if token := self._peek():
            raise QueryError(f"unexpected {token.text!r} (character {token.at})")

    def expression(self, depth: int) -> Expression:
        """Read parts with ``or`` between them."""
        if depth > MAX_DEPTH:
            raise QueryError(f"more than {MAX_DEPTH} brackets or words `not` within each other")
        parts = [self._and_part(depth)]
        while (token := self._peek()) and token.is_word("or"):
            self._next += 1
            parts.append(self._and_part(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _and_part(self, depth: int) -> Expression:
        parts = [self._part(depth)]
        while (token := self._peek()) and not token.is_word("or") and not (token.is_sign and token.text == ")"):
            if token.is_word("and"):
                self._next += 1
            parts.append(self._part(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _part(self, depth: int) -> Expression:
        token = self._take("a condition")
        if token.is_word("not"):
            if depth > MAX_DEPTH:
                raise QueryError(f"more than {MAX_DEPTH} brackets or words `not` within each other")
            return Not(self._part(depth + 1))
        if token.is_sign and token.text == "(":
            inner = self.expression(depth + 1)
            closing = self._take("`)`")
            if not (closing.is_sign and closing.text == ")"):
                raise QueryError(f"expected `)`, found {closing.text!r} (character {closing.at})")
            return inner
        if token.is_sign or token.is_word("and") or token.is_word("or") or not token.text:
            raise QueryError(f"expected a field, found {token.text!r} (character {token.at})")
        sign = self._peek()
        if sign is None or not sign.is_sign or sign.text in "()":
            return FieldTest(token.text, Comparison.EXISTS)
        self._next += 1
        value = self._take(f"the value after {sign.text}")
        if value.is_sign:
            raise QueryError(f"expected a value after {sign.text}, found {value.text!r} (character {value.at})")
        return FieldTest(token.text, Comparison(sign.text), value.text)
