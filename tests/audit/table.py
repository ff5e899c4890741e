"""The table data/verified.yaml, which both audits write: one changes the systems with an archive, one the others."""

from __future__ import annotations

from collections.abc import Mapping

from ordain.transforms.catalog import audit_results
from ordain.transforms.catalog.known_systems import known_systems

HEAD = """\
# Made by `make audit`: the values of rows that the package archive of a system confirms, with the package's version,
# or its packaging sources (ORDAIN_AUDIT_SOURCES), with the file that does. `read` says what was read, and when.
# known-by.yaml says how all other values are known.
"""


def read_table() -> dict[str, Mapping[str, Mapping[str, str]]]:
    """Return the rows of the last audit of each system."""
    return dict(audit_results.verified()) if audit_results.TABLE.exists() else {}


def write_table(table: Mapping[str, audit_results.Claims]) -> None:
    """Write the rows of all systems, in the order of systems.yaml."""
    audit_results.TABLE.write_text(
        HEAD + dump({system: table[system] for system in known_systems() if system in table})
    )


def dump(table: Mapping[str, audit_results.Claims]) -> str:
    """Return the table as YAML, with a line for each row."""
    lines = []
    for system, rows in table.items():
        lines.append(f"{system}:")
        for row, found in rows.items():
            lines.append(f"  {row}: {{{', '.join(f'{key}: {_text(value)}' for key, value in found.items())}}}")
    return "\n".join(lines) + "\n"


def listed(found: Mapping[str, str]) -> str:
    """Return the confirmed values of a row as a text."""
    return ", ".join(f"{key} {value}" for key, value in found.items()) or "nothing found"


def _text(value: str) -> str:
    """Return a scalar that YAML reads as text: versions, days and sentences can look like something else."""
    plain = value[0] == "/" or value[0].isalpha()
    return value if plain and not set(value) & set(":#,[]{}") else f'"{value}"'
