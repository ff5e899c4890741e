"""The list of installed packages is made once for all who ask at the same time."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ordain.agent.packages.manager_output import InstalledPackages
from ordain.agent.packages.manager_runs import ManagerRuns
from ordain.transforms.package_set import Commands, PackageManager

DPKG = PackageManager(name="apt", query=(("list",),), database=("/status",), versioned="{name}={version}")


class Runs(ManagerRuns):
    """Lists one package; a second list at the same time fails, as PID 1 refuses a second unit of one name."""

    lists = 0
    running = False

    async def run(self, name: str, commands: Commands, manager: PackageManager, seconds: float) -> str:
        if self.running:
            return "Unit ordain-packages-list.service was already loaded or has a fragment file."
        self.running, self.lists = True, self.lists + 1
        await asyncio.sleep(0.01)
        self.output_path(name).write_text("lamp\t1\tinstall ok installed\n")
        self.running = False
        return ""

    async def ended(self) -> None:
        pass


def test_two_who_ask_at_once_get_the_same_list(tmp_path: Path) -> None:
    async def ask() -> tuple[list[InstalledPackages | None], int]:
        (tmp_path / "status").write_text("x")
        runs = Runs(tmp_path, tmp_path, target="/")
        return list(await asyncio.gather(*(runs.installed(DPKG) for _ in range(3)))), runs.lists

    lists, count = asyncio.run(ask())

    assert count == 1
    assert None not in lists
    assert lists[0] == lists[1] == lists[2]
