"""The evidence for each value of the database, and its day: seen by an audit, documentation, or only memory.

data/verified.yaml ──if the value was seen there──▶ `Evidence`
data/known-by.yaml ──else, the first statement that fits──▶ `Evidence`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from ordain.transforms.catalog.audit_results import ABOUT, READ, verified
from ordain.transforms.catalog.data_tables import read_table
from ordain.transforms.catalog.known_systems import known_systems
from ordain.transforms.catalog.names import shared_versions
from ordain.transforms.catalog.shipped import shipped

TABLE = Path(__file__).parents[1] / "data" / "known-by.yaml"


ROWS = ("services", "milestones", "users", "paths", "network")
"""The sections whose values have evidence here. Writes of settings say it themselves (``known``)."""


class How(StrEnum):
    """The ways in which a value is known, best first."""

    ARCHIVE = "archive"
    PACKAGING = "packaging source"
    DOCUMENTATION = "documentation"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The evidence for a value: ``of`` is the name of the text, ``when`` the day or month of that text."""

    how: How
    of: str = ""
    when: str

    def __str__(self) -> str:
        return f"{self.how}, {self.when}" + (f": {self.of}" if self.of else "")


def evidence(system: str, row: str, key: str, value: str) -> Evidence:
    """Return how it is known that ``key`` of ``row`` (``services/ssh``) is ``value`` on ``system`` (``rocky-9``).

    >>> str(evidence("arch", "milestones/network", "unit", "network.target"))
    'documentation, 2026-11-29: systemd.special(7)'
    """
    value = key.partition("/")[2] or value  # one of several names is a key itself
    for name in _alike(system):
        rows = verified().get(name, {})
        seen = rows.get(row, {})
        if key not in ABOUT and seen.get(key) == value:
            read = rows[READ]
            about = f"{read['of']}, {seen['source']}" if "source" in seen else read["of"]
            return Evidence(how=How(read["how"]), of=about, when=str(read["when"]))
    pointer = f"{row}/{key}"
    return next(
        Evidence(how=How(statement["how"]), of=statement.get("of", ""), when=str(statement["when"]))
        for statement in _statements().values()
        if _fits(statement.get("systems"), system) and _fits(statement.get("rows"), pointer)
    )


def known_name(id: str, version: str) -> str:
    """Return the name in systems.yaml of the system with these values of os-release, "" for another system.

    >>> known_name("rocky", "9.6"), known_name("arch", ""), known_name("debian", ""), known_name("mint", "22")
    ('rocky-9', 'arch', 'debian-sid', '')
    """
    versions = {str(row.get("version", "")): name for name, row in known_systems().items() if row["id"] == id}
    majors = {known.split(".")[0]: name for known, name in versions.items() if id != "ubuntu"}
    # A rolling release has no row with a version.
    return versions.get(version) or majors.get(version.split(".")[0]) or versions.get("", "")


def _alike(system: str) -> tuple[str, ...]:
    """Return ``system``, and the system that it is a rebuild of: Rocky Linux 9 has the packages of RHEL 9."""
    row = known_systems().get(system, {})
    shared = shared_versions(shipped()).get(str(row.get("id", "")), "") if row.get("version") else ""
    return (system, f"{shared}-{system.rpartition('-')[2]}") if shared == "rhel" else (system,)


def _fits(patterns: list[str] | None, name: str) -> bool:
    return patterns is None or any(fnmatchcase(name, pattern) for pattern in patterns)


@cache
def _statements() -> Mapping[str, Mapping[str, Any]]:
    return read_table(TABLE)
