"""Undoes what others did to units and files with `drift: enforce`."""

from __future__ import annotations

import logging

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.daemon.status.status_publisher import StatusPublisher

log = logging.getLogger(__name__)
ENFORCE_SEC = 10.0
"""The pace at which two programs undo each other's changes if both enforce their own."""


class DriftEnforcement:
    """A `Minder` that compares the current ``status`` with the documents."""

    def __init__(self, *, parts: ApplyParts, status: StatusPublisher) -> None:
        self._systemd, self._engine, self._decisions = parts.systemd, parts.engine, parts.decisions
        self._status = status
        self._next = 0.0

    async def tick(self, now: float) -> float | None:
        """Bring enforced units back, see `Minder.tick`."""
        status = self._status.current
        drifted = any(unit.enforced and not unit.ok for unit in status.units)
        drifted |= any(condition.enforced and condition.fault for condition in status.conditions)
        if self._decisions.paused or not drifted or await self._systemd.stopping():
            return None
        if now < self._next:
            return self._next
        self._next = now + ENFORCE_SEC
        outcome = await self._engine.reconcile()
        for verdict in outcome.verdicts if outcome else ():
            log.warning("%s was not as enforced: %s", verdict.unit, verdict.what)
        for file in outcome.plan.files if outcome else ():
            log.warning("%s was not as enforced, and was placed again", file.path)
        await self._status.refresh()
        return None
