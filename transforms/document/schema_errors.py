"""What is wrong with a document that does not fit its JSON Schema: every violation as a `Problem` at its place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker, ValidationError
from jsonschema.validators import extend

from ordain.transforms.document.formats import FORMATS
from ordain.transforms.document.node import Node, Number, step
from ordain.transforms.document.shapes import Schema
from ordain.transforms.errors import Problem, Where, near

Errors = Iterator[ValidationError]


def _minimum(validator: Any, least: int, instance: object, _schema: object) -> Errors:
    if isinstance(instance, Number) and instance.number < least:
        yield ValidationError(f"{instance} is less than {least}")


def _maximum(validator: Any, most: int, instance: object, _schema: object) -> Errors:
    if isinstance(instance, Number) and instance.number > most:
        yield ValidationError(f"{instance} is more than {most}")


def _one_of(validator: Any, groups: list[list[str]], instance: object, _schema: object) -> Errors:
    if isinstance(instance, dict):
        for group in groups:
            given = [key for key in group if instance.get(key) is not None]
            if len(given) > 1:
                yield ValidationError(f"{' and '.join(given)} exclude each other")


_TYPES = (
    Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: isinstance(value, Number) and value.integral)
    .redefine("number", lambda _, value: isinstance(value, Number))
    .redefine("boolean", lambda _, value: isinstance(value, bool))
)


def _formats() -> FormatChecker:
    checker = FormatChecker(formats=())
    for name, check in FORMATS.items():
        checker.checks(name, raises=ValueError)(_holding(check))
    return checker


def _holding(check: Any) -> Any:
    def holds(value: object) -> bool:
        if isinstance(value, str):
            check(value)
        return True

    return holds


@cache
def _dialect() -> tuple[Any, FormatChecker]:
    keywords = {"minimum": _minimum, "maximum": _maximum, "x-one-of": _one_of}
    known: Any = extend(  # type: ignore[no-untyped-call] # untyped in types-jsonschema
        Draft202012Validator, validators=keywords, type_checker=_TYPES
    )
    return known, _formats()


def validator(wanted: Schema) -> Any:
    """Return the jsonschema validator of ``wanted`` that knows our keywords and formats."""
    known, formats = _dialect()
    return known(wanted, format_checker=formats)


def violations(node: Node, wanted: Schema) -> list[Problem]:
    """Return what is wrong with a ``node`` that has to fit the schema ``wanted``, unsorted."""
    found: list[Problem] = []
    for error in validator(wanted).iter_errors(node.plain()):
        found.extend(_translated(error, node))
    return found


def _translated(error: ValidationError, root: Node) -> Iterator[Problem]:
    path = list(error.absolute_path)
    node = root.at(path)
    pointer = ""
    for key in path:
        pointer = step(pointer, key)

    def problem(what: str, hint: str = "", key: str = "") -> Problem:
        place = node.keys.get(key, node.where)
        at = step(pointer, key) if key else pointer
        return Problem(
            where=Where(path=place.path, line=place.line, column=place.column, pointer=at),
            what=what,
            hint=hint,
        )

    keyword: str = str(error.validator)
    wanted: Any = error.validator_value
    found: Any = error.instance
    fitting: Any = error.schema if isinstance(error.schema, dict) else {}
    title = fitting.get("title", "")
    if keyword == "additionalProperties":
        known = fitting.get("properties", {})
        if set(known) == {"template"}:
            yield problem(f"wants {title}, found a map", "a map here can only be {template: TEXT}")
            return
        for key in sorted(set(found) - set(known)):
            yield problem("unknown key", near(key, known) or f"known: {', '.join(sorted(known)[:12])}…", key)
    elif keyword == "required":
        if wanted in (["template"], ["not"]):  # another key there is an error of its own
            if not found:
                yield problem(f"wants {title}, found an empty map")
            return
        for key in wanted:
            if key not in found:
                yield problem(f"the key {key} is missing")
    elif keyword == "format":
        key = str(found) if str(found) in node.keys else ""
        title = title.removesuffix(", or a list of them")  # it is one string that is wrong
        yield problem(
            f"{_shown(str(found))!r} is not {title}" if title else str(error.cause),
            _cause(error, title),
            key,
        )
    elif keyword == "type":
        yield problem(
            f"wants {title or ' or '.join(wanted)}, found {_found(found)}",
            _mend(error),
        )
    elif keyword == "enum":
        words = [word for word in wanted if isinstance(word, str)]
        yield problem(f"wants {title}, found {_found(found)}", near(str(found), words))
    elif keyword == "not":
        yield problem(f"wants {title}, found {_found(found)}", "null takes a name out of a set")
    elif keyword == "minItems":
        yield problem(f"wants {title}, found an empty list")
    else:
        yield problem(error.message)


def _cause(error: ValidationError, title: str) -> str:
    cause = str(error.cause) if error.cause else ""
    return "" if cause == title else cause


def _shown(text: str) -> str:
    """Return the first 80 characters of ``text``, without the password that a URL may hold."""
    return re.sub(r"//[^/\s]*@", "//…@", text)[:80]


def _found(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Number):
        return f"the number {value}"
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    return "a list" if isinstance(value, list) else "a map"


def _mend(error: ValidationError) -> str:
    wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    if isinstance(error.instance, bool) and "string" in wanted:
        return f'write "{str(error.instance).lower()}" in quotes'
    if isinstance(error.instance, str) and "boolean" in wanted:
        word = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(error.instance.lower())
        return f"write {word}" if word else ""
    if isinstance(error.instance, str) and "integer" in wanted:
        return "write a whole number without quotes"
    if error.instance is None:
        return "leave it out; null takes back what lower layers said"
    return ""
