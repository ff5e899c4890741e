"""Lines of a crontab of the system that cron cannot use: it ignores them or the whole file, and only writes to its log.

The rules are those of crontab(5) of Debian and of cronie, whichever allows more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ordain.transforms.decimal_numbers import clamped
from ordain.transforms.lazy_patterns import lazy_pattern

_WORDS = frozenset("@reboot @yearly @annually @monthly @weekly @daily @midnight @hourly".split())
_ASSIGNMENT = lazy_pattern(r"\s*(?:[A-Za-z_][A-Za-z0-9_]*|\"[^\"]+\"|'[^']+')\s*=")
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_DAYS = "sun mon tue wed thu fri sat".split()
_FIELDS: Sequence[tuple[str, int, int, Sequence[str]]] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_PART = lazy_pattern(r"(\*|~|[0-9A-Za-z]+(?:[-~][0-9A-Za-z]+)?|[0-9]*~[0-9]*)(?:/([0-9]+))?")
_USER = lazy_pattern(r"[A-Za-z_][A-Za-z0-9_.@+-]*\$?(?::[^\s]*)?")
_USUAL = "write MINUTE HOUR DAY MONTH WEEKDAY USER COMMAND"


def faults_of_crontab(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the number of each line of ``text`` that cron cannot use, the fault and a hint.

    >>> list(faults_of_crontab("A=b\\n5 4 * * * root /bin/a\\n5 4 * * * /bin/a\\n"))
    [(3, 'a time, a user or a command is missing', 'write MINUTE HOUR DAY MONTH WEEKDAY USER COMMAND')]
    """
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#") or _ASSIGNMENT.match(line):
            continue
        fault, hint = _fault(words)
        if fault:
            yield number, fault, hint


def _fault(words: Sequence[str]) -> tuple[str, str]:
    if words[0].startswith("@"):
        if words[0] not in _WORDS and not re.fullmatch("@[0-9]+", words[0]):
            return f"{words[0]!r} is not a time", f"write one of {', '.join(sorted(_WORDS))}"
        words, hint = words[1:], "write @daily USER COMMAND"
    else:
        for field, word in zip(_FIELDS, words, strict=False):
            if fault := _fault_of_field(word.removeprefix("-") if field is _FIELDS[0] else word, *field):
                return fault, _USUAL
        words, hint = words[5:], _USUAL
    if len(words) > 1 and words[0].startswith("-"):  # flags of cronie and FreeBSD stand before the user or behind it
        words = words[1:]
    if len(words) < 2:
        return "a time, a user or a command is missing", hint
    return ("", "") if _USER.fullmatch(words[0]) else (f"{words[0]!r} is not a user", hint)


def _fault_of_field(word: str, name: str, least: int, most: int, words: Sequence[str]) -> str:
    for part in word.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            return f"the {name} cannot be {word!r}"
        for value in re.split("[-~]", match[1].replace("*", "")):
            is_word = not value or value.lower()[:3] in words
            if not (least <= clamped(value) <= most if value.isdecimal() else is_word):
                return f"the {name} cannot be {value!r}"
        if match[2] and not clamped(match[2]):
            return f"the {name} cannot be {word!r}: a step is 1 or more"
    return ""
