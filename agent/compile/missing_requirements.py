"""Units that services require and that do not exist: a warning before the apply touches anything.

PID 1 would refuse to start the service (`NoSuchUnit`), and the apply would be rolled back. It is not more than a
warning, as for a missing program: a package that brings the unit may be installed before the service is started.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ordain.agent.model import Generation
from ordain.transforms.artifacts import UnitFile, UnitLink, placed_paths
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import rootfs
from ordain.transforms.machine.installed_units import DIRECTORIES, DIRECTORIES_NOW
from ordain.transforms.systemd.unit_name import is_valid, template_of

_NEEDS = (
    ("requires", "requires", lazy_pattern(r"^(?:Requires|Requisite|BindsTo)=(.*)$", re.MULTILINE)),
    ("on-failure", "names in OnFailure= or OnSuccess=", lazy_pattern(r"^(?:OnFailure|OnSuccess)=(.*)$", re.MULTILINE)),
)
"""The key of a service, its meaning, and the lines: without the first, a unit does not start (systemd.unit(5))."""
MISSING, MASKED = "does not exist on this machine", "is masked"
FROM_FILES = (".service", ".socket", ".timer", ".path", ".target")
"""The types of units that exist only if a file defines them. PID 1 makes the others of devices, mounts and names."""


def missing_requirements(new: Generation, last: Generation, root: Path) -> Iterator[tuple[str, str, str]]:
    """Yield item, key and fault of each unit of ``new`` that needs one that does not exist, or is masked.

    The units of ``last`` are in force on the machine below ``root``, but will not be there any more.
    """
    if not any(rootfs.exists(root, folder) for folder in DIRECTORIES[-2:]):  # its units are not known
        return
    units = _Units(new, last, root)
    for artifact in new.artifacts:
        if not isinstance(artifact, UnitFile):
            continue
        for key, verb, lines in _NEEDS:
            for unit in sorted({word for value in lines.findall(artifact.content) for word in value.split()}):
                if unit.endswith(FROM_FILES) and is_valid(unit) and (fault := units.fault(unit)):  # it has no specifier
                    yield artifact.item, key, f"{verb} {unit}, which {fault}"


class _Units:
    """The units of the machine below ``root`` once ``new`` is in force instead of ``last``."""

    def __init__(self, new: Generation, last: Generation, root: Path) -> None:
        self._root = root
        self._ours = set(_named(new))  # a service that requires one which they mask is blocked before
        self._gone = set(_named(last)) - self._ours
        self._placed = placed_paths(new.artifacts)
        self._faults: dict[str, str] = {}

    def fault(self, unit: str) -> str:
        """Return why a unit cannot be started, "" if there is no reason. Many services require the same units."""
        if unit not in self._faults:
            reason = self._fault(unit)
            of_template = self._fault(template) if reason == MISSING and (template := template_of(unit)) else reason
            self._faults[unit] = of_template
        return self._faults[unit]

    def _fault(self, unit: str) -> str:
        if unit in self._ours:
            return ""
        for folder in DIRECTORIES if unit in self._gone else DIRECTORIES_NOW:
            path = self._root / folder / unit
            if path.is_symlink() and path.readlink() == Path("/dev/null"):
                return MASKED
            if f"/{folder}/{unit}" in self._placed or rootfs.exists(self._root, f"{folder}/{unit}"):
                return ""
        return MISSING


def _named(generation: Generation) -> Iterator[str]:
    """Yield each unit that a file or link of ``generation`` defines."""
    for artifact in generation.artifacts:
        _, _, name = artifact.path.partition("/")
        if isinstance(artifact, UnitFile | UnitLink) and "/" not in name:
            yield name
