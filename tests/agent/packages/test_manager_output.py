"""The output of the real package managers, read by the rows of the database."""

from __future__ import annotations

import pytest

from ordain.agent.packages.manager_output import is_busy, read_installed, read_preview
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.package_set import PackageManager
from ordain.transforms.render.packages import package_manager

SYSTEMS = {"apt": "debian-13", "dnf": "rocky-9", "zypper": "sles-15", "pacman": "arch"}


def row(name: str) -> PackageManager:
    return package_manager(names_for(shipped(), facts_for(SYSTEMS[name]), shared_versions(shipped()))[0])


def test_the_list_of_dpkg_tells_held_and_broken_packages() -> None:
    text = "ii  a 1.0\nhi  b 2:1.0-1\nrc  gone 1\niU  half 1\niF  c 1\niiR again 1\n"
    read = read_installed(row("apt"), text)
    assert read.versions == {"a": "1.0", "b": "2:1.0-1"}
    assert read.held == {"b"}
    assert read.broken == {"half", "c", "again"}


def test_locks_of_rpm_systems_are_read_from_their_files() -> None:
    assert read_installed(row("dnf"), "bash 5.2-1\nhtop-0:3.2.2-2.*\n").held == {"htop"}
    assert read_installed(row("dnf"), 'bash 5.2-1\n[[packages]]\nname = "htop"\ncomment = "x"\n').held == {"htop"}
    locks = (
        'version = "1.0"\n[[packages]]\nname = "htop"\ncomment = "x"\n'
        '[[packages.conditions]]\nkey = "evr"\ncomparator = "="\nvalue = "0:3.2-1"\n'
        '[[packages]]\nname = "lame"\n[[packages.conditions]]\nkey = "evr"\ncomparator = "!="\nvalue = "3.100-4"\n'
        '[[packages]]\nname = "acpi"\n[[packages.conditions]]\nkey = "evr"\ncomparator = "<"\nvalue = "4"\n'
    )
    assert read_installed(row("dnf"), f"bash 5.2-1\n{locks}").held == {"htop", "acpi"}
    zypper = read_installed(row("zypper"), "bash 5.2-1\n\ntype: package\nmatch_type: glob\nsolvable_name: htop\n")
    assert zypper.versions == {"bash": "5.2-1"}
    assert zypper.held == {"htop"}


PREVIEWS = {
    "apt": "Reading package lists...\nRemv tin [1.0]\nInst brass (1.0 Debian:12 [all])\nInst oil [1.5] (2.0 x [all])\n"
    "Conf brass (1.0 Debian:12 [all])\n",
    "dnf": "Dependencies resolved.\n====\n Package Architecture Version Repository Size\n====\nInstalling:\n"
    " brass   noarch  1.0-1  repo  6 k\nUpgrading:\n oil     x86_64  1:2.0-1  repo  6 k\nRemoving dependent packages:\n"
    " tin     noarch  1.0-1  @repo 0\n\nTransaction Summary\n====\nInstall  1 Package\n\nOperation aborted.\n",
    "zypper": '<stream>\n<install-summary><to-install><solvable type="package" name="brass" edition="1.0-1"/>'
    '</to-install><to-upgrade><solvable type="package" name="oil" edition="2.0-1"/></to-upgrade><to-remove>'
    '<solvable type="package" name="tin" edition="1.0-1"/></to-remove></install-summary>\n</stream>\n',
}


@pytest.mark.parametrize("name", sorted(PREVIEWS))
def test_a_preview_tells_installed_from_removed_packages(name: str) -> None:
    preview = read_preview(row(name), PREVIEWS[name])
    assert {package: version.split("-")[0] for package, version in preview.installs.items()} == {
        "brass": "1.0",
        "oil": "2.0",
    }
    assert set(preview.removes) == {"tin"}


def test_the_list_of_pacman_means_what_was_asked_for() -> None:
    text = "warning: x is up to date -- reinstalling\nbrass 1.0-1\noil 1:2.0-1.1\n"
    assert read_preview(row("pacman"), text).installs == {"brass": "1.0-1", "oil": "1:2.0-1.1"}
    assert read_preview(row("pacman"), "tin 1.0-1\n", of_removal=True).removes == {"tin": "1.0-1"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("apt", "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1 (x)"),
        ("zypper", "System management is locked by the application with pid 1 (zypper)."),
        ("pacman", "error: failed to init transaction (unable to lock database)"),
    ],
)
def test_a_locked_database_is_known(name: str, text: str) -> None:
    assert is_busy(row(name), text)
    assert not is_busy(row(name), "E: Unable to locate package x")
