"""Sending the report of a machine to the store, under ``status/MACHINE-ID``; a task of ordain-source.

Nothing waits for reports. A report that the store does not accept is dropped, and the next one tells how many were.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from ordain.agent.delivery.backoff import Backoff
from ordain.agent.delivery.database.database import ANY, Conflict, Database, StoredEntry
from ordain.agent.delivery.fleet.report import MAX_TEXT, PATH, MachineReport, decode_report, shortened_report
from ordain.agent.delivery.identity.machine_key import PrivateKey
from ordain.agent.delivery.identity.statement import Place, encode_statement, parse_statement, signers_of
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.release import signing
from ordain.agent.model import to_json
from ordain.agent.system import atomic_files, inotify

log = logging.getLogger(__name__)
STATUS = "status/"
PACE_SEC = 30.0
"""The shortest time between two reports of a machine, whatever happens there."""
BEAT_SEC = 600.0
"""The time after which a machine reports although nothing has changed; 100,000 machines write 170 times a second."""
RELAYS = 3
"""The times that a report is written because another relay has taken it than the one that it names."""
LOST_SEC = 2.5 * BEAT_SEC
"""A machine that was silent for longer counts as lost."""


def status_key(machine: str) -> str:
    """Return the key of a machine's report."""
    return f"{STATUS}{machine}"


@dataclass(slots=True)
class ReportPublisher:
    """The publisher of the report below ``root``.

    ``open`` connects to the store, anew for every report: reports are rare, and an idle connection costs the store
    more than a new one. With a ``key``, every report is signed. Its sequence is the time of the machine's clock, and
    always higher than that of the report before, which an earlier process may have written.
    """

    root: Path
    open: Callable[[], Database]
    key: PrivateKey | None = None
    beat_sec: float = BEAT_SEC
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    dropped: int = 0
    is_shortened: bool = False
    _version: str = ANY
    _sequence: int = -1
    _written: float = float("-inf")

    async def run(self) -> None:
        """Publish reports without end."""
        backoff = Backoff()
        async with aclosing(_ticks(self.root / PATH, self.beat_sec)) as ticks:
            async for _ in ticks:
                await self.sleep(self._written + PACE_SEC - time.monotonic())
                while (wait_sec := await self._attempt(backoff)) is not None:
                    await self.sleep(wait_sec)

    async def _attempt(self, backoff: Backoff) -> float | None:
        """Publish the current report; return the seconds until the next attempt, or None after a success."""
        report = self._read()
        if report is None:
            return None
        try:
            database = self.open()
            try:
                await self._put(database, report)
            finally:
                await database.close()
        except SourceError as error:
            return self._failed(error, backoff)
        except Exception as error:  # an answer of a server must not be able to end the reports
            if not self.dropped:
                log.exception("internal error")
            return self._failed(SourceError(f"internal error: {error!r}"[:300], code=SourceFault.INTERNAL), backoff)
        backoff.succeeded()
        if self.dropped:
            log.info("the status is reported to the store again after %d failures", self.dropped)
        self.dropped = 0
        self._written = time.monotonic()
        return None

    def _failed(self, error: SourceError, backoff: Backoff) -> float:
        self.dropped += 1
        if self.dropped == 1:
            log.warning("cannot report the status to the store: %s [%s]", error, error.code)
        return backoff.failed(error.retry_after_sec)

    def _read(self) -> MachineReport | None:
        with contextlib.suppress(OSError, ValueError):
            return decode_report(atomic_files.read(self.root / PATH))
        return None

    async def _put(self, database: Database, report: MachineReport) -> None:
        """Write the report, with the name of the relay that takes it, if the store is behind relays."""
        for _ in range(RELAYS):
            behind = await _relay_of(database, status_key(report.machine))
            await self._put_fitting(database, replace(report, behind=behind[:MAX_TEXT]))
            if getattr(database, "relay", "") == behind:
                break

    async def _put_fitting(self, database: Database, report: MachineReport) -> None:
        """Write the report, or a shortened one if the whole one is too large for the store."""
        try:
            await self._put_whole(database, report)
        except SourceError as error:
            if error.code is not SourceFault.TOO_LARGE:
                raise
            if not self.is_shortened:
                log.warning(
                    "the report of this machine is shortened: %s%s", error, f" ({error.hint})" * bool(error.hint)
                )
            self.is_shortened = True
            await self._put_whole(database, shortened_report(report))
        else:
            self.is_shortened = False

    async def _put_whole(self, database: Database, report: MachineReport) -> None:
        key = status_key(report.machine)
        if self.key and self._sequence < 0:
            self._sequence = self._own_sequence(await database.get(key))
        try:
            self._version = await database.put(key, self._encode(report), expect=self._version)
        except Conflict:
            entry = await database.get(key)
            if self.key is None and entry is None:
                log.info("the report of this machine is not in the store any more; it is written again")
            elif self.key is None or (sequence := self._own_sequence(entry)) > 0:
                message = "another machine with the machine-id %s reports its status; give every machine its own"
                log.warning(f"{message} machine-id", report.machine)
                self._sequence = max(self._sequence, sequence if self.key else 0)
            else:
                message = "somebody else wrote %s in the name of this machine, or deleted it; look who may write there"
                log.warning(message, key)
            self._version = await database.put(key, self._encode(report), expect=ANY)

    def _encode(self, report: MachineReport) -> bytes:
        now = int(time.time())
        stamped = {**to_json(report), "dropped": self.dropped, "seen": now}
        if self.key:
            self._sequence = max(self._sequence + 1, now)
            stamped = self.key.sign(status_key(report.machine), {**stamped, "sequence": self._sequence})
        return encode_statement(stamped)

    def _own_sequence(self, entry: StoredEntry | None) -> int:
        """Return the sequence of a report that our key has signed, 0 for any other text."""
        if entry is None or self.key is None:
            return 0
        with contextlib.suppress(ValueError):
            place = Place(fleet=self.key.fleet, key=entry.key)
            if signers_of(place, parse_statement(entry.data), [self.key.public], signing.valid_signers):
                return decode_report(entry.data).sequence
        return 0


async def _relay_of(database: Database, key: str) -> str:
    """Return the name of the relay that answers now, "" for a store itself."""
    if getattr(database, "relay", None) == "":
        await database.get(key)
    return str(getattr(database, "relay", ""))


async def _ticks(path: Path, beat_sec: float) -> AsyncGenerator[None, None]:
    """Yield when the file at ``path`` is replaced, and about every ``beat_sec``, at other times on each machine."""
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
