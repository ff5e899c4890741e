"""The facts of known operating systems by their names, for `ordainctl render --os`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ordain.transforms.catalog.data_tables import read_table
from ordain.transforms.errors import NOWHERE, Problem, Refused, did_you_mean
from ordain.transforms.model import Facts

TABLE = Path(__file__).parents[1] / "data" / "systems.yaml"


@cache
def known_systems() -> Mapping[str, Mapping[str, Any]]:
    """Return the values of `Facts` for each known system, by the name that `facts_for` takes."""
    rows: dict[str, dict[str, Any]] = read_table(TABLE)
    return {name: {**row, "like": tuple(row.get("like", ()))} for name, row in rows.items()}


def facts_for(
    os: str,
    *,
    systemd: int | None = None,
    arch: str = "x86-64",
    hostname: str = "localhost",
    labels: Mapping[str, tuple[str, ...]] | None = None,
) -> Facts:
    """Return the facts of a plain machine with the system ``os`` (``fedora-42``, ``rhel-9.4``, ``arch``).

    ``systemd`` replaces the version that the system comes with. Raises `Refused` for an unknown system.

    >>> facts = facts_for("rhel-9.6")
    >>> facts.version, facts.systemd
    ('9.6', 252)
    """
    row = _row(os)
    return Facts(
        id=row["id"],
        like=row["like"],
        version=row.get("version", ""),
        systemd=row["systemd"] if systemd is None else systemd,
        arch=arch,
        hostname=hostname,
        labels=labels or {},
    )


def _row(os: str) -> Mapping[str, Any]:
    known = known_systems()
    if os in known:
        return known[os]
    name, _, version = os.rpartition("-")
    major, dot, minor = version.partition(".")
    if f"{name}-{major}" in known and dot and minor.isascii() and minor.isdigit():
        return {**known[f"{name}-{major}"], "version": version}
    hint = did_you_mean(os, known) or f"known systems: {', '.join(known)}"
    raise Refused([Problem(where=NOWHERE, what=f'unknown system "{os}"', hint=hint, code="UnknownSystem")])
