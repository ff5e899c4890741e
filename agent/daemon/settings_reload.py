"""agent.yaml while the agent runs: a change of it is gone by, or refused and told of; effect.

    the file changes, SIGHUP ─▶ read ─▶ right ─▶ in force: the follower's settings and source, and what fetches
                                   └──▶ wrong ─▶ conditions; what was in force stays

The text in force lies at `agent_yaml.IN_FORCE`, where all that ask what this machine is find it. An agent that crashed
leaves it to the next; one that is stopped takes it along, so that what is started by hand reads the file itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

from ordain.agent.daemon.follower import RETRY_SEC, Follower
from ordain.agent.daemon.source_unit import see_to
from ordain.agent.delivery.protocol import Source
from ordain.agent.delivery.source.boot_documents import with_boot_documents
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.agent.delivery.source.source_factory import open_source
from ordain.agent.errors import Unavailable
from ordain.agent.settings import Settings, settings_of, unreadable, why_not
from ordain.agent.state.boot_trust import record_trust
from ordain.agent.system import atomic_files
from ordain.agent.system.systemd1 import Systemd
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.agent_yaml import IN_FORCE, PATH, in_force

log = logging.getLogger(__name__)


def source_of(settings: Settings, root: Path) -> Source:
    """The source that ``settings`` name, and what came with the boot."""
    return with_boot_documents(open_source(settings.source, root), root, settings.trust)


class Reconfigure:
    """Has ``follower`` go by what agent.yaml of the machine ``root`` says, also when that changes."""

    def __init__(self, follower: Follower, systemd: Systemd, root: Path) -> None:
        self._follower = follower
        self._systemd = systemd
        self._root = root
        self._asked = asyncio.Event()
        self._now: bytes | None = None
        with contextlib.suppress(OSError):
            self._now = in_force(root)
            self._keep()
            self._record_trust(rootfs.read(root, PATH))

    def reload(self) -> None:
        """Read the file now, and see to what fetches: a credential may have come."""
        self._read()
        self._asked.set()

    async def run(self) -> None:
        """Go by the file for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            while True:
                self._asked.clear()
                fetching = tasks.create_task(self._fetch())
                await self._asked.wait()
                fetching.cancel()

    def close(self) -> None:
        """Leave the file to others."""
        with contextlib.suppress(OSError):
            (self._root / IN_FORCE).unlink(missing_ok=True)

    async def _watch(self) -> None:
        async for _ in DirectorySource(Path("/", PATH).parent, self._root).changes():
            if self._read():
                self._asked.set()

    def _read(self) -> bool:
        """Read the file; whether something else is in force now."""
        try:
            written = rootfs.read(self._root, PATH)
            refused = why_not(written, self._now, self._root)
        except OSError as error:
            refused = (unreadable(error),)
        else:
            self._record_trust(written)
        if refused:
            for problem in refused:
                log.error("%s", problem)
            self._follower.tell(refused)
            return False
        settings, problems = settings_of(written, self._root)
        self._now = written
        changed = settings != self._follower.settings
        if changed:
            # Before it is in force for others: see `Local.believe`.
            self._follower.adopt(settings, source_of(settings, self._root))
            log.info("/%s: other settings; the source is %s", PATH, settings.source.location or "none")
        self._keep()
        self._follower.tell(problems)
        return changed

    def _keep(self) -> None:
        """Have all that ask find the text in force."""
        try:
            atomic_files.make_folder((self._root / IN_FORCE).parent)
            atomic_files.replace(self._root / IN_FORCE, self._now or b"")
        except OSError as error:
            log.error("%s", atomic_files.describe_error(error, self._root / IN_FORCE))

    def _record_trust(self, written: bytes | None) -> None:
        """Tell the generator how the next boot will understand the file, which may not be the text in force now."""
        record_trust(self._root, settings_of(written, self._root)[0].trust, written)

    async def _fetch(self) -> None:
        """See that the documents are fetched; that the fetching goes on is PID 1's to see."""
        while True:
            try:
                return await see_to(self._systemd, self._root, self._follower.settings.source)
            except (Unavailable, OSError) as failure:
                log.warning("%s; trying again", failure)
                await asyncio.sleep(RETRY_SEC)
