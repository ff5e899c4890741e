"""The units of systemd-sysv-generator are predicted. tests/integration compares them with its own output."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.transforms.artifacts import UnitLink
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.graph.kept_out_units import started_by_distribution
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import Compiled, Wanted
from rig.sysv_scripts import SCRIPT, write_script


@pytest.fixture
def root(tmp_path: Path) -> Path:
    generators = tmp_path / "usr/lib/systemd/system-generators"
    generators.mkdir(parents=True)
    (generators / "systemd-sysv-generator").touch(mode=0o755)
    units = tmp_path / "usr/lib/systemd/system"
    units.mkdir()
    (units / "cron.service").write_text("[Service]\nExecStart=/usr/sbin/cron\n")
    return tmp_path


def compiled(root: Path, sections: str) -> Compiled:
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{sections}".encode())
    assert problems == ()
    return compile(documents, facts_for("debian-12"), read_installed(root), shipped=shipped())


def test_a_script_is_a_unit_with_aliases_that_its_runlevels_want(root: Path) -> None:
    write_script(root, "legacy.sh", runlevels="235")

    found = read_installed(root)
    unit = found.units["legacy.service"]
    assert unit.path == "/run/systemd/generator.late/legacy.service"
    assert unit.values("Service", "ExecStart") == ("/etc/init.d/legacy.sh start",)
    assert unit.values("Unit", "Wants") == ("network-online.target",)
    assert found.aliases == {"legacyd.service": "legacy.service"}
    assert {(link.target, link.name) for link in found.links} == {
        ("multi-user.target", "legacy.service"),
        ("graphical.target", "legacy.service"),
    }
    assert started_by_distribution(found) == {"legacy.service"}


@pytest.mark.parametrize("name", ["cron", "notes"])
def test_a_script_with_a_unit_or_without_execute_permission_is_ignored(root: Path, name: str) -> None:
    write_script(root, name, runlevels="2").chmod(0o644 if name == "notes" else 0o755)

    assert set(read_installed(root).units) == {"cron.service"}
    assert read_installed(root).links == ()


def test_scripts_are_ignored_without_the_generator(root: Path) -> None:
    write_script(root, "legacy", runlevels="2")
    (root / "usr/lib/systemd/system-generators/systemd-sysv-generator").unlink()

    assert set(read_installed(root).units) == {"cron.service"}


def test_a_drop_in_of_the_administrator_for_a_script_counts(root: Path) -> None:
    write_script(root, "legacy", runlevels="2")
    drop_in = root / "etc/systemd/system/legacy.service.d/more.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Unit]\nWants=cron.service\n")

    assert started_by_distribution(read_installed(root)) == {"legacy.service", "cron.service"}


def test_exclusive_mode_keeps_scripts_out_unless_they_are_allowed(root: Path) -> None:
    write_script(root, "legacy", runlevels="2")
    write_script(root, "other", runlevels="2", header=SCRIPT)

    found = compiled(root, "boot: {mode: exclusive, allow: [other.service]}\n")

    assert found.problems == ()
    assert [member.unit for member in found.members] == ["legacy.service"]


def test_a_script_that_brings_up_the_network_is_reported(root: Path) -> None:
    write_script(root, "networking", runlevels="2")

    assert [problem.code for problem in compiled(root, "boot: {mode: exclusive}\n").problems] == ["CutOff"]


def test_a_stopped_script_is_held_back_under_each_of_its_names(root: Path) -> None:
    write_script(root, "legacy", runlevels="25")

    found = compiled(root, "services: {old: {unit: legacy.service, state: stopped}}\n")

    assert found.problems == ()
    assert [artifact.path for artifact in found.artifacts if isinstance(artifact, UnitLink) and artifact.masks] == [
        "early/graphical.target.wants/legacy.service",
        "early/multi-user.target.wants/legacy.service",
    ]
    assert [member.wanted for member in found.members] == [Wanted.STOPPED]


def test_a_service_of_the_documents_replaces_a_script_of_the_same_name(root: Path) -> None:
    write_script(root, "legacy", runlevels="2")

    assert compiled(root, "services: {legacy: {command: [/bin/true]}}\n").problems == ()
