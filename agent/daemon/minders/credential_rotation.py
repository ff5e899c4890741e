"""Credentials that appear or change: items that wait for one are tried again, units with an old one are restarted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from ordain.agent.apply.apply_parts import ApplyParts
from ordain.agent.compile.credentials import (
    CREDENTIAL_MISSING,
    CredentialPaths,
    CredentialRecord,
    needed_credentials,
)
from ordain.agent.daemon.minders.minder import REAPPLY, Work
from ordain.agent.daemon.minders.outcome_log import OutcomeLog
from ordain.agent.model import Outcome
from ordain.agent.system import inotify
from ordain.transforms.machine import rootfs

LOOK_SEC = 5.0
"""The time between two looks for a missing credential: its folder may be missing as well, and not be watched."""
QUIET_SEC = 0.5
"""The wait for more changes: an administrator who changes several credentials at once wants one restart."""
CHANGES = inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE


class CredentialRotation:
    """A `Minder` that has nothing done while the documents are not followed. ``request`` is `Follower.request`."""

    def __init__(self, *, parts: ApplyParts, log: OutcomeLog, request: Callable[[Work], None]) -> None:
        self._systemd, self._root = parts.systemd, parts.root
        self._store, self._engine = parts.store, parts.engine
        self._decisions, self._trials = parts.decisions, parts.trials
        self._log = log
        self._request = request
        self._record = CredentialRecord(parts.root)
        self._folders: CredentialFolders | None = None
        self._hash = ""
        self._needs: CredentialPaths = {}

    async def watch(self) -> None:
        """Request a look when something happens in a folder with credentials, for ever."""
        self._folders = CredentialFolders(self._root)
        try:
            self._folders.watch(self._needs)
            while True:
                await self._folders.pending.wait()
                await asyncio.sleep(QUIET_SEC)
                self._folders.drain()
                self._request(Work.LOOK)
        finally:
            self._folders.close()

    async def tick(self, now: float) -> float | None:
        """Restart units, or have the documents applied again, see `Minder.tick`. Raises as `Engine.reconcile` too."""
        if self._decisions.paused or self._trials.pending():
            return None
        if outcome := await self._rotate():
            self._log.record(outcome)
        problems = self._log.last.plan.problems if self._log.last else ()
        missing = [p.subject for p in problems if p.code == CREDENTIAL_MISSING and p.subject]
        if any(rootfs.exists(self._root, path) for path in missing):
            self._request(REAPPLY)
        waits = bool(self._engine.secrets.unopened)
        if waits and self._engine.secrets.key_has_changed():
            self._request(REAPPLY)
        return now + LOOK_SEC if missing or waits else None

    async def _rotate(self) -> Outcome | None:
        """Restart the units whose processes have another credential than there is now."""
        generation = self._store.applied()
        if generation.hash != self._hash:
            self._hash, self._needs = generation.hash, needed_credentials(generation)
            if self._folders:
                self._folders.watch(self._needs)
        if not self._needs:
            return None
        states = await self._systemd.inspect(self._needs)
        changes = self._record.changed(self._needs, states)
        return await self._engine.reconcile(rotated=changes) if changes else None


class CredentialFolders:
    """The folders that hold credentials. ``pending`` is set when something happens in one."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._notify = inotify.Inotify()
        self.pending = self._notify.pending

    def watch(self, needs: CredentialPaths) -> None:
        """Watch the folders of these credentials as well."""
        for folder in sorted({str(Path(path).parent) for loads in needs.values() for path in loads.values()}):
            # A folder that is missing: its unit is blocked, and the credential is looked for every `LOOK_SEC`.
            with contextlib.suppress(OSError):
                self._notify.watch(str(self._root / folder.lstrip("/")), CHANGES)

    def drain(self) -> None:
        """Drop the events that have come."""
        for _ in self._notify.events():
            continue

    def close(self) -> None:
        """Stop watching."""
        self._notify.close()
