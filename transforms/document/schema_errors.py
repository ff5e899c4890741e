"""Finds every violation of a JSON Schema with jsonschema and words it: the place, the fault and the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from ordain.transforms.document import other_words
from ordain.transforms.document.formats.formats import FORMATS
from ordain.transforms.document.keys.shapes import Schema
from ordain.transforms.document.text.node import Node, Number, pointer_below, unescape_key
from ordain.transforms.errors import Problem, Where, did_you_mean
from ordain.transforms.systemd.machine_words import ALIKE

Errors = Iterator[ValidationError]
MAX_KEYS = 12
"""The known keys that a hint lists."""
CLOSE = 0.65
"""The similarity of a misspelt key: `device` is not a misspelt `nice`."""


def _minimum(validator: Any, least: int, instance: object, _schema: object) -> Errors:
    if isinstance(instance, Number) and instance.number < least:
        yield ValidationError(f"{instance} is less than the minimum, {least}")


def _maximum(validator: Any, most: int, instance: object, _schema: object) -> Errors:
    if isinstance(instance, Number) and instance.number > most:
        yield ValidationError(f"{instance} is more than the maximum, {most}")


def _one_of(validator: Any, groups: list[list[str]], instance: object, _schema: object) -> Errors:
    if isinstance(instance, dict):
        for group in groups:
            given = [key for key in group if instance.get(key) is not None]
            if len(given) > 1:
                yield ValidationError(f"{' and '.join(given)} exclude each other; set only one of them")


_TYPES = (
    Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: isinstance(value, Number) and value.integral)
    .redefine("number", lambda _, value: isinstance(value, Number))
    .redefine("boolean", lambda _, value: isinstance(value, bool))
)


def _formats() -> FormatChecker:
    checker = FormatChecker(formats=())
    for name, check in FORMATS.items():
        checker.checks(name, raises=ValueError)(_passes(check))
    return checker


def _passes(check: Callable[[str], None]) -> Callable[[object], bool]:
    """Return ``check`` in the form that jsonschema wants: true, or the error; anything but a string passes."""

    def passes(value: object) -> bool:
        if isinstance(value, str):
            check(value)
        return True

    return passes


@cache
def _dialect() -> tuple[Any, FormatChecker]:
    keywords = {"minimum": _minimum, "maximum": _maximum, "x-one-of": _one_of}
    dialect: Any = extend(  # type: ignore[no-untyped-call] # untyped in types-jsonschema
        Draft202012Validator, validators=keywords, type_checker=_TYPES
    )
    return dialect, _formats()


def validator(wanted: Schema) -> Any:
    """Return the jsonschema validator of ``wanted`` that knows our keywords and formats."""
    dialect, formats = _dialect()
    return dialect(wanted, format_checker=formats)


def violations(node: Node, wanted: Schema) -> list[Problem]:
    """Return everything that is wrong with a ``node`` that has to fit the schema ``wanted``, unsorted."""
    problems: list[Problem] = []
    by_keyword = [
        (str(error.validator), _violation(error, node)) for error in validator(wanted).iter_errors(node.plain())
    ]
    nameless = {
        violation.pointer for keyword, violation in by_keyword if keyword == "type" and violation.is_nameless_key
    }
    for keyword, violation in by_keyword:
        of_keyword = _MESSAGES.get(keyword, _message_of_jsonschema)(violation)
        problems.extend(
            problem for problem in of_keyword if keyword != "format" or problem.where.pointer not in nameless
        )
    return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class _Violation:
    """A value that breaks one keyword of the schema it has to fit.

    ``wanted`` is the value of that keyword, ``instance`` the value that breaks it; ``node`` and ``pointer`` are its
    place. ``message`` is jsonschema's own, ``cause`` the text of the error that a format raised.
    """

    node: Node
    pointer: str
    instance: Any
    wanted: Any
    schema: Mapping[str, Any]
    message: str
    cause: str

    @property
    def title(self) -> str:
        return str(self.schema.get("title", ""))

    @property
    def key(self) -> str:
        """Return the key whose value this is, "" in a list."""
        return unescape_key(self.pointer.rpartition("/")[2])

    @property
    def is_nameless_key(self) -> bool:
        """Return whether the key belongs one level deeper, below a name: `services: {command: /bin/x}`."""
        return not isinstance(self.instance, dict | None) and self.key in self.schema.get("properties", {})

    def problem(self, what: str, hint: str = "", key: str = "") -> Problem:
        """Return the problem at this place, or, with ``key``, at that key of the map."""
        place = self.node.keys.get(key, self.node.where)
        pointer = pointer_below(self.pointer, key) if key else self.pointer
        where = Where(path=place.path, line=place.line, column=place.column, pointer=pointer)
        return Problem(where=where, what=what, hint=hint)

    def mismatch(self, instance: str, hint: str = "") -> Problem:
        return self.problem(f"expected {self.title}, found {instance}", hint)


def _violation(error: ValidationError, root: Node) -> _Violation:
    path = list(error.absolute_path)
    pointer = ""
    for key in path:
        pointer = pointer_below(pointer, key)
    return _Violation(
        node=root.at(path),
        pointer=pointer,
        instance=error.instance,
        wanted=error.validator_value,
        schema=error.schema if isinstance(error.schema, dict) else {},
        message=error.message,
        cause=str(error.cause) if error.cause else "",
    )


def _unknown_keys(violation: _Violation) -> Iterator[Problem]:
    known = violation.schema.get("properties", {})
    if set(known) == {"template"}:
        yield violation.mismatch("a map", "the only map that is allowed here is {template: TEXT}")
        return
    for key in sorted(set(violation.instance) - set(known)):
        hint = other_words.hint(key, known) or did_you_mean(key, known, CLOSE) or _keys_hint(violation.pointer, known)
        yield violation.problem("unknown key", hint, key)


def _missing_keys(violation: _Violation) -> Iterator[Problem]:
    if violation.wanted in (["template"], ["not"]):  # another key in its stead is an error of its own
        if not violation.instance:
            yield violation.mismatch("an empty map")
        return
    for key in violation.wanted:
        if key not in violation.instance:
            yield violation.problem(f"the key {key} is missing", _FIRST_LINES.get(key, ""))


def _wrong_format(violation: _Violation) -> Iterator[Problem]:
    text = str(violation.instance)
    key = text if text in violation.node.keys else ""
    title = violation.title.removesuffix(", or a list of them")  # it is one string that is wrong
    what = f"{_shown(text)!r} is not {title}" if title else f"{_shown(text)!r} cannot stand here"
    yield violation.problem(what, "" if violation.cause == title else violation.cause, key)


def _wrong_type(violation: _Violation) -> Iterator[Problem]:
    if violation.wanted == ["string", "array", "null"] and violation.schema.get("format") == "command":
        hint = "write a list of words; a word may be {template: TEXT}"
        yield violation.mismatch(_described(violation.instance), hint)
        return
    title = violation.title or " or ".join(violation.wanted)
    what = f"expected {title}, found {_described(violation.instance)}"
    if isinstance(violation.instance, bool) and violation.pointer.startswith("sysctl/"):
        yield violation.problem(what, f"write {int(violation.instance)}: the kernel takes numbers only")
        return
    yield violation.problem(what, _map_hint(violation) or _type_hint(violation.instance, violation.wanted))


def _wrong_word(violation: _Violation) -> Iterator[Problem]:
    words = [word for word in violation.wanted if isinstance(word, str)]
    meant = ALIKE.get(str(violation.instance), "")
    hint = f"write {meant}" if meant in words else did_you_mean(str(violation.instance), words)
    yield violation.mismatch(_described(violation.instance), hint)


def _forbidden_value(violation: _Violation) -> Iterator[Problem]:
    yield violation.mismatch(_described(violation.instance), "to remove a name from a set, set it to null")


def _empty_list(violation: _Violation) -> Iterator[Problem]:
    yield violation.mismatch("an empty list")


def _message_of_jsonschema(violation: _Violation) -> Iterator[Problem]:
    yield violation.problem(violation.message)


_MESSAGES: Mapping[str, Callable[[_Violation], Iterator[Problem]]] = {
    "additionalProperties": _unknown_keys,
    "required": _missing_keys,
    "format": _wrong_format,
    "type": _wrong_type,
    "enum": _wrong_word,
    "not": _forbidden_value,
    "minItems": _empty_list,
}
"""For each keyword of a schema, the problems of a value that breaks it. Our own keywords bring their message."""


_FIRST_LINES = {
    "ordain": "begin the document with `ordain: v1`",
    "name": "add a line such as `name: web`; it is the name of the document",
}
"""The remedy for a key of the head of a document that is missing."""


def _keys_hint(pointer: str, known: Collection[str]) -> str:
    """Return the known keys, or, if they are many, the command that prints them."""
    names = sorted(known)
    if len(names) <= MAX_KEYS:
        return f"known keys: {', '.join(names)}"
    return f"`ordainctl help {pointer or 'document'}` lists the {len(names)} known keys"


def _shown(text: str) -> str:
    """Return the first 80 characters of ``text``, without the password that a URL may hold."""
    return re.sub(r"//[^/\s]*@", "//…@", text)[:80]


def _described(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Number):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    return "a list" if isinstance(value, list) else "a map"


_MAIN_KEYS = ("command", "content", "what", "hostname")
"""Keys for which people write the value in place of the whole map, as in `services: {web: /bin/x}`."""
_WITHOUT_NAMES = {"match": "id: debian"}
"""Maps whose keys are known facts and no names, with an example of an entry."""


def _map_hint(violation: _Violation) -> str:
    """Return the remedy where a map is expected and another value is found."""
    value, keys = violation.instance, violation.schema.get("properties", {})
    types = {violation.wanted} if isinstance(violation.wanted, str) else {*violation.wanted}
    if value is None or "object" not in types or {"array", "string"} & types:
        return ""
    if isinstance(value, list):
        if keys and violation.key not in _WITHOUT_NAMES:
            return f"write a map, without dashes or brackets; {_keys_hint(violation.pointer, keys)}"
        first = next((item for item in value if item), "NAME")
        name = next(iter(first)) if isinstance(first, dict) else first
        entry = _WITHOUT_NAMES.get(violation.key, f"{_shown(str(name))}: …")
        return f"write a map, without dashes or brackets: a line `{entry}` for each"
    if violation.is_nameless_key:
        return f"{violation.key} belongs below a name: write the line `NAME:` above it, and indent it below"
    for key in keys:
        if isinstance(value, str) and value in keys[key].get("enum", ()):
            return f"write `{key}: {value}` below it"
    for key in _MAIN_KEYS:
        if key in keys:
            return f"write `{key}: {_shown(str(value))}` below it"
    return _keys_hint(violation.pointer, keys) if keys else "write a line `NAME: …` for each entry below it"


_BOOLEANS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
"""Spellings of YAML 1.1, which are strings in YAML 1.2."""


def _type_hint(value: object, wanted: str | list[str]) -> str:
    types = wanted if isinstance(wanted, list) else [wanted]
    if isinstance(value, bool) and "string" in types:
        return f'write "{str(value).lower()}" in quotes'
    if isinstance(value, str) and "boolean" in types:
        word = _BOOLEANS.get(value.lower())
        return f"write {word}" if word else ""
    if isinstance(value, str) and "integer" in types:
        return "write a whole number without quotes"
    if isinstance(value, list) and "array" not in types:
        return "write one value, without dashes or brackets"
    if isinstance(value, dict) and "array" in types and "object" not in types:
        return "write a list, with a dash before each entry"
    if value is None:
        return "remove this key; null only removes a value that a lower layer sets"
    return ""
