"""Takes up wanted units whose definition was missing or hidden, once PID 1 reads it.

A package is installed later; a transient unit of the same name ends; an administrator removes a unit file.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.apply.generator_repair import OVERRIDDEN
from ordain.agent.daemon.status.status_publisher import StatusPublisher
from ordain.agent.errors import Failure
from ordain.agent.model import Change, ChangesByUnit, Effect
from ordain.agent.plan.changes.diff import FRAGMENT
from ordain.agent.plan.unit_decision import TRANSIENT
from ordain.agent.status import Status, UnitStatus
from ordain.agent.system.systemd.transient_units import run
from ordain.transforms.model import Wanted

log = logging.getLogger(__name__)
REMOVAL, REMOVAL_OUTPUT = "ordain-forget-transient.service", "run/ordain/forget-transient"
REMOVAL_SEC = 10.0
SETTLE_SEC = 10.0
"""The installation of a package starts its units by itself on most systems, and gets this long for it."""


class LateInstallation:
    """A `Minder` that remembers which wanted units were not installed, or hidden by others, in any status so far.

    Units whose files are ours are left to `GeneratorRepair`, which knows which of them ran.
    """

    def __init__(self, *, parts: ApplyParts, status: StatusPublisher) -> None:
        self._systemd, self._root = parts.systemd, parts.root
        self._engine, self._decisions = parts.engine, parts.decisions
        self._status = status
        self._missing: set[str] = set()
        self._hidden: set[str] = set()
        self._due: dict[str, float] = {}
        status.listen(self._remember)  # a status that somebody asked for may have seen what no tick will see

    async def tick(self, now: float) -> float | None:
        """Start the units that were installed `SETTLE_SEC` ago and do not run, see `Minder.tick`."""
        if ended := self._ended_transient(self._status.current):
            await self._forget(ended)
        status = self._status.current
        self._remember(status)
        back = (self._missing - _missing(status)) | (self._hidden - _hidden(status))
        shown = {unit.unit: unit for unit in status.units if unit.unit in back}
        await self._replace({name for name in self._hidden & shown.keys() if shown[name].active_state == "active"})
        down = {u.unit for u in _wanted(status) if u.load_state == "loaded" and u.active_state == "inactive"}
        self._due |= dict.fromkeys(back & down - self._due.keys(), now + SETTLE_SEC)
        self._due = {unit: due for unit, due in self._due.items() if unit in down}
        self._missing, self._hidden = _missing(status), _hidden(status)
        ready = frozenset(unit for unit, due in self._due.items() if due <= now)
        if ready and not self._decisions.paused:
            log.info("there now, and started: %s", ", ".join(sorted(ready)))
            await self._engine.reconcile(released=ready)
            self._due = {unit: due for unit, due in self._due.items() if unit not in ready}
            await self._status.refresh()
        return min(self._due.values(), default=None)

    def _remember(self, status: Status) -> None:
        self._missing |= _missing(status)
        self._hidden |= _hidden(status)

    def _ended_transient(self, status: Status) -> list[Path]:
        """Return the files of transient units that have ended and still hide ours.

        PID 1 forgets a transient unit that has ended, but not if another unit wants it, as our target does.
        """
        if self._decisions.paused:
            return []
        ended = {u.unit for u in status.units if u.unit in _hidden(status) and u.active_state == "inactive"}
        paths = (self._root / TRANSIENT.lstrip("/") / unit for unit in sorted(ended))
        return [path for path in paths if path.exists()]

    async def _forget(self, ended: Sequence[Path]) -> None:
        """Have PID 1 read the units of the documents instead of transient ones that have ended."""
        log.info("ended, and no longer in the way: %s", ", ".join(path.name for path in ended))
        remove = ("/bin/rm", "--force", *(f"{TRANSIENT}{path.name}" for path in ended))
        what = "Remove the Files of Transient Units That Have Ended"
        output = self._root / REMOVAL_OUTPUT
        wrong = await run(self._systemd, REMOVAL, what, (remove,), output=output, seconds=REMOVAL_SEC)
        if wrong:
            raise Failure(f"{ended[0]}: cannot remove the file of a transient unit: {wrong}")
        await self._systemd.reload()
        await self._status.refresh()

    async def _replace(self, units: Collection[str]) -> None:
        """Have units that still run with the definition of somebody else restart with ours."""
        if units and not self._decisions.paused:
            change: ChangesByUnit = {unit: (Change(unit=unit, key=FRAGMENT, effect=Effect.RESTART),) for unit in units}
            log.info("no longer hidden, and restarted with their own definition: %s", ", ".join(sorted(units)))
            await self._engine.reconcile(rotated=change)
            await self._status.refresh()


def _wanted(status: Status) -> list[UnitStatus]:
    return [unit for unit in status.units if unit.wanted == Wanted.RUNNING and not unit.ok]


def _missing(status: Status) -> set[str]:
    return {unit.unit for unit in _wanted(status) if unit.load_state == "not-found" and not unit.ours}


def _hidden(status: Status) -> set[str]:
    return {condition.item for condition in status.conditions if condition.code == OVERRIDDEN}
