"""`make audit`: holds Debian's rows of the transformation database against Debian's packages.

    rows ──claims──▶ `seen`, row by row, in an `Archive` ──▶ data/verified.yaml

A row is true if its package is there and installing it brings the unit, the socket, the configuration
directory and the program that checks it. Exit status 1 if a row is false; the table is written all the same,
with what was found.

usage: python3 -m audit.debian [SYSTEM…]      (debian-12 debian-13 debian-sid)
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Set
from pathlib import Path

from audit.archive import Apt, Archive, merged

from ordain.transforms.catalog import audit_results
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped

SUITES = {"debian-12": "bookworm", "debian-13": "trixie", "debian-sid": "sid"}
CACHE = Path.home() / ".cache" / "ordain" / "audit"
HEAD = """\
# Made by `make audit`: what of the rows was found in the system's own package archive, and the package's version.
# What is not here is known from documentation and source packages only.
"""


def main(systems: list[str]) -> int:
    """Audit ``systems``, all of them if none is named; returns the exit status."""
    table = dict(audit_results.verified()) if audit_results.TABLE.exists() else {}
    wrong = 0
    for system in systems or SUITES:
        archive = Apt(CACHE / SUITES[system], SUITES[system]).update()
        known, problems = names_for(shipped(), facts_for(system), shared_versions(shipped()))
        for problem in problems:
            print(problem, file=sys.stderr)
        rows, false = {}, 0
        for row, claim in audit_results.claims(known).items():
            if row.startswith("services/") and "package" not in claim:
                continue  # a vendor's, from no archive of Debian's
            rows[row], wanting = seen(archive, claim)
            false += bool(wanting)
            print(f"{'FALSE' if wanting else 'true '} {system} {row}: {_said(rows[row])}")
            print("".join(f"      {text}\n" for text in wanting), end="")
        table[system] = {row: found for row, found in rows.items() if found}
        print(f"{system}: {len(rows)} rows, {false} false; {archive.apt.suite}, {len(archive.packages)} packages\n")
        wrong += false + len(problems)
    audit_results.TABLE.write_text(HEAD + dump({system: table[system] for system in SUITES if system in table}))
    return int(wrong > 0)


def seen(archive: Archive, claim: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What of ``claim`` the archive bears out, and a sentence for each part that it does not."""
    name = claim.get("package", "")
    bringing = archive.closure(name).keys() if name else _systemd(archive)
    found: dict[str, str] = {}
    wanting: list[str] = []
    for key, value in claim.items():
        owners = archive.files.get(_path(key, value), frozenset())
        if key == "package":
            holds = name in archive.packages
        elif key == "path":
            holds = bool(owners)
            if not owners and value.startswith("/etc/"):
                continue  # made as its package is installed: known from documentation only
        elif key == "unit" and not owners & bringing:
            # systemd-sysv-generator(8) makes the unit where there is an old script only.
            owners |= archive.files.get(f"etc/init.d/{value.removesuffix('.service')}", frozenset())
            holds = bool(owners & bringing)
        else:
            # An empty directory is in no list; a program can be an alternative, which the unit then names.
            holds = bool(owners & bringing) or (key in ("config", "check") and _named(archive, name, value))
        if holds:
            found[key] = value
        else:
            wanting.append(
                f"{key} {value}: not in {name or 'systemd'}, but in {', '.join(sorted(owners)) or 'nothing'}"
            )
    if "package" in found:
        found["version"] = archive.packages[name].version
    return found, wanting


def _path(key: str, value: str) -> str:
    return f"usr/lib/systemd/system/{value}" if key in ("unit", "socket") else merged(value.strip("/"))


def _systemd(archive: Archive) -> Set[str]:
    """All that is built of systemd's source: milestones name no package."""
    return {p.name for p in archive.packages.values() if p.source == "systemd"}


def _named(archive: Archive, name: str, path: str) -> bool:
    """Whether one of the packages that make up ``name`` has the empty directory ``path``, or names it."""
    installed = archive.closure(name)
    if name not in installed:
        return False
    related = [p for p in installed.values() if p.name == name or p.source == installed[name].source]
    return any(archive.names(package, path) for package in related)


def _said(found: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in found.items()) or "nothing found"


def dump(table: Mapping[str, audit_results.Claims]) -> str:
    """The table as YAML, a line for each row."""
    lines = []
    for system, rows in table.items():
        lines.append(f"{system}:")
        for row, found in rows.items():
            lines.append(f"  {row}: {{{', '.join(f'{key}: {_text(value)}' for key, value in found.items())}}}")
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """A scalar that YAML reads as text: only versions can look like something else."""
    return value if value[0] == "/" or value[0].isalpha() else f'"{value}"'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
