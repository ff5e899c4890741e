"""Watches the source that is in force, which may be replaced by another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ordain.agent.delivery.protocol import Source, ignore


class SourceWatch:
    """Calls ``changed`` whenever the documents of the source may have changed, and ``begun`` as `Source.changes`."""

    def __init__(self, changed: Callable[[], None], begun: Callable[[], None] = ignore) -> None:
        self._changed, self._begun = changed, begun
        self._task: asyncio.Task[None] | None = None

    async def run(self, source: Callable[[], Source]) -> None:
        """Watch what ``source`` returns, for ever; it is called again after `switch`."""
        while True:
            self._task = asyncio.create_task(self._watch(source()))
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                return self._task.result()

    def switch(self) -> None:
        """Watch another source from now on."""
        if self._task:
            self._task.cancel()

    async def _watch(self, source: Source) -> None:
        async for _ in source.changes(self._begun):
            self._changed()
