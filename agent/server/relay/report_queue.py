"""The reports that a relay has accepted and the store does not have yet: one file for each machine, its newest report.

A report is on the disk before the machine is told that it was accepted. The bounds are a number, a size and an age: the
oldest reports are dropped first, and counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ordain.agent.delivery.fleet.report import decode_report
from ordain.agent.errors import Failure
from ordain.agent.system import atomic_files
from ordain.transforms.machine.facts import MACHINE_ID

log = logging.getLogger(__name__)
MOST = 20_000
MOST_BYTES = 256 << 20
MOST_SEC = 7 * 86_400.0
"""The age of a report after which nobody needs it: the machine counts as lost long before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedReport:
    """A report in the queue; ``received`` is the time of the relay's clock, in seconds since 1970."""

    sequence: int
    size: int
    received: float


@dataclass(slots=True, kw_only=True)
class ReportQueue:
    """The queue in ``folder``, by machine-id, the report that was received first in front."""

    folder: Path
    most: int = MOST
    most_bytes: int = MOST_BYTES
    most_sec: float = MOST_SEC
    clock: Callable[[], float] = time.time
    dropped: int = 0
    _reports: dict[str, QueuedReport] = field(default_factory=dict)
    _bytes: int = 0
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of reports."""
        return len(self._reports)

    def load(self) -> None:
        """Read the reports that an earlier relay has left. Raises `Failure`."""
        try:
            atomic_files.make_folder(self.folder, 0o700)
            paths = [path for path in self.folder.iterdir() if MACHINE_ID.fullmatch(path.name)]
            dated = sorted((path.stat().st_mtime, path) for path in paths)
        except OSError as error:
            raise Failure(atomic_files.describe_error(error, self.folder)) from None
        for received, path in dated:
            try:
                data = atomic_files.read(path)
                self._add(path.name, decode_report(data).sequence, len(data), min(received, self.clock()))
            except (OSError, ValueError) as error:
                log.error("%s: cannot read a report that was queued: %s; it is dropped", path, error)
                self.dropped += 1
                path.unlink(missing_ok=True)
        self._keep_bounds()

    async def put(self, machine: str, sequence: int, data: bytes) -> None:
        """Queue the newest report of a machine, in place of the earlier one. Raises `OSError`."""
        async with self._lock(machine):
            await asyncio.to_thread(atomic_files.replace, self.folder / machine, data)
            self._add(machine, sequence, len(data), self.clock())
        self._keep_bounds()

    async def get(self, machine: str) -> bytes | None:
        """Return the report of a machine that is in the queue. Raises `OSError`."""
        async with self._lock(machine):
            if machine not in self._reports:
                return None
            return await asyncio.to_thread(atomic_files.read, self.folder / machine)

    def sequence(self, machine: str) -> int:
        """Return the sequence of a machine's report in the queue, 0 if there is none."""
        queued = self._reports.get(machine)
        return queued.sequence if queued else 0

    def first(self, most: int) -> list[str]:
        """Return the machines in front."""
        self._keep_bounds()
        return [machine for machine, _ in zip(self._reports, range(most), strict=False)]

    async def remove(self, machine: str, sequence: int) -> None:
        """Remove the report of a machine, unless a newer one has taken its place meanwhile. Raises `OSError`."""
        async with self._lock(machine):
            if machine in self._reports and self.sequence(machine) == sequence:
                self._drop(machine)

    def oldest_sec(self) -> float:
        """Return the age of the oldest report in seconds, 0 if there is none."""
        received = min((report.received for report in self._reports.values()), default=self.clock())
        return max(0.0, self.clock() - received)

    def _add(self, machine: str, sequence: int, size: int, received: float) -> None:
        if earlier := self._reports.pop(machine, None):
            self._bytes -= earlier.size
        self._reports[machine] = QueuedReport(sequence=sequence, size=size, received=received)
        self._bytes += size

    def _keep_bounds(self) -> None:
        before = self.dropped
        for machine, report in [*self._reports.items()]:
            is_old = self.clock() - report.received > self.most_sec
            if not is_old and len(self) <= self.most and self._bytes <= self.most_bytes:
                break
            if not self._lock(machine).locked():
                self._drop(machine)
                self.dropped += 1
        if self.dropped > before:
            log.error("%d reports that the store has not taken were dropped; look at the store", self.dropped - before)

    def _drop(self, machine: str) -> None:
        (self.folder / machine).unlink(missing_ok=True)
        self._bytes -= self._reports.pop(machine).size

    def _lock(self, machine: str) -> asyncio.Lock:
        return self._locks.setdefault(machine, asyncio.Lock())
