"""Installs the packages of documents in the root file system of an image, for `ordainctl image --install`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ordain.agent.condition import StatusCondition
from ordain.agent.model import Generation, PackageChange
from ordain.agent.packages.image_runs import ImageRuns
from ordain.agent.packages.machine_packages import MachinePackages


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInstallation:
    """The ``changes`` of packages in an image, and a condition for each package that is not as wanted."""

    changes: tuple[PackageChange, ...]
    conditions: tuple[StatusCondition, ...]


def install_in_image(root: Path, generation: Generation) -> ImageInstallation:
    """Install the packages that ``generation`` wants below ``root``. Raises `OSError`."""

    async def install(packages: MachinePackages) -> ImageInstallation:
        changes = await packages.settle(generation.packages, asked=True, removes=False)
        return ImageInstallation(changes=changes, conditions=await packages.conditions(generation))

    with TemporaryDirectory(prefix="ordain-packages-") as folder:
        return asyncio.run(install(MachinePackages(ImageRuns(root, Path(folder)), root)))
