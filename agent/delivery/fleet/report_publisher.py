"""Reports go to the store: ``status/MACHINE-ID``, by the process that talks to the network; effect.

Nothing waits for them. What the store does not take is dropped and counted; the next report says how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.delivery.database.backoff import Backoff
from ordain.agent.delivery.database.database import ANY, Conflict, Database
from ordain.agent.delivery.fleet.report import PATH, MachineReport, decode_report
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.model import to_json
from ordain.agent.system import inotify

log = logging.getLogger(__name__)
STATUS = "status/"
PACE_SEC = 30.0
"""A machine writes no more often than that, whatever goes on there."""
BEAT_SEC = 600.0
"""A machine on which nothing changes says so often that it is there; 100,000 of them write 170 times a second."""
LOST_SEC = 2.5 * BEAT_SEC
"""A machine that was silent for so long is counted as lost."""


def status_key(machine: str) -> str:
    """Where the report of a machine lies."""
    return f"{STATUS}{machine}"


@dataclass(slots=True)
class ReportPublisher:
    """Publishes the report below ``root``; ``open`` connects to the store, anew for every report:
    they are rare, and a connection held in between costs the store more."""

    root: Path
    open: Callable[[], Database]
    beat_sec: float = BEAT_SEC
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    dropped: int = 0
    _version: str = ANY
    _written: float = float("-inf")

    async def run(self) -> None:
        """Publish for ever."""
        backoff = Backoff()
        async with aclosing(_ticks(self.root / PATH, self.beat_sec)) as ticks:
            async for _ in ticks:
                await self.sleep(self._written + PACE_SEC - time.monotonic())
                while (wait_sec := await self._attempt(backoff)) is not None:
                    await self.sleep(wait_sec)

    async def _attempt(self, backoff: Backoff) -> float | None:
        """Publish what there is; the seconds to wait before trying again, None if that is done."""
        found = self._read()
        if found is None:
            return None
        try:
            database = self.open()
            try:
                await self._put(database, found)
            finally:
                await database.close()
        except SourceError as error:
            self.dropped += 1
            if self.dropped == 1:
                log.warning("the status is not written back: %s [%s]", error, error.code)
            return backoff.failed(error.retry_after_sec)
        backoff.succeeded()
        if self.dropped:
            log.info("the status is written back again after %d failures", self.dropped)
        self.dropped = 0
        self._written = time.monotonic()
        return None

    def _read(self) -> MachineReport | None:
        with contextlib.suppress(OSError, ValueError):
            return decode_report((self.root / PATH).read_bytes())
        return None

    async def _put(self, database: Database, found: MachineReport) -> None:
        data = json.dumps(
            {**to_json(found), "dropped": self.dropped, "seen": int(time.time())}, sort_keys=True
        ).encode()
        try:
            self._version = await database.put(status_key(found.machine), data, expect=self._version)
        except Conflict:
            log.warning("another machine writes the status of %s: machine-ids are to be unique", found.machine)
            self._version = await database.put(status_key(found.machine), data, expect=ANY)


async def _ticks(path: Path, beat_sec: float) -> AsyncGenerator[None, None]:
    """Yields when the file at ``path`` was replaced, and about every ``beat_sec``, not with all others at once."""
    notify = inotify.Inotify()
    try:
        notify.watch(str(path.parent), inotify.MOVED_TO)
        while True:
            yield
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(beat_sec * random.uniform(0.8, 1.2)):
                    while path.name not in {event.name for event in notify.events()}:
                        await notify.pending.wait()
    finally:
        notify.close()
