"""A sliding-window rate limiter."""

from __future__ import annotations

from collections import deque


class RateLimit:
    """A limit of ``count`` events in any ``seconds``; times are from one monotonic clock."""

    def __init__(self, count: int, seconds: float) -> None:
        self._seconds = seconds
        self._events: deque[float] = deque(maxlen=count)

    def record(self, now: float) -> None:
        """Record an event."""
        self._events.append(now)

    def wait_sec(self, now: float) -> float:
        """Return the seconds until the next event is allowed, 0 if it is allowed now.

        >>> limit = RateLimit(2, 10.0)
        >>> limit.record(0.0), limit.record(1.0)
        (None, None)
        >>> limit.wait_sec(4.0), limit.wait_sec(11.0)
        (6.0, 0.0)
        """
        if len(self._events) < (self._events.maxlen or 0):
            return 0.0
        return max(0.0, self._events[0] + self._seconds - now)
