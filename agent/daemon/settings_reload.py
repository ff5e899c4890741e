"""agent.yaml while the agent runs: a change takes effect immediately, or is refused and reported.

    the file changes, SIGHUP ─▶ read ─▶ valid ─▶ in force: the follower's settings and source, ordain-source.service
                                   └──▶ wrong ─▶ conditions; the previous text stays in force

The text in force is at `agent_yaml.IN_FORCE`, where all programs that ask about this machine find it. An agent that
crashed leaves it to the next one. An agent that is stopped removes it, so that the next start reads the file itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import grp
import logging
import stat
from pathlib import Path

from ordain.agent.daemon.follower import RETRY_SEC, Follower
from ordain.agent.daemon.source_unit import configure_source_unit
from ordain.agent.daemon.status.source_reader import open_configured_source
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.agent.errors import Unavailable
from ordain.agent.settings import parse_settings, refusal_problems, unreadable_problem
from ordain.agent.state.boot_trust import record_trust
from ordain.agent.system import atomic_files
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.transforms.machine.agent_yaml import IN_FORCE, PATH, read_in_force, read_written

log = logging.getLogger(__name__)
SOURCE_GROUP = "ordain-source"
"""The group of ordain-source.service, which reads the text in force itself."""


class SettingsReload:
    """Has ``follower`` use the settings in agent.yaml of the machine ``root``, also when the file changes.

    It runs beside the loop of the follower: a change must not wait until an apply has ended.
    """

    def __init__(self, follower: Follower, systemd: Systemd, root: Path) -> None:
        self._follower = follower
        self._systemd = systemd
        self._root = root
        self._configure_again = asyncio.Event()
        self._in_force: bytes | None = None
        with contextlib.suppress(OSError):
            self._in_force = read_in_force(root)
            self._publish()
            self._record_trust(read_written(root))

    def reload(self) -> None:
        """Read the file now, and configure ordain-source.service again: there may be a new credential."""
        self._read()
        self._configure_again.set()

    async def run(self) -> None:
        """Follow the file for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            while True:
                self._configure_again.clear()
                configuring = tasks.create_task(self._configure_source_unit())
                await self._configure_again.wait()
                configuring.cancel()

    def close(self) -> None:
        """Leave the file to other programs."""
        with contextlib.suppress(OSError):
            (self._root / IN_FORCE).unlink(missing_ok=True)

    async def _watch(self) -> None:
        async for _ in DirectorySource(Path("/", PATH).parent, self._root).changes():
            if self._read():
                self._configure_again.set()

    def _read(self) -> bool:
        """Read the file, and return whether other settings are in force now."""
        try:
            written = read_written(self._root)
            refused = refusal_problems(written, self._in_force, self._root)
        except OSError as error:
            refused = (unreadable_problem(error),)
        else:
            self._record_trust(written)
        if refused:
            for problem in refused:
                log.error("%s", problem)
            self._follower.show_settings_problems(refused)
            return False
        settings, problems = parse_settings(written, self._root)
        self._in_force = written
        changed = settings != self._follower.source.settings
        if changed:
            # The follower has to know first: see `SourceReader.check_removals`.
            self._follower.adopt(settings, open_configured_source(settings, self._root))
            log.info("/%s: other settings; the source is %s", PATH, settings.source.location or "none")
        self._publish()
        self._follower.show_settings_problems(problems)
        return changed

    def _publish(self) -> None:
        """Write the text in force to the place where other programs find it."""
        try:
            atomic_files.make_folder((self._root / IN_FORCE).parent)
            mode, group = self._readers()
            atomic_files.replace(self._root / IN_FORCE, self._in_force or b"", mode, group)
        except OSError as error:
            log.error("%s", atomic_files.describe_error(error, self._root / IN_FORCE))

    def _readers(self) -> tuple[int, int]:
        """Return the mode and the group of the text in force: only ordain-source reads more than the file allows.

        The group is -1 for that of this process.
        """
        try:
            if not self._in_force or (self._root / PATH).stat().st_mode & stat.S_IROTH:
                return atomic_files.PUBLIC, -1
            return 0o640, grp.getgrnam(SOURCE_GROUP).gr_gid
        except (OSError, KeyError):  # the file is missing, or the group, so that there is no ordain-source
            return atomic_files.PRIVATE, -1

    def _record_trust(self, written: bytes | None) -> None:
        """Tell the generator how the next boot will understand the file, which may not be the text in force now."""
        record_trust(self._root, parse_settings(written, self._root)[0].trust, written)

    async def _configure_source_unit(self) -> None:
        """Start, restart or stop ordain-source.service. From then on PID 1 keeps it running."""
        while True:
            try:
                return await configure_source_unit(self._systemd, self._root, self._follower.source.settings.source)
            except (Unavailable, OSError) as failure:
                log.warning("%s; trying again", failure)
                await asyncio.sleep(RETRY_SEC)
