"""Times on the command line, in the forms of systemd.time(7): ``--for 4h``, ``--until "Mon 08:00"``.

A day or a time of day alone means the next one after now for an end, and the last one before now for a beginning.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo

from ordain.agent.cli.parse import Usage
from ordain.agent.instruction import Terms
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.calendar import DAY, days
from ordain.transforms.systemd.values import EncodeError, timespan

_MOMENT = lazy_pattern(
    rf"(?:(?P<word>now|today|yesterday|tomorrow)|(?P<day>{DAY}),?)?"
    r"(?:(?:^|\s+)(?:(?P<year>\d{4})-)?(?P<month>\d{1,2})-(?P<date>\d{1,2}))?"
    r"(?:(?:^|\s+|(?<=\d)t)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?)?"
    r"(?P<utc>\s+utc|(?<=\d)z)?"
)
_SHIFT = {"yesterday": -1, "today": 0, "tomorrow": 1}
_FORMS = 'write a time as "Mon 08:00", "2026-12-24 18:00", "tomorrow 07:30", "18:00" or "+4h"'
_LONGEST = timedelta(days=3660)


def coming(text: str, now: datetime) -> datetime:
    """Return the moment after ``now`` that ``text`` means. Raises `Usage` for another form, and for the past.

    >>> str(coming("Mon 08:00", datetime(2026, 11, 28, 22, 0, tzinfo=UTC)))
    '2026-11-30 08:00:00+00:00'
    """
    moment = _moment(text, now, 1)
    if moment <= now:
        raise Usage(f"{text!r} is in the past; {_FORMS}")
    return moment


def past(text: str, now: datetime) -> datetime:
    """Return the moment before ``now`` that ``text`` means. Raises `Usage` for another form.

    >>> str(past("Tue", datetime(2026, 11, 28, 22, 0, tzinfo=UTC)))
    '2026-11-24 00:00:00+00:00'
    """
    return _moment(text, now, -1)


def _moment(text: str, now: datetime, direction: int) -> datetime:
    """Return the moment that ``text`` means, in the time zone of ``now``; ``direction`` is 1 for the next one."""
    stripped = text.strip()
    if (relative := _relative(stripped, direction)) is not None:
        return now + relative
    if stripped.startswith("@") and stripped[1:].isdecimal():
        return datetime.fromtimestamp(int(stripped[1:]), now.tzinfo)
    match = _MOMENT.fullmatch(stripped.lower())
    if not stripped or match is None:
        raise Usage(f"{text!r} is not a time; {_FORMS}")
    if match["word"] == "now" and not match["hour"]:
        return now
    zone = UTC if match["utc"] else None
    local = now.astimezone(zone) if zone else now
    try:
        clock = time(int(match["hour"] or 0), int(match["minute"] or 0), int(match["second"] or 0))
        for day in _days(match, local, direction):
            # A local time is looked up anew for each day: the offset from UTC differs in winter and summer.
            naive = datetime.combine(day, clock)
            moment = naive.replace(tzinfo=zone) if zone else naive.replace(tzinfo=_zone_of(naive, now))
            if (moment - now) * direction > timedelta() or match["year"] or match["word"]:
                return moment
    except ValueError as error:
        raise Usage(f"{text!r} is not a time: {error}; {_FORMS}") from None
    raise Usage(f"{text!r} is not a time: the day of the week does not fit the date; {_FORMS}")


def _days(match: re.Match[str], now: datetime, direction: int) -> Iterator[datetime]:
    """Yield the days that the text can mean, nearest first. Raises ValueError for a date that does not exist."""
    weekday = days(match["day"], match["day"])[0] if match["day"] else None
    if match["month"]:
        years = [int(match["year"])] if match["year"] else [now.year, now.year + direction]
        candidates = [datetime(year, int(match["month"]), int(match["date"])) for year in years]
    elif match["word"]:
        candidates = [now + timedelta(days=_SHIFT.get(match["word"], 0))]
    else:
        candidates = [now + timedelta(days=direction * ahead) for ahead in range(8)]
    yield from (day for day in candidates if weekday is None or day.weekday() == weekday)


def _zone_of(naive: datetime, now: datetime) -> tzinfo | None:
    """Return the time zone of a local time: that of the system if ``now`` has it, with the offset of that day."""
    if now.tzinfo == now.astimezone().tzinfo:
        return naive.astimezone().tzinfo
    return now.tzinfo


def _relative(text: str, direction: int) -> timedelta | None:
    """Return the distance that ``+4h``, ``-2d``, ``3h ago`` or ``3h left`` mean, None for another form."""
    sign, span = 0, text
    if text[:1] in ("+", "-"):
        sign, span = (1 if text[0] == "+" else -1), text[1:]
    elif text.endswith((" ago", " left")):
        sign, span = (-1 if text.endswith(" ago") else 1), text.rpartition(" ")[0]
    if not sign:
        return None
    return sign * _span(span, text)


def _span(span: str, text: str) -> timedelta:
    try:
        length = timedelta(microseconds=timespan(span))
    except (EncodeError, OverflowError):
        raise Usage(f"{text!r} is not a time span; write it as 4h, 90min or 2d 6h") from None
    if length > _LONGEST:
        raise Usage(f"{text!r} is longer than ten years; write a shorter time")
    return length


def terms_of(request: Namespace, why: str, now: datetime) -> Terms:
    """Return the reason and the end on the command line (--for, --until). Raises `Usage`."""
    if request.lasts and request.until:
        raise Usage("give either --for or --until")
    if request.lasts:
        seconds = round(_span(request.lasts, request.lasts).total_seconds())
        if seconds < 1:
            raise Usage(f"--for {request.lasts}: write at least 1s")
        return Terms(why=why, lasts_sec=seconds)
    until_sec = round(coming(request.until, now).timestamp()) if request.until else 0
    return Terms(why=why, until_sec=until_sec)


def spoken_span(seconds: float) -> str:
    """Return a time in its largest unit.

    >>> spoken_span(59), spoken_span(3600), spoken_span(200_000)
    ('59 s', '60 min', '56 h')
    """
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= (4 if unit == "d" else 2) * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


def spoken_ago(seconds: float) -> str:
    """Return how long ago something was, as people say it.

    >>> spoken_ago(3), spoken_ago(3600)
    ('just now', '60 min ago')
    """
    return "just now" if seconds < 10 else f"{spoken_span(seconds)} ago"


def seconds_of(option: str, text: str) -> float:
    """Return the time span of an option in seconds. Raises `Usage`."""
    try:
        return timespan(text) / 1_000_000
    except EncodeError as error:
        raise Usage(f"{option} {text}: {error}") from None


def time_range(request: Namespace) -> tuple[datetime | None, datetime | None]:
    """Return the times of --since and --until. Raises `Usage`."""
    now = datetime.now().astimezone()
    since = past(request.since, now) if request.since else None
    until = past(request.until, now) if request.until else None
    if since and until and until <= since:
        raise Usage(f"--until {request.until} is not after --since {request.since}")
    return since, until


def is_between(time: str, since: datetime | None, until: datetime | None) -> bool:
    """Return whether a time in ISO 8601 lies in the range; a text that is not a time lies in none with a beginning."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return since is None and until is None
    return (since is None or moment >= since) and (until is None or moment < until)
