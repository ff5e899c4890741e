"""`make audit`: compares Debian's rows of the transformation database with Debian's packages.

    rows ──claims──▶ `seen`, row by row, in an `Archive` ──▶ data/verified.yaml

A row is true if its package exists and its installation brings the unit, the socket, the configuration directory and
the program that checks it. The exit status is 1 if a row is false; the table is written anyway, with the confirmed
values.

usage: python3 -m audit.debian [SYSTEM…]      (debian-12 debian-13 debian-sid)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Set
from datetime import date
from pathlib import Path

from audit.archive import Apt, Archive, merged
from audit.table import listed, read_table, write_table

from ordain.transforms.catalog import audit_results
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped

SUITES = {"debian-12": "bookworm", "debian-13": "trixie", "debian-sid": "sid"}
CACHE = Path.home() / ".cache" / "ordain" / "audit"
_SYSTEMD_DROP_INS = re.compile(r"/etc/systemd/[a-z-]+\.conf\.d/")


def main(systems: list[str]) -> int:
    """Audit ``systems``, or all of them if none is named, and return the exit status."""
    table = read_table()
    wrong = 0
    for system in systems or SUITES:
        archive = Apt(CACHE / SUITES[system], SUITES[system]).update()
        known, problems = names_for(shipped(), facts_for(system), shared_versions(shipped()))
        for problem in problems:
            print(problem, file=sys.stderr)
        rows, false = {audit_results.READ: read_today(system)}, 0
        claims = {
            row: claim
            for row, claim in audit_results.claims(known).items()
            if not row.startswith("services/")
            or "package" in claim  # others are vendors', which Debian's archive lacks
        }
        if not archive.whole:
            print(f"{system}: the lists of files do not fit the release, so those of the packages are read", flush=True)
            archive = archive.with_files(_packages_of(claims))
        for row, claim in claims.items():
            rows[row], missing = seen(archive, claim)
            false += bool(missing)
            print(f"{'FALSE' if missing else 'true '} {system} {row}: {listed(rows[row])}")
            print("".join(f"      {text}\n" for text in missing), end="")
        table[system] = {row: found for row, found in rows.items() if found}
        print(f"{system}: {len(rows) - 1} rows, {false} false; {archive.apt.suite}, {len(archive.packages)} packages\n")
        wrong += false + len(problems)
        write_table(table)  # the next archive may be out of reach
    return int(wrong > 0)


def _packages_of(claims: audit_results.Claims) -> Iterator[str]:
    """Yield the packages of rows, and for a path of a row without one the package that is called like the program."""
    for claim in claims.values():
        yield from (value for key, value in claim.items() if kind_of(key) == "package")
        if "path" in claim:
            yield claim["path"].rpartition("/")[2]


def read_today(system: str) -> dict[str, str]:
    """Return what is read, and the day."""
    return {"how": "archive", "of": f"Debian {SUITES[system]}, main", "when": date.today().isoformat()}


def seen(archive: Archive, claim: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the values of ``claim`` that the archive confirms, and a sentence for each other value."""
    name = claim.get("package", "")
    packages = [value for key, value in claim.items() if kind_of(key) == "package"]
    bringing = frozenset(_everywhere(archive)).union(*map(archive.closure, packages)) if name else _systemd(archive)
    confirmed: dict[str, str] = {}
    missing: list[str] = []
    for key, value in claim.items():
        owners = archive.files.get(_path(key, value), frozenset())
        if kind_of(key) == "package":
            holds = value in archive.packages
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
        elif _SYSTEMD_DROP_INS.fullmatch(value):
            continue  # systemd makes the path from that of the main file: known from its manual pages only
        else:
            missing.append(
                f"{key} {value}: not in {name or 'systemd'}, but in {', '.join(sorted(owners)) or 'nothing'}"
            )
    if "package" in confirmed:
        confirmed["version"] = archive.packages[name].version
    return confirmed, missing


def kind_of(key: str) -> str:
    """Return the kind of the value at ``key``: ``unit`` or ``package`` for all keys with such names."""
    return _KINDS.get(key.partition("/")[0], key)


_KINDS = {"socket": "unit", "start": "unit", "instance": "unit", "units": "unit", "packages": "package"}


def _path(key: str, value: str) -> str:
    return f"usr/lib/systemd/system/{value}" if kind_of(key) == "unit" else merged(value.strip("/"))


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
