"""Starts wanted units whose package was missing, once it is installed."""

from __future__ import annotations

import logging

from ordain.agent.apply.engine import Engine
from ordain.agent.daemon.status_publisher import StatusPublisher
from ordain.agent.state.decisions import Decisions
from ordain.transforms.model import Wanted

log = logging.getLogger(__name__)
SETTLE_SEC = 10.0
"""The installation of a package starts its units by itself on most systems, and gets this long for it."""


class LateInstallation:
    """A `Minder` that remembers which wanted units were not installed at the last look."""

    def __init__(self, *, engine: Engine, decisions: Decisions, status: StatusPublisher) -> None:
        self._engine = engine
        self._decisions = decisions
        self._status = status
        self._missing: frozenset[str] = frozenset()
        self._due: dict[str, float] = {}

    async def tick(self, now: float) -> float | None:
        """Start the units that were installed `SETTLE_SEC` ago and do not run, see `Minder.tick`."""
        units = self._status.current.units
        wanted = [unit for unit in units if unit.wanted == Wanted.RUNNING and not unit.ok]
        missing = frozenset(unit.unit for unit in wanted if unit.load_state == "not-found")
        down = {unit.unit for unit in wanted if unit.load_state == "loaded" and unit.active_state == "inactive"}
        self._due |= dict.fromkeys(self._missing & down - self._due.keys(), now + SETTLE_SEC)
        self._due = {unit: due for unit, due in self._due.items() if unit in down}
        self._missing = missing
        ready = frozenset(unit for unit, due in self._due.items() if due <= now)
        if ready and not self._decisions.paused:
            log.info("installed now, and started: %s", ", ".join(sorted(ready)))
            await self._engine.reconcile(released=ready)
            self._due = {unit: due for unit, due in self._due.items() if unit not in ready}
            await self._status.refresh()
        return min(self._due.values(), default=None)
