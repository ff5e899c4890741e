"""Gives back what is not needed between two applies: memory, and the process that compiles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ordain.agent.system.malloc_trim import trim_memory

LINGER_SEC = 10.0
"""The time for which the compiling process is kept after the last work: changes often come in groups."""


class IdleRelease:
    """Calls ``dismiss`` when nobody has worked with documents for `LINGER_SEC`."""

    def __init__(self, dismiss: Callable[[], None]) -> None:
        self._dismiss = dismiss
        self._timer: asyncio.TimerHandle | None = None
        self._used = True

    def used(self) -> None:
        """Note that somebody has worked with documents."""
        self._used = True

    def rest(self) -> None:
        """Give memory back to the system if there was work since the last call, and start the time anew."""
        if self._used:
            self._used = False
            trim_memory()
            if self._timer:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(LINGER_SEC, self._dismiss)
