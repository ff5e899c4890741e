"""Writes a generation that could not be written when it came into force, once the disk has room again."""

from __future__ import annotations

import asyncio
import logging

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.daemon.status.status_publisher import StatusPublisher
from ordain.agent.system.apply_lock import locked

log = logging.getLogger(__name__)
AGAIN_SEC = 30.0
"""The time between two attempts."""
PATIENCE_SEC = 1.0


class LateWrites:
    """A `Minder` of what `GenerationWriter` could not write."""

    def __init__(self, *, parts: ApplyParts, status: StatusPublisher) -> None:
        self._parts, self._status = parts, status
        self._due = 0.0

    async def tick(self, now: float) -> float | None:
        """Try again what could not be written, see `Minder.tick`."""
        writer = self._parts.writer
        if not writer.conditions:
            self._due = 0.0
            return None
        self._due = self._due or now + AGAIN_SEC
        if now >= self._due:
            self._due = now + AGAIN_SEC
            async with locked(self._parts.root, PATIENCE_SEC):
                await asyncio.to_thread(writer.retry)
            if not writer.conditions:
                log.info("wrote what could not be written before")
                await self._status.refresh()
        return self._due if writer.conditions else None
