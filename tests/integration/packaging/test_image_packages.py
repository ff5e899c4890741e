"""ordainctl image --install with the real apt, dnf, zypper and pacman, and repositories of the test.

The root for apt is the Debian of the machine, which mmdebstrap made, under an overlay; those of the others are empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rig import apt_repository
from rig.apt_repository import Deb
from rig.foreign_repositories import PKGS, RPMS, TOOLS, TinyPackage, pacman_repository, rpm_repository
from rig.machine import Machine

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

PAGE = (Path(__file__).parents[3] / "docs/howto/install-packages.md").read_text()
(COMMAND,) = re.findall(r"^    ordainctl (image .*)$", PAGE, re.MULTILINE)
PACKAGES = (
    TinyPackage(name="wick"),
    TinyPackage(name="oil", version="1.5"),
    TinyPackage(name="oil", version="2.0"),
    TinyPackage(name="lamp", requires="wick"),
    TinyPackage(name="tin"),
    TinyPackage(name="brass", conflicts="tin"),
)
DNF_REPOSITORY = f"[tiny]\nname=tiny\nbaseurl=file://{RPMS}\nenabled=1\ngpgcheck=0\n"
PACMAN = f"[options]\nArchitecture = auto\nSigLevel = Never\n[tiny]\nServer = file://{PKGS}\n"


def apt(machine: Machine) -> str:
    relations = {"Depends": "requires", "Conflicts": "conflicts"}
    debs = [
        Deb(
            name=package.name,
            version=package.version,
            fields={field: value for field, name in relations.items() if (value := getattr(package, name))},
        )
        for package in PACKAGES
    ]
    apt_repository.serve(machine, debs)
    machine.run("mkdir", "/dev/shm/upper", "/dev/shm/work")
    layers = "lowerdir=/,upperdir=/dev/shm/upper,workdir=/dev/shm/work"
    machine.run("mount", "-t", "overlay", "overlay", "-o", layers, "/mnt")
    return machine.read("/usr/lib/os-release")


def dnf(machine: Machine) -> str:
    rpm_repository(machine, PACKAGES)
    machine.write("/mnt/etc/yum.repos.d/tiny.repo", DNF_REPOSITORY)
    return "ID=rocky\nID_LIKE='rhel centos fedora'\nVERSION_ID=9.4\n"


def zypper(machine: Machine) -> str:
    rpm_repository(machine, PACKAGES)
    machine.write("/mnt/etc/zypp/repos.d/tiny.repo", f"{DNF_REPOSITORY}type=rpm-md\n")
    return "ID=opensuse-leap\nID_LIKE='suse opensuse'\nVERSION_ID=16.0\n"


def pacman(machine: Machine) -> str:
    pacman_repository(machine, PACKAGES)
    machine.run("cp", "--recursive", "--parents", PKGS, "/mnt")
    machine.write("/mnt/etc/pacman.conf", PACMAN)
    for folder in ("var/lib/pacman", "var/cache/pacman/pkg", "tmp"):
        machine.path(f"/mnt/{folder}").mkdir(parents=True)
    return "ID=arch\n"


MANAGERS: Mapping[str, Callable[[Machine], str]] = {"apt": apt, "dnf": dnf, "zypper": zypper, "pacman": pacman}


def installed(machine: Machine, manager: str) -> set[str]:
    listing = {
        "apt": ["dpkg-query", "--admindir=/mnt/var/lib/dpkg", "--show", "--showformat=${Package} ${Version}\n"],
        "pacman": ["pacman", "--sysroot=/mnt", "--query"],
    }
    rpm = ["rpm", "--root=/mnt", "--query", "--all", "--queryformat=%{NAME} %{VERSION}\n"]
    shown = machine.run(*listing.get(manager, rpm), check=False).stdout
    return {line.removesuffix("-1") for line in shown.splitlines()}


def install(machine: Machine, packages: Any) -> Any:
    document = json.dumps({"ordain": "v1", "kind": "Layer", "name": "base", "packages": packages})
    machine.write("/root/documents/base.yaml", document)
    command = COMMAND.replace("documents/", "/root/documents/").split()
    return json.loads(machine.run("ordainctl", *command, "--json", check=False, timeout=120).stdout)


def changes(outcome: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    return sorted((change["action"], change["name"]) for change in outcome["packages"])


@pytest.mark.parametrize("manager", sorted(MANAGERS))
def test_the_packages_of_documents_are_installed_in_an_image(machines: Any, suite: str, manager: str) -> None:
    machine: Machine = machines(suite, more=TOOLS)
    machine.boot()
    machine.write("/mnt/etc/os-release", MANAGERS[manager](machine))
    machine.write("/mnt/usr/lib/systemd/system-generators/ordain-generator", "")

    outcome = install(machine, ["lamp", "nosuch", "tin"])

    assert changes(outcome) == [("install", "lamp"), ("install", "tin"), ("install", "wick")]
    tiny = {line for line in installed(machine, manager) if line.split()[0] in {p.name for p in PACKAGES}}
    assert tiny == {"lamp 1.0", "tin 1.0", "wick 1.0"}
    (condition,) = outcome["conditions"]
    assert (condition["item"], condition["code"]) == ("packages/nosuch", "PackageFailed")
    assert "nosuch" in condition["what"].removeprefix("nosuch: ")

    versioned = manager in ("apt", "dnf")
    versions = {"oil": {"version": "1.5*"}} if versioned else {"oil": {}}
    held = {"lamp": {"hold": True}} if manager in ("apt", "zypper") else {"lamp": {}}
    outcome = install(machine, {**held, **versions, "brass": {}})

    refused = [c for c in outcome["conditions"] if c["item"] == "packages/brass"]
    assert ("install", "oil") in changes(outcome)
    assert [condition["code"] for condition in refused] == ["PackageFailed"]
    assert f"oil {'1.5' if versioned else '2.0'}" in installed(machine, manager)
    assert "tin 1.0" in installed(machine, manager)
    if manager == "zypper":
        assert "lamp" in machine.read("/mnt/etc/zypp/locks")
    if manager == "apt":
        assert machine.run("chroot", "/mnt", "apt-mark", "showhold").stdout.split() == ["lamp"]
        assert not installed(machine, "apt") <= set(machine.run("dpkg-query", "--show").stdout.splitlines())
    assert [c for c in outcome["conditions"] if c not in refused and c["fault"]] == []
