"""The wait before a source that failed is asked again: exponential, with full jitter."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

FIRST_SEC = 1.0
MAX_SEC = 60.0
MAX_RETRY_AFTER_SEC = 3600.0
"""The longest Retry-After that is obeyed: a server must not be able to switch a machine off."""


class Backoff:
    """Random waits of up to 1 s, up to 2 s, … up to 60 s, so that machines that failed together return one by one.

    They begin again at 1 s only after `MAX_SEC` without a failure: otherwise a source that answers once and fails
    again would be asked in a tight loop. ``uniform(low, high)`` and ``clock()``, in seconds, can be replaced.
    """

    def __init__(
        self, *, uniform: Callable[[float, float], float] = random.uniform, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._uniform = uniform
        self._clock = clock
        self._failures = 0
        self._good_since: float | None = None

    def succeeded(self) -> None:
        """Record that the source answered."""
        if self._good_since is None:
            self._good_since = self._clock()

    def failed(self, retry_after_sec: float = 0.0) -> float:
        """Record that the source failed; return the seconds to wait, at least as many as the source asked for."""
        if self._good_since is not None and self._clock() - self._good_since >= MAX_SEC:
            self._failures = 0
        self._good_since = None
        # The exponent is limited so that the number stays small after a year of failures.
        longest = min(MAX_SEC, FIRST_SEC * 2 ** min(self._failures, 16))
        self._failures += 1
        return max(self._uniform(0.0, longest), min(retry_after_sec, MAX_RETRY_AFTER_SEC))
