"""The evidence for each row of the database: the package archive of the system, or only documentation.

Transforms ──names──▶ `claims` ◀── compared ──▶ data/verified.yaml ◀── `make audit` (tests/audit/)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ordain.transforms.catalog.data_tables import read_table
from ordain.transforms.catalog.names import Names
from ordain.transforms.model import Branch, Leaf

TABLE = Path(__file__).parents[1] / "data" / "verified.yaml"
SECTIONS = ("services", "milestones", "paths")
"""The sections that an archive can confirm. It does not list users, which packages create at their installation."""

Claims = Mapping[str, Mapping[str, str]]
"""The values of rows on one system: ``services/ssh`` → ``{unit: ssh.service, package: openssh-server, …}``."""


def claims(names: Names) -> Claims:
    """Return the files and packages that the rows name; for a check, its program."""
    rows: dict[str, dict[str, str]] = {}
    for section in SECTIONS:
        for name, row in sorted(names.tree.branch(section).children.items()):
            leaves = row.leaves() if isinstance(row, Branch) else iter([("path", row)])
            rows[f"{section}/{name}"] = {key: _claim(leaf) for key, leaf in leaves}
    return rows


def _claim(leaf: Leaf) -> str:
    value = leaf.value
    while isinstance(value, tuple):
        value = value[0]
    return str(value)


@cache
def verified() -> Mapping[str, Claims]:
    """Return for each system the values that its archive confirms, with the ``version`` of each package."""
    rows: dict[str, dict[str, dict[str, Any]]] = read_table(TABLE)
    return rows


def evidence(system: str, row: str, key: str) -> str:
    """Return ``archive`` if the archive of ``system`` confirms ``key`` of ``row``, else ``knowledge``.

    >>> evidence("debian-12", "services/ssh", "unit"), evidence("arch", "services/ssh", "unit")
    ('archive', 'knowledge')
    """
    return "archive" if key in verified().get(system, {}).get(row, {}) else "knowledge"


def stale(system: str, now: Claims) -> Iterator[str]:
    """Yield ``ROW/KEY`` of the confirmed values of ``system`` that differ from the rows ``now``."""
    for row, seen in verified().get(system, {}).items():
        for key, value in seen.items():
            if key != "version" and now.get(row, {}).get(key) != value:
                yield f"{row}/{key}"
