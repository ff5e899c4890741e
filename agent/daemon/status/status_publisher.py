"""The status that the agent shows, and those who are told when it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ordain.agent.daemon.status.status_reader import StatusReader
from ordain.agent.status import Status

Listener = Callable[[Status], None]


class StatusPublisher:
    """Holds the ``current`` status, and calls listeners with every new one. It is a `Minder`: each tick observes."""

    def __init__(self, reader: StatusReader, first: Status) -> None:
        self.current = first
        self._reader = reader
        self._units: frozenset[str] = frozenset()
        self._listeners: list[Listener] = []
        self._observing = asyncio.Lock()
        self._next: asyncio.Task[Status] | None = None

    async def tick(self, now: float) -> None:
        """Observe and publish, see `Minder.tick`."""
        await self.refresh()

    async def refresh(self) -> Status:
        """Observe the machine, publish the status and return it.

        One observation at a time: of two at once, the older one could be published last. All who ask during one wait
        for the next one together, because the running one may have passed what they ask about.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._observe())
        return await asyncio.shield(self._next)

    async def _observe(self) -> Status:
        async with self._observing:
            self._next = None  # who asks from now on needs another observation
            self.publish(await self._reader.read())
            return self.current

    def publish(self, status: Status) -> None:
        """Make ``status`` the current one, and call the listeners if it is another."""
        if status != self.current:
            self.current = status
            self._units = frozenset(unit.unit for unit in status.units)
            for listener in self._listeners:
                listener(status)

    def shows(self, unit: str) -> bool:
        """Return whether ``unit`` is in the current status."""
        return unit in self._units

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with every new status from now on. Return the function that ends this."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
