"""What this boot says of generations: one that never completes a boot is not tried again, one that did may be fallen
back to; effect.

Another generation would boot no better for documents that are refused or a service that fails; what counts against
one are boots that end before the agent has done what it can (units/ordain-boot-attempt.service).
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from ordain.agent.apply.trial import Trials
from ordain.agent.errors import DamagedGeneration, Failure
from ordain.agent.state.boot_record import read_boot_record
from ordain.agent.state.decisions import Decisions, RejectedGeneration
from ordain.agent.state.store import Store
from ordain.agent.system.systemd1 import Systemd
from ordain.generator.choose import MAX_ATTEMPTS

GOOD = "ordain-boot-good.service"
COMPLETE = "boot-complete.target"


class ThisBoot:
    """Until it has ``ended`` well, or for good otherwise."""

    def __init__(self, *, systemd: Systemd, root: Path, store: Store, decisions: Decisions, trials: Trials) -> None:
        self._systemd = systemd
        self._store = store
        self._decisions = decisions
        self._trials = trials
        record = read_boot_record(root)
        self._tried = frozenset(" ".join(record.get("tried", ())).split())
        self._booted = record.get("booted", ("",))[0]
        self._asked = False
        self.ended = False

    def learn(self) -> None:
        """What the generator passed over for this boot is not to be applied in it, nor in a later one, by itself.

        After a boot with nothing it took it again: then that is over.
        """
        rejected, applied = self._decisions.rejected, self._store.applied().hash
        if rejected and rejected.hash == self._booted == applied and not self._trials.pending():
            self._decisions.reject(None)
        with contextlib.suppress(DamagedGeneration):
            passed = self._store.proven()
            if passed and passed.hash in self._tried and passed.hash != applied:
                why = f"{MAX_ATTEMPTS} boots with it did not complete"
                self._decisions.reject(RejectedGeneration(number=passed.number, hash=passed.hash, why=why))

    async def end(self) -> bool:
        """Record that this boot is good; False as long as its checks go on. Raises `Failure` if one has failed.

        What it began with is the fallback from now on, and current where the generator passed that over.
        """
        systemd = self._systemd
        if not self._asked:
            await systemd.start(GOOD)
            self._asked = True
        if await systemd.has_job(GOOD):
            return False
        self.ended = True
        if (await systemd.list_units([COMPLETE]))[COMPLETE].active_state != "active":
            raise Failure(f"this boot is not recorded as good: {COMPLETE} was not reached (systemctl --failed)")
        if self._booted:
            rejected = self._decisions.rejected  # no more, once an admin has applied it again
            bad = {rejected.hash} & self._tried if rejected else ()
            with contextlib.suppress(KeyError):  # of the image, or came with the boot
                await asyncio.to_thread(self._store.mark_boot_good, self._booted, tried=bad)
        return True
