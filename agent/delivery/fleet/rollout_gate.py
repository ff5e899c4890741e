"""The turn of one machine in a rollout: whether its source hands over the release that it has, or the head.

The agent does not know about rollouts: it applies the release that it is given. A machine waits with the release that
it has, or, if it never had one of this channel, with the generation that is in force. A machine that a relay boots from
the network waits with the release that the relay named in the arguments of the kernel (`boot_turns`). One that has
nothing to wait with, as in its first boot, takes the head at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.database.semaphore import LOCKS, FirstSeen, Semaphore
from ordain.agent.delivery.fleet.fleet_holds import NO_HOLDS, FleetHolds
from ordain.agent.delivery.fleet.report import PATH, MachineReport, decode_report
from ordain.agent.delivery.fleet.rollout_policy import RolloutState, Wait, stage_wait, window_wait
from ordain.agent.delivery.fleet.rollout_progress import AT_WORK
from ordain.agent.delivery.identity.machine_key import PrivateKey
from ordain.agent.delivery.identity.slot_guard import IdentityGuard
from ordain.agent.delivery.protocol import SourceError, StoreAway
from ordain.agent.delivery.release.manifest import Release, read_release
from ordain.agent.delivery.release.publish_lock import RELEASES
from ordain.agent.delivery.spread import position
from ordain.agent.local_time import to_local
from ordain.agent.model import RawDocuments
from ordain.agent.status import AgentState as Phase
from ordain.agent.system import atomic_files
from ordain.transforms.document.formats.maintenance_windows import Window
from ordain.transforms.errors import Refused
from ordain.transforms.machine.facts import kernel_command_line
from ordain.transforms.netboot.boot_image import RELEASE

log = logging.getLogger(__name__)
MAX_HOLD_SEC = 1800.0
"""A slot is given back after this time, whatever the state of the machine's apply is."""
CHECK_SEC = 1.0
REPORT_SEC = 1.0
"""The time after which a machine whose agent has not reported yet is looked at again."""
OF_THE_BOOT = ("baseline", "handed")
"""The origins of generations that every boot of a machine begins with; it keeps no other over a reboot."""
MAX_DIGITS = 12
NOTHING_NEW = 0
"""The number of no release: the machine keeps what is in force."""
RETRY_SEC = (5.0, 60.0)
"""The first and the longest mean time between two attempts to get a slot."""


def booted_release(root: Path, channel: str) -> int:
    """Return the number of the release of ``channel`` whose system a boot server gave this machine, 0 for none.

    A machine in RAM has nothing else to wait with. The server has decided by the same stages what it boots.
    """
    words = dict(word.partition("=")[::2] for word in kernel_command_line(root))
    named, _, number = words.get(RELEASE, "").rpartition(":")
    is_number = number.isascii() and number.isdigit() and len(number) < MAX_DIGITS
    return int(number) if named == channel and is_number else NOTHING_NEW


def _keeps_something(report: MachineReport) -> bool:
    """Return whether a machine has a generation that it can stay with, also over a reboot."""
    return bool(report.generation) and report.boot.generated_from not in OF_THE_BOOT


def _now() -> datetime:
    return to_local(datetime.now(UTC))


