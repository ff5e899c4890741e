"""Units that exclusive boot keeps out of the machine as it is now, beside those known when documents were compiled.

    Generation ──completed──▶ the same, with a member for each unit that generators made or packages installed since

A generation records only unit files that last. The units that generators of the distribution make
(systemd-ssh-generator, systemd-rc-local-generator, …) exist once these ran, so they are looked up whenever a plan is
made, and never stored. The planner then treats all units alike: a switch of the boot mode stops or starts them. A unit
that runs although the mode in force keeps it out was started by somebody else, for example by the script of a package;
it keeps running until the next boot.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ordain.agent.model import Generation
from ordain.transforms.artifacts import PlacedFile
from ordain.transforms.graph.kept_out_units import boot_targets, is_exclusive, members_kept_out
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.installed_units import DEPENDENCIES, DIRECTORIES_NOW, read_installed
from ordain.transforms.model import BOOT_ITEM, Installed, Member

Stamp = tuple[tuple[str, int], ...]


class KeptOutUnits:
    """Finds the units that are kept out of the machine below ``root``.

    It remembers its last result, since every change of a unit asks for a status.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._last: tuple[str, Stamp, tuple[Member, ...]] | None = None

    def completed(self, generation: Generation) -> Generation:
        """Return ``generation`` with the other units that it keeps out; unchanged unless its boot is exclusive."""
        if not is_exclusive(generation.artifacts):
            return generation
        stamp = tuple(self._stamp())
        if self._last is None or self._last[:2] != (generation.hash, stamp):
            self._last = generation.hash, stamp, self._more(generation)
        return replace(generation, members=(*generation.members, *self._last[2]))

    def _more(self, generation: Generation) -> tuple[Member, ...]:
        begin = boot_targets(read_installed(self._root))
        now: Installed = read_installed(self._root, DIRECTORIES_NOW)
        named_in_documents = [member for member in generation.members if member.item != BOOT_ITEM]
        known = {member.unit for member in generation.members}
        artifacts = (artifact for artifact in generation.artifacts if not isinstance(artifact, PlacedFile))
        kept_out = members_kept_out(artifacts, named_in_documents, now, begin)
        return tuple(member for member in kept_out if member.unit not in known)

    def _stamp(self) -> Iterator[tuple[str, int]]:
        """Yield the time of the last change of each directory of units and of each ``.wants`` directory in it."""
        for place in DIRECTORIES_NOW:
            folders = [name for name in rootfs.names(self._root, place) if name.rpartition(".")[2] in DEPENDENCIES]
            for path in (place, *(f"{place}/{name}" for name in folders)):
                try:
                    yield path, (self._root / path).stat().st_mtime_ns
                except OSError:
                    continue
