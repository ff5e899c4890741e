"""Runs the commands of a package manager in the root file system of an image."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from ordain.agent.packages.manager_output import complaint
from ordain.agent.packages.manager_runs import ManagerRuns
from ordain.transforms.package_set import Commands, PackageManager

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ImageRuns(ManagerRuns):
    """Runs commands for the image below ``root``; ``folder`` is a temporary directory outside of it."""

    def __init__(self, root: Path, folder: Path) -> None:
        super().__init__(root, folder, str(root))

    async def run(self, name: str, commands: Commands, manager: PackageManager, seconds: float) -> str:
        """Run ``commands`` as processes, see `ManagerRuns.run`."""
        self.output_path(name).write_bytes(b"")
        for words in commands:
            wrong = await asyncio.to_thread(self._process, name, words, manager, seconds)
            if wrong and not words[0].startswith("-"):
                return wrong
        return ""

    async def ended(self) -> None:
        """Return at once: an image has no earlier agent."""

    def _process(self, name: str, words: tuple[str, ...], manager: PackageManager, seconds: float) -> str:
        program = words[0].removeprefix("-")
        with self.output_path(name).open("ab") as output:
            try:
                done = subprocess.run(
                    [program, *words[1:]],
                    env={"PATH": PATH, **manager.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=seconds,
                    check=False,
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"{program}: {error}"
        if done.returncode == 0:
            return ""
        return complaint(self.output_path(name).read_text(errors="replace")) or f"{program}: status {done.returncode}"
