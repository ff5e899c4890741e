"""`on-source-loss`: stops units that may run without the source only for some time, and starts them again after it.

    lost since ─due▶ units ─▶ record, stop ─source is back▶ start the stopped units

Only a source that cannot be reached is lost. A source that is empty, denies access or sends nonsense does answer, and
an ordain-source.service that does not run reports nothing. The time counts from the moment when the agent first saw the
loss in this boot, by a clock that cannot be set, and goes on when the agent is restarted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.daemon.status.source_reader import SourceReader
from ordain.agent.delivery.protocol import SourceFault, SourceHealth
from ordain.agent.delivery.source.handover_source import UNIT
from ordain.agent.model import to_json
from ordain.agent.state.source_loss_record import PATH, SourceLossRecord, read_source_loss
from ordain.agent.system import atomic_files
from ordain.transforms.model import Member


class SourceLoss:
    """A `Minder` of the health of one machine's ``source``."""

    def __init__(self, *, parts: ApplyParts, source: SourceReader) -> None:
        self._systemd, self._root = parts.systemd, parts.root
        self._store, self._engine = parts.store, parts.engine
        self._source = source
        self._fresh = True

    async def tick(self, now: float) -> float | None:
        """Stop units whose time is over, or start them again, see `Minder.tick`."""
        left_sec = await self._mind(self._source.health)
        return None if left_sec is None else now + left_sec

    async def _mind(self, health: SourceHealth | None) -> float | None:
        """Do what is due, and return the seconds until more will be; None: never."""
        loss = read_source_loss(self._root)
        timed = [member for member in self._store.applied().members if member.stop_after_usec]
        if (not timed and not loss.stopped) or health is None:
            return None
        if health.connected:
            if loss != SourceLossRecord():
                if loss.stopped:
                    await self._engine.reconcile(released=frozenset(loss.stopped))
                _write(self._root, SourceLossRecord())
            return None
        states = await self._systemd.list_units([UNIT, *(member.unit for member in self._store.applied().members)])
        if health.code != SourceFault.UNREACHABLE or states[UNIT].active_state != "active":
            return None
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        # The later of the two: the process that talks to the network cannot claim an earlier loss than we saw.
        since = max(loss.since or now, health.since if health.since <= now else 0.0)
        units, left_sec = due_units(timed, now - since)
        running = {unit for unit, state in states.items() if state.running}
        # An agent that was killed may have recorded units that it had not stopped yet.
        overdue = (units if self._fresh else units - set(loss.stopped)) & running
        self._fresh = False
        loss = SourceLossRecord(since=since, stopped=tuple(sorted({*loss.stopped, *overdue})))
        _write(self._root, loss)
        if overdue:
            await self._engine.reconcile(overdue=frozenset(overdue))
            after = await self._systemd.list_units(running)
            ended = {unit for unit, state in after.items() if not state.running} - {UNIT}
            _write(self._root, SourceLossRecord(since=since, stopped=tuple(sorted({*loss.stopped, *ended}))))
        return left_sec


def due_units(members: Iterable[Member], lost_sec: float) -> tuple[set[str], float | None]:
    """Return the units whose time is over after ``lost_sec``, and the seconds until the next one's is."""
    ends = {member.unit: member.stop_after_usec / 1_000_000 for member in members}
    later = [end - lost_sec for end in ends.values() if end > lost_sec]
    return {unit for unit, end in ends.items() if end <= lost_sec}, min(later, default=None)


def _write(root: Path, loss: SourceLossRecord) -> None:
    if loss == read_source_loss(root):
        return
    atomic_files.make_folder((root / PATH).parent)
    atomic_files.replace(root / PATH, json.dumps(to_json(loss)).encode())
