"""Calendar events (systemd.time(7), "Calendar Events"): a light check, since render has no systemd to ask."""

from __future__ import annotations

import re

from ordain.transforms.values import EncodeError

_SHORTHANDS = frozenset(
    ("minutely", "hourly", "daily", "monthly", "weekly", "yearly", "annually", "quarterly", "semiannually")
)
_DAY = "(?:mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
_DAYS = re.compile(rf"{_DAY}(?:(?:\.\.|-|,){_DAY})*,?", re.IGNORECASE)
_STEP = r"(?:\*|[0-9]+(?:\.[0-9]{1,6})?(?:\.\.[0-9]+(?:\.[0-9]{1,6})?)?)(?:/[0-9]+(?:\.[0-9]{1,6})?)?"
_PART = rf"{_STEP}(?:,{_STEP})*"
_DATE = re.compile(rf"(?:({_PART})-)?({_PART})([-~])({_PART})")
_TIME = re.compile(rf"({_PART}):({_PART})(?::({_PART}))?")
_ZONE = re.compile(r"UTC|[A-Z][A-Za-z_]*(?:/[A-Za-z0-9_+-]+)+|[A-Z]{3,4}[0-9]?[A-Z]{0,3}")


def calendar(text: str) -> None:
    """A calendar event (systemd.time(7), "Calendar Events").

    A light check: the shape, and the range of each number; not whether it ever elapses.
    """
    parts = text.split()
    if len(parts) > 1 and _ZONE.fullmatch(parts[-1]) and not _DAYS.fullmatch(parts[-1]):
        parts.pop()
    if len(parts) == 1 and (parts[0].lower() in _SHORTHANDS or re.fullmatch(r"@[0-9]{1,15}", parts[0])):
        return
    rest = parts[1:] if parts and _DAYS.fullmatch(parts[0]) else parts
    days_only = bool(parts) and not rest
    if rest and (date := _DATE.fullmatch(rest[0])):
        _within(date[2], 1, 12)
        _within(date[4], 1, 31)
        rest = rest[1:]
        days_only = not rest
    if rest and (time := _TIME.fullmatch(rest[0])):
        _within(time[1], 0, 23)
        _within(time[2], 0, 59)
        _within(time[3] or "0", 0, 60)
        rest = rest[1:]
    elif not days_only:
        rest = parts or [""]
    if rest:
        raise EncodeError(
            f"not a calendar event: {text!r}",
            'such as daily, "Mon..Fri 02:30" or "*-*-01 04:00:00"; try systemd-analyze calendar',
        )


def _within(part: str, low: int, high: int) -> None:
    """Whether each number of a list of values, ranges and steps is in range; a step counts from anywhere."""
    for step in part.split(","):
        for number in step.partition("/")[0].replace("..", " ").split():
            if number != "*" and not low <= float(number) <= high:
                raise EncodeError(f"out of range in a calendar event: {number}", f"{low} to {high}")
