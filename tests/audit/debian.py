"""`make audit`: compares Debian's rows of the transformation database with Debian's packages.

    rows ──claims──▶ `seen`, row by row, in an `Archive` ──▶ data/verified.yaml

A row is true if its package exists and its installation brings the unit, the socket, the configuration directory and
the program that checks it. The exit status is 1 if a row is false; the table is written anyway, with the confirmed
values.

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
# Made by `make audit`: the values of rows that the package archive of the system confirms, with the package's version.
# Values that are not here come from documentation and source packages only.
"""


def main(systems: list[str]) -> int:
    """Audit ``systems``, or all of them if none is named, and return the exit status."""
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
                continue  # a vendor's service, which is not in Debian's archive
            rows[row], missing = seen(archive, claim)
            false += bool(missing)
            print(f"{'FALSE' if missing else 'true '} {system} {row}: {_listed(rows[row])}")
            print("".join(f"      {text}\n" for text in missing), end="")
        table[system] = {row: found for row, found in rows.items() if found}
        print(f"{system}: {len(rows)} rows, {false} false; {archive.apt.suite}, {len(archive.packages)} packages\n")
        wrong += false + len(problems)
    audit_results.TABLE.write_text(HEAD + dump({system: table[system] for system in SUITES if system in table}))
    return int(wrong > 0)


def seen(archive: Archive, claim: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the values of ``claim`` that the archive confirms, and a sentence for each other value."""
    name = claim.get("package", "")
    bringing = archive.closure(name).keys() | _everywhere(archive) if name else _systemd(archive)
    confirmed: dict[str, str] = {}
    missing: list[str] = []
    for key, value in claim.items():
        owners = archive.files.get(_path(key, value), frozenset())
        if key == "package":
            holds = name in archive.packages
        elif key == "path":
            holds = bool(owners)
            if not owners and value.startswith("/etc/"):
                continue  # made at the installation of its package: known from documentation only
        elif key == "unit" and not owners & bringing:
            # systemd-sysv-generator(8) makes the unit if there is only an old script.
            owners |= archive.files.get(f"etc/init.d/{value.removesuffix('.service')}", frozenset())
            holds = bool(owners & bringing)
        else:
            # No list has an empty directory. A program can be an alternative, which the unit then names.
            holds = bool(owners & bringing) or (key in ("config", "check") and _named(archive, name, value))
        if holds:
            confirmed[key] = value
        else:
            missing.append(
                f"{key} {value}: not in {name or 'systemd'}, but in {', '.join(sorted(owners)) or 'nothing'}"
            )
    if "package" in confirmed:
        confirmed["version"] = archive.packages[name].version
    return confirmed, missing


def _path(key: str, value: str) -> str:
    return f"usr/lib/systemd/system/{value}" if key in ("unit", "socket") else merged(value.strip("/"))


def _everywhere(archive: Archive) -> Set[str]:
    """Return the packages of every system, such as apt, whose timer is what unattended-upgrades adds to."""
    return {package.name for package in archive.packages.values() if package.everywhere}


def _systemd(archive: Archive) -> Set[str]:
    """Return the packages that are built from the source of systemd, since milestones name no package."""
    return {p.name for p in archive.packages.values() if p.source == "systemd"}


def _named(archive: Archive, name: str, path: str) -> bool:
    """Return whether a package of the same source as ``name`` has the empty directory ``path``, or names it."""
    installed = archive.closure(name)
    if name not in installed:
        return False
    related = [p for p in installed.values() if p.name == name or p.source == installed[name].source]
    return any(archive.names(package, path) for package in related)


def _listed(found: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in found.items()) or "nothing found"


def dump(table: Mapping[str, audit_results.Claims]) -> str:
    """Return the table as YAML, with a line for each row."""
    lines = []
    for system, rows in table.items():
        lines.append(f"{system}:")
        for row, found in rows.items():
            lines.append(f"  {row}: {{{', '.join(f'{key}: {_text(value)}' for key, value in found.items())}}}")
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    """Return a scalar that YAML reads as text; only versions can look like something else."""
    return value if value[0] == "/" or value[0].isalpha() else f'"{value}"'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
