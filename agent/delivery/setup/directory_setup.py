"""A directory as a store: it exists, and nobody but its owner writes to it."""

from __future__ import annotations

import stat
from pathlib import Path

from ordain.agent.delivery.setup.deviation import Deviation, Examination, Figure

MODE = 0o755


class DirectorySetup:
    """The setup of a directory; see `StoreSetup`."""

    def __init__(self, path: Path) -> None:
        self.location = str(path)
        self._path = path

    async def examine(self) -> Examination:
        """See `StoreSetup.examine`."""
        place = f"directory {self._path}"
        try:
            status = self._path.stat()
        except FileNotFoundError:
            missing = Deviation(place=place, what="does not exist", change="create it", repair=self._create)
            return Examination(deviations=(missing,))
        deviations = []
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX:
            what = f"can be written by others than its owner (mode {stat.S_IMODE(status.st_mode):04o})"
            deviations.append(
                Deviation(place=place, what=what, change=f"set its mode to {MODE:04o}", repair=self._close_to_others)
            )
        files = sum(1 for path in self._path.rglob("*") if path.is_file())
        return Examination(
            deviations=tuple(deviations), figures=(Figure(place=place, name="files", value=f"{files:,}"),)
        )

    async def close(self) -> None:
        """See `StoreSetup.close`."""

    async def _create(self) -> None:
        self._path.mkdir(mode=MODE, parents=True)

    async def _close_to_others(self) -> None:
        self._path.chmod(MODE)
