"""The packages that documents want on a machine, and the package manager of its system, as values.

    PackageSet ─┬─ manager: PackageManager   a row of the transformation database: commands, and what they print
                └─ wanted: WantedPackage, …  by the names of the system

A generation carries them, and never the packages that a machine has: these are read when they are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Commands = tuple[tuple[str, ...], ...]
"""Argument vectors whose words are patterns; one whose first word begins with ``-`` may fail."""
ANY_ENDING = "*"
"""The end of a version that stands for all versions that begin like it."""


class PackageState(StrEnum):
    """The desired state of a package."""

    PRESENT = "present"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageManager:
    """A row of ``package-managers`` (`document.keys.package_keys` says what each key means)."""

    name: str = ""
    database: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    in_root: Commands = ()
    query: Commands = ()
    installed: str = ""
    held: str = ""
    broken: str = ""
    repair: Commands = ()
    refresh: Commands = ()
    preview_install: Commands = ()
    preview_remove: Commands = ()
    changes: str = ""
    install: Commands = ()
    remove: Commands = ()
    hold: Commands = ()
    unhold: Commands = ()
    versioned: str = ""
    busy: str = ""

    def argument(self, package: WantedPackage) -> str:
        """Return the argument that names ``package`` in its wanted version."""
        if not package.version or not self.versioned:
            return package.name
        return self.versioned.replace("{name}", package.name).replace("{version}", package.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPackage:
    """A package by its ``name`` on the system; ``item`` is its entry in the documents (``packages/htop``).

    ``version`` is ``""`` for any, and may end in `ANY_ENDING`.
    """

    name: str
    item: str
    state: PackageState = PackageState.PRESENT
    version: str = ""
    hold: bool = False

    @property
    def wish(self) -> str:
        """Return what is wanted of the package, in a text that differs for each other wish."""
        return " ".join(filter(None, (self.state, self.version, "hold" if self.hold else "")))

    def is_version(self, version: str) -> bool:
        """Return whether an installed version is the wanted one."""
        if self.version.endswith(ANY_ENDING):
            return version.startswith(self.version.removesuffix(ANY_ENDING))
        return self.version in ("", version)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSet:
    """The packages that documents want, sorted by name, and the manager that installs them; false if there are none."""

    manager: PackageManager = field(default_factory=PackageManager)
    wanted: tuple[WantedPackage, ...] = ()

    def __bool__(self) -> bool:
        """Return whether the documents say anything about packages."""
        return bool(self.wanted)


NO_PACKAGES = PackageSet()
