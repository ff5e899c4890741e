"""The values that `make audit` has seen in the package archive of a system, or in its packaging sources.

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
READ = "read"
"""The row of a system in the table that says what was read there."""
ABOUT = ("version", "source")
"""The keys of a row in the table that are not values of the row."""
SECTIONS = ("services", "milestones", "paths")
"""The sections that an archive can confirm. It does not list users, which packages create at their installation."""

_KEYS = frozenset(("unit", "start", "instance", "socket", "package", "config", "check", "path"))
"""The keys of a row with one value that an archive can confirm."""
_SETS = frozenset(("units", "packages"))
"""The keys with several names, of which an archive can confirm each."""

Claims = Mapping[str, Mapping[str, str]]
"""The values of rows on one system: ``services/ssh`` → ``{unit: ssh.service, package: openssh-server, …}``."""


def claims(names: Names) -> Claims:
    """Return the files and packages that the rows name; for a check, its program.

    The key of one of several names is ``units/NAME`` or ``packages/NAME``.
    """
    rows: dict[str, dict[str, str]] = {}
    for section in SECTIONS:
        for name, row in sorted(names.tree.branch(section).children.items()):
            leaves = row.leaves() if isinstance(row, Branch) else iter([("path", row)])
            values = {key: _claim(leaf) for key, leaf in leaves if key in _KEYS}
            sets = row.branches() if isinstance(row, Branch) else ()
            values |= {f"{key}/{member}": member for key, several in sets if key in _SETS for member in several}
            rows[f"{section}/{name}"] = values
    return rows


def _claim(leaf: Leaf) -> str:
    value = leaf.value
    while isinstance(value, tuple):
        value = value[0]
    return str(value)


@cache
def verified() -> Mapping[str, Claims]:
    """Return for each system the values that were seen, with the ``version`` of each package or the ``source`` file.

    The row `READ` says what was read (``of``), ``how``, and ``when``.
    """
    rows: dict[str, dict[str, dict[str, Any]]] = read_table(TABLE)
    return rows


def stale(system: str, now: Claims) -> Iterator[str]:
    """Yield ``ROW/KEY`` of the confirmed values of ``system`` that differ from the rows ``now``."""
    for row, seen in verified().get(system, {}).items():
        for key, value in seen.items():
            if row != READ and key not in ABOUT and now.get(row, {}).get(key) != value:
                yield f"{row}/{key}"
