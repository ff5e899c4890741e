"""How a row of the database is known: found in the system's own package archive, or from documentation only.

Transforms ──names──▶ `claims` ◀── compared ──▶ data/verified.yaml ◀── `make audit` (tests/audit/)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from ordain.transforms.catalog.names import Names
from ordain.transforms.model import Branch, Leaf

TABLE = Path(__file__).parents[1] / "data" / "verified.yaml"
SECTIONS = ("services", "milestones", "paths")
"""What an archive can tell; it does not list users, which packages make as they are installed."""

Claims = Mapping[str, Mapping[str, str]]
"""``services/ssh`` → ``{unit: ssh.service, package: openssh-server, …}``: what the rows say on one system."""


def claims(names: Names) -> Claims:
    """What the rows say of files and packages; of a check, its program."""
    found: dict[str, dict[str, str]] = {}
    for section in SECTIONS:
        for name, row in sorted(names.tree.branch(section).children.items()):
            leaves = row.leaves() if isinstance(row, Branch) else iter([("path", row)])
            found[f"{section}/{name}"] = {key: _claim(leaf) for key, leaf in leaves}
    return found


def _claim(leaf: Leaf) -> str:
    value = leaf.value
    while isinstance(value, tuple):
        value = value[0]
    return str(value)


@cache
def verified() -> Mapping[str, Claims]:
    """By system, what of its rows was found in its archive; a package's ``version`` besides."""
    rows: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return rows


def evidence(system: str, row: str, key: str) -> str:
    """``archive`` if ``key`` of ``row`` (``services/ssh``) was seen in the archive of ``system``, else ``knowledge``.

    >>> evidence("debian-12", "services/ssh", "unit"), evidence("arch", "services/ssh", "unit")
    ('archive', 'knowledge')
    """
    return "archive" if key in verified().get(system, {}).get(row, {}) else "knowledge"


def stale(system: str, now: Claims) -> Iterator[str]:
    """``ROW/KEY`` of all that was seen in the archive of ``system`` and is not what the rows ``now`` say."""
    for row, seen in verified().get(system, {}).items():
        for key, value in seen.items():
            if key != "version" and now.get(row, {}).get(key) != value:
                yield f"{row}/{key}"
