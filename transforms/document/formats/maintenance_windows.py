"""Maintenance windows: ``[DAYS] HH:MM-HH:MM`` in local time, with days as in systemd.time(7)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.calendar import DAY, days
from ordain.transforms.systemd.values import EncodeError

_DAYS = rf"{DAY}(?:\.\.{DAY})?(?:,{DAY}(?:\.\.{DAY})?)*"
_WINDOW = lazy_pattern(rf"(?i)(?:(?P<days>{_DAYS})\s+)?(\d\d?):(\d\d)\s*-\s*(\d\d?):(\d\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A window on each of ``days`` (0 is Monday), from minute ``start`` of the day until minute ``end``.

    Unless ``end`` is later than ``start``, it is a minute of the next day.
    """

    days: frozenset[int]
    start: int
    end: int

    @property
    def minutes(self) -> int:
        """Return its length in minutes; 00:00-00:00 is the whole day."""
        return (self.end - self.start - 1) % 1440 + 1

    def began(self, now: datetime) -> datetime | None:
        """Return the time at which the window that is open ``now`` opened, None if it is closed."""
        for ahead in (0, -1):
            start = self.start_on(now + timedelta(days=ahead))
            if start is not None and start <= now < start + timedelta(minutes=self.minutes):
                return start
        return None

    def start_on(self, day: datetime) -> datetime | None:
        """Return the time at which it opens on the day of ``day``, None if it does not."""
        midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + timedelta(minutes=self.start) if day.weekday() in self.days else None


def parse_window(text: str) -> Window:
    """Read a window. Raises `EncodeError`.

    >>> w = parse_window("Fri..Sun 22:00-02:00")
    >>> sorted(w.days), w.start, w.minutes
    ([4, 5, 6], 1320, 240)
    """
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise EncodeError(f"not a maintenance window: {text!r}", 'such as "02:00-05:00" or "Sat,Sun 22:00-02:00"')
    hour, minute, to_hour, to_minute = (int(number) for number in match.groups()[1:])
    if hour > 23 or to_hour > 24 or minute > 59 or to_minute > 59 or (to_hour == 24 and to_minute):
        raise EncodeError(f"invalid time of day in {text!r}", "use 00:00 to 24:00")
    return Window(
        days=_listed_days(match["days"] or "Mon..Sun"), start=hour * 60 + minute, end=to_hour % 24 * 60 + to_minute
    )


def _listed_days(text: str) -> frozenset[int]:
    listed: set[int] = set()
    for part in text.lower().split(","):
        first, _, last = part.partition("..")
        listed |= set(days(first, last or first))
    return frozenset(listed)


def next_opening(windows: Iterable[Window], now: datetime) -> datetime:
    """Return the next time at which one of ``windows`` is open: ``now`` if one is open, or if there are none."""
    starts = []
    for window in windows:
        if window.began(now):
            return now
        coming = (window.start_on(now + timedelta(days=ahead)) for ahead in range(8))
        starts += [start for start in coming if start is not None and start > now]
    return min(starts, default=now)
