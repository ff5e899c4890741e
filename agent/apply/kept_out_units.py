"""What exclusive mode keeps out of the machine as it is now, beside what was known at the compile; effect.

Generation ─completed▶ the same with a member for each unit that generators make, or that packages brought since

A generation holds what lasts: unit files. What the generators of a distribution make (systemd-ssh-generator,
systemd-rc-local-generator, …) is there once they ran, so it is looked at when a plan is made and never stored. The
planner then treats all alike: a switch of the mode stops them or starts them, and what runs although the mode in force
keeps it out was started by somebody's hand, such as a package's script, and is left to run until the next boot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from ordain.agent.apply.observe import observe
from ordain.agent.model import Change, Generation, Observed
from ordain.agent.system.systemd1 import Systemd
from ordain.transforms.artifacts import PlacedFile
from ordain.transforms.graph.essential_units import ITEM
from ordain.transforms.graph.exclusive_boot import distribution, is_exclusive, keeps_out
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.installed_units import DEPENDENCIES, NOW, read_installed
from ordain.transforms.model import Installed, Member

Stamp = tuple[tuple[str, int], ...]


class KeptOut:
    """Of the machine below ``root``. What was found last is kept: a status is asked for at every change of a unit."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._last: tuple[str, Stamp, tuple[Member, ...]] | None = None

    def completed(self, generation: Generation) -> Generation:
        """``generation`` with what else it keeps out; itself, unless boot is exclusive."""
        if not is_exclusive(generation.artifacts):
            return generation
        stamp = tuple(self._stamp())
        if self._last is None or self._last[:2] != (generation.hash, stamp):
            self._last = generation.hash, stamp, self._more(generation)
        return replace(generation, members=(*generation.members, *self._last[2]))

    async def observe(
        self, systemd: Systemd, old: Generation, new: Generation, changes: Collection[Change]
    ) -> tuple[Generation, Observed]:
        """``new`` completed, and what a plan that leads there from ``old`` looks at (`observe.observe`)."""
        was, will = await asyncio.to_thread(lambda: (self.completed(old), self.completed(new)))
        observed = replace(
            await observe(systemd, was, will, changes),
            kept_out=was.members[len(old.members) :],
            keeps_out=will.members[len(new.members) :],
        )
        return will, observed

    def _more(self, generation: Generation) -> tuple[Member, ...]:
        begin = distribution(read_installed(self._root))
        now: Installed = read_installed(self._root, NOW)
        spoken_of = [member for member in generation.members if member.item != ITEM]
        known = {member.unit for member in generation.members}
        artifacts = (artifact for artifact in generation.artifacts if not isinstance(artifact, PlacedFile))
        return tuple(member for member in keeps_out(artifacts, spoken_of, now, begin) if member.unit not in known)

    def _stamp(self) -> Iterator[tuple[str, int]]:
        """When the directories of units, and of what targets want, were changed last."""
        for place in NOW:
            folders = [name for name in rootfs.names(self._root, place) if name.rpartition(".")[2] in DEPENDENCIES]
            for path in (place, *(f"{place}/{name}" for name in folders)):
                try:
                    yield path, (self._root / path).stat().st_mtime_ns
                except OSError:
                    continue
