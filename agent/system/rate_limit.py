"""Not too often: so many in a while, and then one whenever the first of those is long enough ago; pure."""

from __future__ import annotations

from collections import deque


class RateLimit:
    """At most ``count`` in ``seconds``; times are of any one clock that does not leap."""

    def __init__(self, count: int, seconds: float) -> None:
        self._seconds = seconds
        self._done: deque[float] = deque(maxlen=count)

    def done(self, now: float) -> None:
        """One more."""
        self._done.append(now)

    def left(self, now: float) -> float:
        """Seconds until the next may be; 0: now.

        >>> pace = RateLimit(2, 10.0)
        >>> [(pace.left(now), pace.done(now))[0] for now in (0.0, 1.0)], pace.left(4.0), pace.left(11.0)
        ([0.0, 0.0], 6.0, 0.0)
        """
        if len(self._done) < (self._done.maxlen or 0):
            return 0.0
        return max(0.0, self._done[0] + self._seconds - now)
