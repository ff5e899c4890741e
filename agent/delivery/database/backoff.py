"""How long to wait before a source that failed is asked again: exponential, with full jitter."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

FIRST_SEC = 1.0
MOST_SEC = 60.0
ASKED_MOST_SEC = 3600.0
"""What a server asks for with Retry-After holds up to here: it must not be able to switch a machine off."""


class Backoff:
    """Waits of 0 to 1 s, 0 to 2 s, … 0 to 60 s, all equally likely: machines that failed together return apart.

    They begin anew only after `MOST_SEC` without a failure; a source that answers once and fails again at once
    would be asked in a tight loop otherwise. ``uniform(low, high)`` and ``clock()`` (seconds) can be replaced.
    """

    def __init__(
        self, *, uniform: Callable[[float, float], float] = random.uniform, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._uniform = uniform
        self._clock = clock
        self._failures = 0
        self._good_since: float | None = None

    def succeeded(self) -> None:
        """The source answered."""
        if self._good_since is None:
            self._good_since = self._clock()

    def failed(self, retry_after_sec: float = 0.0) -> float:
        """The source failed: the seconds to wait, not less than it asked for."""
        if self._good_since is not None and self._clock() - self._good_since >= MOST_SEC:
            self._failures = 0
        self._good_since = None
        # The bound of the exponent is beyond `MOST_SEC`, and keeps the number small after a year of failures.
        most = min(MOST_SEC, FIRST_SEC * 2 ** min(self._failures, 16))
        self._failures += 1
        return max(self._uniform(0.0, most), min(retry_after_sec, ASKED_MOST_SEC))
