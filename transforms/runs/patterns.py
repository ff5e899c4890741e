"""Fills the patterns of the rows for schedulers with values; `document.formats.pattern_syntax` has their syntax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ordain.transforms.document.formats.pattern_syntax import BadPattern, OptionalGroup, Parts, Variable, parse

PatternValue = str | int | bool | tuple[str, ...]
"""The value of a variable: True is a flag, whose text is empty; a tuple is a list; sizes are bytes, times seconds."""
Quote = Callable[[str], str]

_UNITS = {
    "B": 1,
    **{unit: 1024**power for power, unit in enumerate("KMGT", 1)},
    **{f"{unit}B": 1000**power for power, unit in enumerate("KMGT", 1)},
}


@dataclass(frozen=True, slots=True)
class Filled:
    """A filled pattern: its texts, of which there are several for a list, and the variables that it used."""

    texts: tuple[str, ...]
    used: frozenset[str]


def fill(pattern: str, values: Mapping[str, PatternValue], quote: Quote = str) -> Filled | None:
    """Return ``pattern`` with its variables replaced, None if one outside of a group is not set.

    A list without a form repeats the whole pattern for each item. Raises `BadPattern` for a form that a value cannot
    have, and the errors of ``quote``, which gets every text of a user.

    >>> fill("-l nodes={nodes}{?:mem={memory:G}gb}", {"nodes": 2, "memory": 3 * 1024**3}).texts
    ('-l nodes=2:mem=3gb',)
    """
    used: set[str] = set()
    parts = parse(pattern)
    repeated = next((p for p in parts if isinstance(p, Variable) and _is_list(p, values)), None)
    if repeated is None:
        text = _text(parts, values, quote, used)
        return None if text is None else Filled((text,), frozenset(used))
    items = values[repeated.name]
    assert isinstance(items, tuple)
    texts = [_text(parts, {**values, repeated.name: item}, quote, used) for item in items]
    if not texts or None in texts:
        return None
    return Filled(tuple(text for text in texts if text is not None), frozenset(used))


def _is_list(variable: Variable, values: Mapping[str, PatternValue]) -> bool:
    return not variable.form and isinstance(values.get(variable.name), tuple)


def _text(parts: Parts, values: Mapping[str, PatternValue], quote: Quote, used: set[str]) -> str | None:
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, OptionalGroup):
            inner: set[str] = set()
            text = _text(part.parts, values, quote, inner)
            if text is not None:
                texts.append(text)
                used |= inner
        elif part.name not in values:
            return None
        else:
            texts.append(formatted(part, values[part.name], quote))
            used.add(part.name)
    return "".join(texts)


def formatted(variable: Variable, value: PatternValue, quote: Quote = str) -> str:
    """Return the text of a value in the form of ``variable``. Raises `BadPattern`."""
    form = variable.form
    if value is True:
        return ""
    if isinstance(value, str):
        if form:
            raise BadPattern(f"{{{variable.name}}} is a text and has no form")
        return quote(value)
    if isinstance(value, tuple):
        return ("" if form == "~" else form).join(value)  # words of the database, which need no quotes
    if not form:
        return str(value)
    if form == "%":
        return str(value * 100)
    if "%" in form:
        return span_text(value, form)
    if form not in _UNITS:
        raise BadPattern(f"{form!r} is not a form; use {', '.join(_UNITS)}, or a time with %d, %H, %M and %S")
    return str(-(-value // _UNITS[form]))


def span_text(seconds: int, form: str) -> str:
    """Return a time in a form with %d, %H, %M and %S.

    A unit has two digits beside another one, and takes the larger units that the form leaves out. Seconds that the form
    leaves out are rounded up.

    >>> span_text(5400, "%H:%M:%S"), span_text(90061, "%d-%H:%M:%S"), span_text(61, "%M"), span_text(90, "%S")
    ('01:30:00', '1-01:01:01', '2', '90')
    """
    units = [
        (letter, size) for letter, size in (("d", 86400), ("H", 3600), ("M", 60), ("S", 1)) if f"%{letter}" in form
    ]
    if not units:
        raise BadPattern(f"the form {form!r} of a time has none of %d, %H, %M and %S")
    smallest = units[-1][1]
    rest = -(-seconds // smallest) * smallest
    text = form
    for letter, size in units:
        number, rest = divmod(rest, size)
        text = text.replace(f"%{letter}", str(number) if len(units) == 1 or letter == "d" else f"{number:02}")
    return text


def fill_words(words: tuple[str, ...], values: Mapping[str, PatternValue]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return an argument vector of patterns, filled, and the variables that it used.

    A word with a variable that is not set is left out. A word that is only a list is replaced by its items.
    """
    filled: list[str] = []
    used: set[str] = set()
    for word in words:
        result = fill(word, values)
        if result is not None:
            filled += (text for text in result.texts if text or not result.used)
            used |= result.used
    return tuple(filled), frozenset(used)
