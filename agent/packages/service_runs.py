"""Runs the commands of a package manager as services of PID 1.

The agent may do nothing of the kind itself, and may be restarted meanwhile: its successor waits for the service.
"""

from __future__ import annotations

from pathlib import Path

from ordain.agent.packages.manager_runs import CHANGE_SEC, LIST, PREVIEW, ManagerRuns
from ordain.agent.system import atomic_files
from ordain.agent.system.dbus.bus import Variant
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.agent.system.systemd.transient_units import run
from ordain.transforms.package_set import Commands, PackageManager

FOLDER = "run/ordain/packages"
UNIT = "ordain-packages.service"
"""The service of every command that changes packages, so that only one runs at a time."""
_UNITS = {LIST: "ordain-packages-list.service", PREVIEW: "ordain-packages-preview.service"}
_HALF = 2**31
"""Half of the memory of the machine, in the units of MemoryMaxScale= (2^32 is all of it)."""
_WEIGHT = 20
"""The share of CPU and disks, where a service has 100: what runs must not suffer."""


class ServiceRuns(ManagerRuns):
    """Runs commands on the machine below ``root``, whose PID 1 is ``systemd``."""

    def __init__(self, systemd: Systemd, root: Path) -> None:
        super().__init__(root, root / FOLDER)
        self._systemd = systemd

    async def run(self, name: str, commands: Commands, manager: PackageManager, seconds: float) -> str:
        """Run ``commands`` in a service of their own, see `ManagerRuns.run`."""
        atomic_files.make_folder(self.output_path(name).parent, 0o700)  # an output may name a password of a repository
        unit = _UNITS.get(name, UNIT)
        await self._ended(unit)
        properties = {
            "Environment": Variant("as", [f"{name}={value}" for name, value in manager.environment.items()]),
            "MemoryMaxScale": Variant("u", _HALF),
            "CPUWeight": Variant("t", _WEIGHT),
            "IOWeight": Variant("t", _WEIGHT),
        }
        what = f"Packages of the Documents ({name})"
        output = self.output_path(name)
        return await run(self._systemd, unit, what, commands, output=output, seconds=seconds, more=properties)

    async def ended(self) -> None:
        """Return once no command of an earlier agent, or of ordainctl, changes packages any more."""
        await self._ended(UNIT)

    async def _ended(self, unit: str) -> None:
        if job := await self._systemd.adopt(unit):
            await self._systemd.wait(job, CHANGE_SEC)
        else:
            self._systemd.disown()
