"""The changes of the source in force, which may become another meanwhile; effect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ordain.agent.delivery.protocol import Source


class Hearing:
    """Calls ``changed`` whenever the documents of the source may have changed."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._task: asyncio.Task[None] | None = None

    async def run(self, source: Callable[[], Source]) -> None:
        """Hear for ever of what ``source`` returns, asked again after `switch`."""
        while True:
            self._task = asyncio.create_task(self._hear(source()))
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                return self._task.result()

    def switch(self) -> None:
        """It is another source now."""
        if self._task:
            self._task.cancel()

    async def _hear(self, source: Source) -> None:
        async for _ in source.changes():
            self._changed()
