"""drift: enforce: what others did to such units is undone; effect."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from ordain.agent.apply.engine import Engine
from ordain.agent.status import UnitStatus
from ordain.agent.system.systemd1 import Systemd

log = logging.getLogger(__name__)
ENFORCE_SEC = 10.0
"""Two that enforce their ways against each other do so at this pace."""


class Enforcement:
    """Enforces on one machine; ``wake`` is called when the time for more has come."""

    def __init__(self, *, systemd: Systemd, engine: Engine, wake: Callable[[], None]) -> None:
        self._systemd = systemd
        self._engine = engine
        self._wake = wake
        self._last = -ENFORCE_SEC

    async def tick(self, units: Iterable[UnitStatus]) -> bool:
        """Bring those of ``units`` back that are to be; whether any was. Raises `Busy`, `Unavailable`, OSError."""
        if not any(unit.enforced and not unit.ok for unit in units) or await self._systemd.stopping():
            return False
        loop = asyncio.get_running_loop()
        if (left := self._last + ENFORCE_SEC - loop.time()) > 0:
            loop.call_later(left, self._wake)
            return False
        self._last = loop.time()
        outcome = await self._engine.reconcile()
        for verdict in outcome.verdicts if outcome else ():
            log.warning("%s was not as enforced: %s", verdict.unit, verdict.what)
        return True
