"""The generations that the history keeps: the latest ones, and of older ones fewer the older they are.

A night of edits must not remove the state of the evening before, and an edit that failed must not remove one that
worked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LATEST = 100
"""The latest generations that worked are all kept, …"""
AT_LEAST = 20
"""… and so many of them even if they are large."""
LATEST_FAILED = 10
"""The latest generations that were rolled back are kept, for people who look for the reason."""
HOURS, DAYS = 48, 30
"""The last generation of each hour and of each day is kept for so long."""
MAX_BYTES = 256 << 20
"""The space of all but the `AT_LEAST` latest."""
_HOUR_SEC, _DAY_SEC = 3600, 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptGeneration:
    """One generation: the time of its save (seconds since 1970), the bytes that only it needs, and if it failed."""

    number: int
    saved: int
    size: int = 0
    failed: bool = False


def retained(generations: Iterable[KeptGeneration]) -> set[int]:
    """Return the numbers of those to keep. Ages count from the latest one, as a clock may have been wrong."""
    ordered = sorted(generations, key=lambda g: g.number, reverse=True)
    worked = [g for g in ordered if not g.failed]
    failed = [g.number for g in ordered if g.failed]
    now = ordered[0].saved if ordered else 0
    wanted = {g.number for g in worked[:LATEST]}
    wanted |= _last_of_each(worked, now, _HOUR_SEC, HOURS) | _last_of_each(worked, now, _DAY_SEC, DAYS)
    return _within_space([g for g in worked if g.number in wanted]) | set(failed[:LATEST_FAILED])


def _last_of_each(latest_first: Sequence[KeptGeneration], now: int, seconds: int, periods: int) -> set[int]:
    """Return the latest of each of the last ``periods`` of so many ``seconds``."""
    last: dict[int, int] = {}
    for generation in latest_first:
        period = generation.saved // seconds
        if now // seconds - period <= periods:
            last.setdefault(period, generation.number)
    return set(last.values())


def _within_space(latest_first: Sequence[KeptGeneration]) -> set[int]:
    kept, size = set(), 0
    for position, generation in enumerate(latest_first):
        size += generation.size if position >= AT_LEAST else 0
        if size > MAX_BYTES:
            break
        kept.add(generation.number)
    return kept
