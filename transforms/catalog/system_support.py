"""The level of support of each known system: the table data/system-support.yaml, as a page and for `ordainctl help`.

`python3 -m ordain.transforms.catalog.system_support` prints the page; a test compares it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ordain.transforms.catalog.data_tables import read_table
from ordain.transforms.catalog.known_systems import known_systems

TABLE = Path(__file__).parents[1] / "data" / "system-support.yaml"
LEVELS = {
    "runs": "generator, agent and package are tested on booted machines of the system itself",
    "renders": "units are rendered for it; a package that the table names was installed, upgraded and removed in a root"
    " laid out like the system",
    "in part": "units are rendered for it, and something that the table names is missing for more",
}
MADE = "<!-- Made by `python3 -m ordain.transforms.catalog.system_support`: do not edit. -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """The level of a system, a key of `LEVELS`, and the reason: how this is known, or what is missing."""

    level: str
    known: str


def system_support() -> Mapping[str, Support]:
    """Return the support of each known system; a row without a version is for all versions of the system."""
    rows = {name: Support(**row) for name, row in read_table(TABLE).items()}
    return {name: rows[name] if name in rows else rows[name.rpartition("-")[0]] for name in known_systems()}


def page() -> str:
    """Return the page of the reference."""
    levels = "".join(f"* **{level}**: {meaning}.\n" for level, meaning in LEVELS.items())
    rows = "".join(f"| `{name}` | {row.level} | {row.known} |\n" for name, row in system_support().items())
    return f"""\
# Systems

{MADE}

`ordainctl render --os SYSTEM` renders units for another system, and `ordainctl help systems` prints this table.

{levels}
| system | | how this is known, or what is missing |
|---|---|---|
{rows}
`packaging/` has the recipes: `build-deb`, `build-rpm` for Fedora, EL and SUSE, and `arch/PKGBUILD`. One program,
`packaging/install`, lists their files. Tests compare them, and run the scripts of each package with rpm and pacman.
These tests cannot show the kernel, systemd and the libraries of those systems, and a policy of SELinux in force. The
client alone runs on every Linux with Python 3.11 ([Install](../howto/install.md)).
"""


if __name__ == "__main__":
    print(page(), end="")