@dataclass(slots=True, kw_only=True)
class RolloutGate:
    """The turn of ``machine``, whose agent reports below ``root``; ``own`` are the windows in its agent.yaml.

    It signs its slot with ``key``, if it has one. ``handed_over`` returns the texts that the agent was given last:
    they name the release of the machine before its agent reports.

    The gate outlives connections to the store: ``database`` is the current one.
    """

    root: Path
    machine: str
    key: PrivateKey | None = None
    database: Database | None = None
    own: tuple[Window, ...] = ()
    handed_over: Callable[[], RawDocuments] = tuple
    now: Callable[[], datetime] = _now
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    waiting: Wait | None = None
    _eligible_since: tuple[str, datetime] | None = None
    _attempts: int = 0
    _resumed: bool = False
    _first_seen: FirstSeen = field(default_factory=dict)
    _holding: asyncio.Task[None] | None = field(default=None, repr=False)

    async def release_number(self, head: Release, state: RolloutState | None, holds: FleetHolds = NO_HOLDS) -> int:
        """Return the number of ``head`` when it is this machine's turn, else the number of the release that it has.

        ``holds`` are those of the fleet.
        ``waiting`` tells the reason for a wait; a machine without a release then gets `NOTHING_NEW`.
        Raises `SourceError` if the semaphore cannot be used.
        """
        report = self._report()
        current = self._current(report, head.channel)
        self.waiting = None
        with contextlib.suppress(StoreAway):  # it is asked again: without the store, no slot is taken
            await self._resume(head)
        is_known = report is not None and (report.generation > 0 or report.phase is not Phase.STARTING)
        if current >= head.number or (not current and report and is_known and not _keeps_something(report)):
            return head.number
        held = holds.of(report, self.now()) if report else None
        wait = held.wait() if held else await self._wait(head, state)
        if wait and not is_known:  # it may be a machine that does not wait
            soon = self.now() + timedelta(seconds=REPORT_SEC)
            wait = Wait(why=wait.why, until=min(wait.until or soon, soon))
        self.waiting = wait
        return current if wait else head.number

    def _current(self, report: MachineReport | None, channel: str) -> int:
        """Return the number of the release of ``channel`` that this machine has, `NOTHING_NEW` if it has none."""
        if report and report.release.number:
            return report.release.number if report.release.channel == channel else NOTHING_NEW
        numbers = [booted_release(self.root, channel)]
        for path, data in self.handed_over():
            if path.startswith(RELEASES):
                with contextlib.suppress(Refused):
                    release = read_release(path, data)
                    numbers += [release.number] if release.channel == channel else []
        return max(numbers)

    async def _wait(self, head: Release, state: RolloutState | None) -> Wait | None:
        now, place = self.now(), position(self.machine, head.title)
        if wait := stage_wait(head.rollout, head.number, state, place):
            return wait
        if self._eligible_since is None or self._eligible_since[0] != head.hash:
            self._eligible_since = head.hash, now
        wait = window_wait(head.rollout, self.own, place, now, self._eligible_since[1])
        if wait or not head.rollout.parallel or (self._holding and not self._holding.done()):
            return wait
        return await self._acquire(head, now)

    async def _acquire(self, head: Release, now: datetime) -> Wait | None:
        """Take a slot, and hold it in a task; return the wait until the next attempt if there is none."""
        semaphore = self._semaphore(head)
        why = ""
        try:
            if not await semaphore.acquire():
                why = f"{head.rollout.parallel} machines may apply the release at a time, and that many do now"
        except StoreAway as error:
            why = f"the release needs a slot, and {error}"
        if why:
            first_sec, longest_sec = RETRY_SEC
            pause_sec = random.uniform(0.5, 1.5) * min(longest_sec, first_sec * 1.5 ** min(self._attempts, 16))
            self._attempts += 1
            return Wait(why=why, until=now + timedelta(seconds=pause_sec))
        self._attempts = 0
        self._holding = asyncio.ensure_future(self._hold(semaphore, head))
        return None

    def _semaphore(self, head: Release) -> Semaphore:
        assert self.database is not None
        return Semaphore(
            database=self.database,
            prefix=f"{LOCKS}{head.channel}/",
            count=head.rollout.parallel,
            holder=self.machine,
            guard=IdentityGuard(database=self.database, key=self.key),
            may_be_own=True,
            first_seen=self._first_seen,
        )

    async def _resume(self, head: Release) -> None:
        """Hold the slot that an earlier process of this machine has left, and give it back in time."""
        if not self._resumed and head.rollout.parallel and await (semaphore := self._semaphore(head)).resume():
            self._holding = asyncio.ensure_future(self._hold(semaphore, head))
        self._resumed = True

    async def _hold(self, semaphore: Semaphore, head: Release) -> None:
        """Keep the slot until the agent has finished with the release. If this is interrupted, the slot expires."""
        loop = asyncio.get_running_loop()
        began = renewed = loop.time()
        try:
            while not self._is_finished(head):
                await self.sleep(CHECK_SEC)
                if loop.time() - began > MAX_HOLD_SEC:
                    log.warning("the agent has not finished release %s in time; other machines go on", head.title)
                    break
                if loop.time() - renewed > semaphore.ttl_sec / 3:
                    renewed = loop.time()
                    if not await semaphore.renew():
                        log.warning("the slot for release %s was lost; other machines may go on", head.title)
                        return
            await semaphore.release()
        except SourceError as error:
            log.warning("cannot renew the slot for release %s: %s", head.title, error)

    def _is_finished(self, head: Release) -> bool:
        report = self._report()
        if report is None or report.release.channel != head.channel:
            return False
        return report.release.number >= head.number and report.phase not in AT_WORK

    def _report(self) -> MachineReport | None:
        with contextlib.suppress(OSError, ValueError):
            return decode_report(atomic_files.read(self.root / PATH))
        return None

    async def close(self) -> None:
        """Stop using the store. A slot stays held, because the agent may still be at work."""
        if self._holding is not None:
            self._holding.cancel()
            await asyncio.wait([self._holding])
        self._holding = None
        self._resumed = False
