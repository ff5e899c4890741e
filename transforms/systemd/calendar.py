"""Calendar events (systemd.time(7), "Calendar Events").

The check is a light one, because documents are also rendered where no systemd can be asked.
"""

from __future__ import annotations

import re

from ordain.transforms.decimal_numbers import clamped
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.values import EncodeError

_SHORTHANDS = (
    "minutely", "hourly", "daily", "monthly", "weekly", "yearly", "annually", "quarterly", "semiannually",
)  # fmt: skip
WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = "(?:mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
"""A regular expression for the name of a day of the week, long or short, in lower case."""
_NUMBER = r"[0-9]+(?:\.[0-9]{1,6})?"
_STEP = rf"(?:\*|{_NUMBER}(?:\.\.{_NUMBER})?(?:/{_NUMBER})?)"
_PART = rf"{_STEP}(?:,{_STEP})*"
_GAP = r"(?:^|[ \t]+)"
_EVENT = lazy_pattern(
    rf"(?P<days>(?i:{DAY}(?:(?:\.\.|-|,){DAY})*),?)?"
    rf"(?:{_GAP}(?:{_PART}-)?(?P<month>{_PART})[-~](?P<day>{_PART}))?"
    rf"(?:{_GAP}(?P<hour>{_PART}):(?P<minute>{_PART})(?::(?P<second>{_PART}))?)?"
)
_SHORT = lazy_pattern(rf"(?i:{'|'.join(_SHORTHANDS)})|@[0-9]{{1,15}}")
_ZONE = lazy_pattern(r"[ \t]+(?:(?i:UTC)|[A-Z][A-Za-z_]*(?:/[A-Za-z0-9_+-]+)+|[A-Z]{3,4}[0-9]?[A-Z]{0,3})$")
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_RANGES = {"month": (1, 12), "day": (1, 31), "hour": (0, 23), "minute": (0, 59), "second": (0, 59)}


def check_calendar(text: str) -> None:
    """Check a calendar event: its shape and the range of each number. Raises `EncodeError`.

    A time zone that does not exist, or an event in the past, passes.
    """
    event = _ZONE.sub("", text.strip(" \t"))
    if _SHORT.fullmatch(event):
        return
    match = _EVENT.fullmatch(event)
    if not event or match is None:
        raise EncodeError(
            f"not a calendar event: {text!r}",
            'such as daily, "Mon..Fri 02:30" or "*-*-01 04:00:00"; try systemd-analyze calendar',
        )
    for first, last in re.findall(rf"({DAY})(?:\.\.|-)({DAY})", (match["days"] or "").lower()):
        days(first, last)
    for name, (low, high) in _RANGES.items():
        for number in re.findall(rf"(?<![/0-9.]){_NUMBER}|(?<=\.\.){_NUMBER}", match[name] or ""):
            if not low <= float(number) < high + 1:
                raise EncodeError(f"{name} out of range in a calendar event: {number}", f"{low} to {high}")


def never_comes(text: str) -> str:
    """Return why a calendar event that `check_calendar` takes never comes, ``""`` if it may come.

    >>> never_comes("*-02-30"), never_comes("*-02,04-30"), never_comes("*-02-29 4:00"), never_comes("daily")
    ('no month of it has such a day', '', '', '')
    """
    match = _EVENT.fullmatch(_ZONE.sub("", text.strip(" \t")))
    months, dates = ((match[name] or "*").split(",") if match else ["*"] for name in ("month", "day"))
    if not match or "~" in text or not all(word.isdecimal() for word in (*months, *dates)):
        return ""  # ranges, steps, * and days from the end of a month are left to PID 1
    if any(clamped(date) <= _DAYS[clamped(month) - 1] for month in months for date in dates):
        return ""
    return "no month of it has such a day"


def days(first: str, last: str) -> range:
    """Return the days of the week from ``first`` to ``last``, by the names that `DAY` matches; 0 is Monday.

    Raises `EncodeError` if ``last`` comes before ``first``.

    >>> list(days("wed", "friday"))
    [2, 3, 4]
    """
    begin, end = WEEK.index(first[:3]), WEEK.index(last[:3])
    if begin > end:
        raise EncodeError(f"days out of order: {first} to {last}", "a week begins on Monday")
    return range(begin, end + 1)
