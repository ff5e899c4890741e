"""Secrets that come and change: what waits for one is tried again, what has another is restarted; effect."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from ordain.agent.apply.engine import Engine
from ordain.agent.compile.credentials import (
    CREDENTIAL_MISSING,
    CredentialPaths,
    CredentialRecord,
    needed_credentials,
)
from ordain.agent.model import Outcome
from ordain.agent.state.store import Store
from ordain.agent.system import inotify
from ordain.agent.system.systemd1 import Systemd
from ordain.transforms.errors import Problem
from ordain.transforms.machine import rootfs

LOOK_SEC = 5.0
"""How often a credential is looked for that is not there; its folder may not be either."""
QUIET_SEC = 0.5
"""One who rotates several at once is to cause one restart."""
CHANGES = inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE


class Rotation:
    """Minds the credentials of one machine; `tick` whenever units may have been started, or ``wake`` was called."""

    def __init__(self, *, systemd: Systemd, root: Path, store: Store, engine: Engine, wake: Callable[[], None]) -> None:
        self._systemd = systemd
        self._root = root
        self._store = store
        self._engine = engine
        self._wake = wake
        self._timer: asyncio.TimerHandle | None = None
        self._watch = CredentialRecord(root)
        self._folders: Folders | None = None
        self._of = ""
        self._needs: CredentialPaths = {}

    async def run(self) -> None:
        """Wake when something happens where credentials lie, for ever."""
        self._folders = Folders(self._root)
        try:
            self._folders.watch(self._needs)
            while True:
                await self._folders.pending.wait()
                await asyncio.sleep(QUIET_SEC)
                self._folders.heard()
                self._wake()
        finally:
            self._folders.close()

    async def tick(self) -> Outcome | None:
        """Restart what runs with another credential than there is; None: nothing. Raises as `Engine.reconcile`."""
        now = self._store.applied()
        if now.hash != self._of:
            self._of, self._needs = now.hash, needed_credentials(now)
            if self._folders:
                self._folders.watch(self._needs)
        if not self._needs:
            return None
        states = await self._systemd.inspect(self._needs)
        changes = self._watch.changed(self._needs, states)
        return await self._engine.reconcile(rotated=changes) if changes else None

    def came(self, problems: Iterable[Problem]) -> bool:
        """Whether a credential that was missing is there; wakes in a while to be asked again where it is not."""
        if self._timer:
            self._timer.cancel()
        paths = [p.subject for p in problems if p.code == CREDENTIAL_MISSING and p.subject]
        self._timer = asyncio.get_running_loop().call_later(LOOK_SEC, self._wake) if paths else None
        return any(rootfs.exists(self._root, path) for path in paths)


class Folders:
    """Tells when something happens where credentials lie; ``pending`` is set then."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._notify = inotify.Inotify()
        self.pending = self._notify.pending

    def watch(self, needs: CredentialPaths) -> None:
        """Look at the folders of these credentials, too."""
        for folder in {str(Path(path).parent) for loads in needs.values() for path in loads.values()}:
            with contextlib.suppress(OSError):  # not there yet: its unit is blocked, and looked at with every change
                self._notify.watch(str(self._root / folder.lstrip("/")), CHANGES)

    def heard(self) -> None:
        """Take what there is."""
        for _ in self._notify.events():
            continue

    def close(self) -> None:
        """Stop watching."""
        self._notify.close()
