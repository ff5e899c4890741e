"""Runs the commands of a package manager, and keeps the list of installed packages until its database changes.

ManagerRuns ─┬─ ServiceRuns   on a machine that runs, as services of its PID 1
             └─ ImageRuns     in the root file system of an image, as processes of ordainctl
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path

from ordain.agent.packages.manager_commands import filled
from ordain.agent.packages.manager_output import InstalledPackages, complaint, is_busy, read_installed
from ordain.agent.system import atomic_files
from ordain.transforms.package_set import Commands, PackageManager

LIST, STAMP, PREVIEW = "installed", "installed.stamp", "preview"
CHANGE_SEC, PREVIEW_SEC, QUERY_SEC = 1800.0, 180.0, 60.0
"""The deadlines of a command that changes packages, of a preview, and of the list."""
RETRY_SEC = 2.0
"""The wait until a manager that another process has locked is tried again."""


class ManagerRuns(ABC):
    """Runs commands for the system below ``root``, and keeps their output below ``folder``.

    ``target`` is the root that the commands name, "" for the system that they run on.
    """

    def __init__(self, root: Path, folder: Path, target: str = "") -> None:
        self._root, self._folder, self._target = root, folder, target
        self._listing = asyncio.Lock()

    @abstractmethod
    async def run(self, name: str, commands: Commands, manager: PackageManager, seconds: float) -> str:
        """Run ``commands`` with the output ``name`` in `output_path`; return "", or why one failed."""

    @abstractmethod
    async def ended(self) -> None:
        """Return once no command of an earlier process changes packages any more."""

    async def installed(self, manager: PackageManager) -> InstalledPackages | None:
        """Return the installed packages, None if the manager cannot list them, or this user may not ask it.

        One caller at a time: an apply and an installation may both ask for them, and the list has one file.
        """
        async with self._listing:
            return await self._installed(manager)

    async def _installed(self, manager: PackageManager) -> InstalledPackages | None:
        stamp = await asyncio.to_thread(self._stamp, manager)
        with contextlib.suppress(OSError):
            if self._output(STAMP) != stamp:
                if await self.run(LIST, filled(manager.query, manager, root=self._target), manager, QUERY_SEC):
                    return None
                atomic_files.replace(self._folder / STAMP, stamp.encode(), atomic_files.PUBLIC)
            read = read_installed(manager, self._output(LIST))
            return read if read.versions or self._target else None  # only the root of an image has no package at all
        return None

    async def preview(self, commands: Commands, manager: PackageManager, packages: Collection[str]) -> str:
        """Return what ``commands`` for ``packages`` print, or why they cannot run."""
        words = filled(commands, manager, packages, root=self._target)
        wrong = await self.run(PREVIEW, words, manager, PREVIEW_SEC)
        return self._output(PREVIEW) or wrong

    async def change(
        self,
        what: str,
        commands: Commands,
        manager: PackageManager,
        packages: Collection[str] = (),
        *,
        safe: bool = True,
    ) -> str:
        """Run ``commands`` that change ``packages``; return "", or why they failed.

        A process that has locked the packages is waited for. ``safe``: no other package may be removed.
        """
        words = filled(commands, manager, packages, root=self._target, safe=safe)
        deadline = time.monotonic() + CHANGE_SEC
        while wrong := await self.run(what, words, manager, max(deadline - time.monotonic(), 1.0)):
            if time.monotonic() > deadline - RETRY_SEC:
                return f"not done after {CHANGE_SEC / 60:.0f} minutes: {complaint(self._output(what)) or wrong}"
            if not is_busy(manager, self._output(what)):
                return complaint(self._output(what)) or wrong
            await asyncio.sleep(RETRY_SEC)
        return ""

    def output_path(self, name: str) -> Path:
        """Return the file with the output of a command; it is made anew by each `run`."""
        return self._folder / name

    def _output(self, name: str) -> str:
        try:
            return atomic_files.read(self._folder / name).decode("utf-8", "replace")
        except OSError:
            return ""

    def _stamp(self, manager: PackageManager) -> str:
        """Return a text that is another one once the database of the manager has changed."""
        lines = [manager.name]
        for path in manager.database:
            with contextlib.suppress(OSError):
                status = (self._root / path.lstrip("/")).stat()
                lines.append(f"{path} {status.st_ino} {status.st_size} {status.st_mtime_ns}")
        return "\n".join(lines if len(lines) > 1 else [*lines, f"not known at {time.time_ns()}"])
