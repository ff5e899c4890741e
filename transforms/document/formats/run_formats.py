"""Checks of the strings in Runs and in the rows for schedulers, by the name in the ``format`` of a schema."""

from __future__ import annotations

import re
from collections.abc import Callable

from ordain.transforms.document.formats.conditions import FACTS
from ordain.transforms.document.formats.pattern_syntax import BadPattern, parse
from ordain.transforms.errors import did_you_mean
from ordain.transforms.lazy_patterns import lazy_pattern

MAX_ELEMENTS = 100_000
MAIL_EVENTS = ("begin", "end", "fail")
RUN_FACTS = ("run", "system", "scheduler", "user")
"""The names that a Run can match on, besides labels."""
_RANGE = lazy_pattern(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?")


def indices(text: str) -> tuple[range, ...]:
    """Return the ranges of a list of indices. Raises `ValueError`.

    >>> indices("1-10:3,20")
    (range(1, 11, 3), range(20, 21))
    """
    ranges: list[range] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError('write numbers and ranges, such as "1-10", "0-20:5" or "1,4,9"')
        first, last, step = int(match[1]), int(match[2] or match[1]), int(match[3] or 1)
        if last < first:
            raise ValueError(f"the range {part} is empty; write the lower number first")
        if step < 1:
            raise ValueError(f"the step of {part} must be 1 or more")
        ranges.append(range(first, last + 1, step))
    numbers = sum(map(len, ranges))
    if numbers > MAX_ELEMENTS:
        raise ValueError(f"these are {numbers:,} elements; at most {MAX_ELEMENTS:,} are allowed")
    if len({index for numbers in ranges for index in numbers}) < numbers:
        raise ValueError("an index is in the list twice")
    return tuple(ranges)


def _indices(text: str) -> None:
    indices(text)


def _path(text: str) -> None:
    if not text or "\0" in text:
        raise ValueError("write a path of at least one character, without NUL")


def _word(text: str) -> None:
    if not re.fullmatch(r"[^\s\x00-\x1f\x7f]+", text):
        raise ValueError("write one word without blanks")


def _feature(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", text):
        raise ValueError("write one word; an expression, such as a|b, is a directive for `native`")


def _mail_event(text: str) -> None:
    if text not in MAIL_EVENTS:
        raise ValueError(did_you_mean(text, MAIL_EVENTS) or f"known events: {', '.join(MAIL_EVENTS)}")


def _pattern(text: str) -> None:
    try:
        parse(text)
    except BadPattern as error:
        raise ValueError(str(error)) from None


def _regex(text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression of Python: {error}") from None


def _run_match(text: str) -> None:
    if text in FACTS:
        raise ValueError(f"{text} is a fact of machines; a Run matches on {', '.join(RUN_FACTS)} and labels")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,62}", text):
        raise ValueError("use at most 63 letters, digits and - _ . /")


FORMATS: dict[str, Callable[[str], None]] = {
    "feature": _feature,
    "indices": _indices,
    "mail-event": _mail_event,
    "pattern": _pattern,
    "regex": _regex,
    "run-match": _run_match,
    "run-path": _path,
    "word": _word,
}
