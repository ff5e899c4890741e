"""Repositories of tiny packages for dnf, zypper and pacman, made in a Debian machine with their own tools."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rig.machine import Machine

TOOLS = ("dnf", "zypper", "pacman-package-manager", "createrepo-c", "rpm")
"""The Debian packages of the managers, and of the programs that make packages and repositories for them."""
RPMS, PKGS = "/srv/rpms", "/srv/pkgs"


@dataclass(frozen=True, kw_only=True)
class TinyPackage:
    """A package without files; ``requires`` and ``conflicts`` are other packages."""

    name: str
    version: str = "1.0"
    requires: str = ""
    conflicts: str = ""


def rpm_repository(machine: Machine, packages: Iterable[TinyPackage]) -> None:
    """Make a repository of rpm packages at `RPMS`."""
    for package in packages:
        lines = [
            f"Name: {package.name}",
            f"Version: {package.version}",
            "Release: 1",
            "Summary: a package of a test",
            "License: none",
            "BuildArch: noarch",
            f"Requires: {package.requires}" if package.requires else "",
            f"Conflicts: {package.conflicts}" if package.conflicts else "",
            "%description\nA package of a test.\n%files",
        ]
        machine.write("/root/tiny.spec", "".join(f"{line}\n" for line in lines if line))
        machine.run("rpmbuild", "-bb", "--quiet", f"--define=_rpmdir {RPMS}", "/root/tiny.spec")
    machine.run("createrepo_c", "--quiet", RPMS)


def pacman_repository(machine: Machine, packages: Iterable[TinyPackage]) -> None:
    """Make a repository ``tiny`` of pacman packages at `PKGS`; of two versions of a package, the latter counts."""
    index: dict[str, str] = {}
    for package in packages:
        version, file = f"{package.version}-1", f"{package.name}-{package.version}-1-any.pkg.tar.gz"
        fields = {"pkgname": package.name, "pkgver": version, "pkgdesc": "a package of a test", "arch": "any"}
        fields |= {"size": "0", "builddate": "1700000000", "depend": package.requires, "conflict": package.conflicts}
        information = "".join(f"{key} = {value}\n" for key, value in fields.items() if value)
        data = _tar({".PKGINFO": information})
        machine.write(f"{PKGS}/{file}", data)
        rows = {"FILENAME": file, "NAME": package.name, "VERSION": version, "ARCH": "any", "CSIZE": str(len(data))}
        rows |= {"ISIZE": "0", "DEPENDS": package.requires, "CONFLICTS": package.conflicts}
        described = "".join(f"%{key}%\n{value}\n\n" for key, value in rows.items() if value)
        index = {path: text for path, text in index.items() if not path.startswith(f"{package.name}-")}
        index[f"{package.name}-{version}/desc"] = described
    machine.write(f"{PKGS}/tiny.db", _tar(index))


def _tar(files: Mapping[str, str]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()
