"""Installs and removes packages as the generation in force wants, beside the applies: none waits for a repository."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.daemon.minders.minder import REAPPLY, Work
from ordain.agent.daemon.status.status_publisher import StatusPublisher
from ordain.agent.model import Generation

log = logging.getLogger(__name__)
BOOT_SEC = 5.0
"""The time between two looks if the boot is complete."""
FIRST_RETRY_SEC, LAST_RETRY_SEC = 60.0, 3600.0
"""The wait after a failed attempt, which doubles each time, and its limit."""


class PackageInstallation:
    """A `Minder` that has one task at work at a time; ``request`` asks for another pass of the agent's loop.

    An attempt is made for each new generation, and again later if something is left to do.
    """

    def __init__(self, *, parts: ApplyParts, status: StatusPublisher, request: Callable[[Work], None]) -> None:
        self._parts, self._packages = parts, parts.observer.packages
        self._status, self._request = status, request
        self._task: asyncio.Task[None] | None = None
        self._tried = ""
        self._retry_sec = FIRST_RETRY_SEC
        self._due = 0.0

    async def tick(self, now: float) -> float | None:
        """Begin what is to be done, see `Minder.tick`."""
        if self._task is not None and not self._task.done():
            return None
        generation = self._parts.store.applied()
        if self._must_wait() or not self._packages.concern(generation.packages):
            return None
        if generation.hash != self._tried:
            self._retry_sec, self._due = FIRST_RETRY_SEC, now
        if now < self._due:
            return self._due
        if not await self._parts.systemd.boot_complete():
            return now + BOOT_SEC
        if not await self._packages.needs_work(generation.packages):
            self._tried = generation.hash
            return None
        self._tried, self._due = generation.hash, now + self._retry_sec
        self._retry_sec = min(2 * self._retry_sec, LAST_RETRY_SEC)
        self._task = asyncio.create_task(self._settle(generation))
        return None

    def _must_wait(self) -> bool:
        """Return whether an administrator, or the end of a trial, decides first which documents apply."""
        decisions = self._parts.decisions
        return bool(decisions.paused or decisions.rejected or self._parts.trials.pending())

    async def _settle(self, generation: Generation) -> None:
        try:
            changed = await self._parts.engine.settle_packages(generation.packages, asked=False, removes=True)
        except Exception:
            log.exception("the packages of generation %d: internal error", generation.number)
            changed = ()
        await self._status.refresh()
        # Services that waited for a package are compiled again, and start.
        self._request(REAPPLY if changed else Work.LOOK)
