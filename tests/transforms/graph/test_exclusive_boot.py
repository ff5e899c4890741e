"""The units that an exclusive boot keeps out, and those that it does not without a decision.

The golden case boot-exclusive has the artifacts.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.graph.kept_out_units import started_by_distribution
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import BOOT_ITEM, Compiled, Wanted
from ordain.transforms.systemd.system_units import KEPT_UNITS
from ordain.transforms.systemd.unit_file import parse

INSTALLED = read_installed(Path(__file__).parents[2] / "cases/boot-exclusive/root")


def compiled(sections: str) -> Compiled:
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{sections}".encode())
    assert problems == ()
    return compile(documents, facts_for("debian-12"), INSTALLED, shipped=shipped())


def kept_out(result: Compiled) -> list[str]:
    members = [member for member in result.members if member.item == BOOT_ITEM]
    assert all(member.wanted is Wanted.STOPPED for member in members)
    return [member.unit for member in members]


def test_units_that_no_document_names_are_kept_out() -> None:
    result = compiled("boot: {mode: exclusive}\nservices: {nginx: {state: running}, ssh: {state: running}}\n")

    # nginx wants needed.service, and every exclusive boot has dbus.socket and the login manager.
    assert kept_out(result) == ["apt-daily.timer", "cron.service", "docker.service", "docker.socket", "helper.service"]


def test_a_service_with_only_a_drop_in_of_ours_is_not_kept_out() -> None:
    result = compiled("boot: {mode: exclusive}\nservices: {cron: {nice: 5}, ssh: {state: running}}\n")

    assert "cron.service" not in kept_out(result)


def test_units_that_our_services_need_are_not_kept_out() -> None:
    ours = "web: {command: [/bin/web], wants: [helper.service], requires: [docker.socket]}"
    result = compiled(f"boot: {{mode: exclusive}}\nservices: {{{ours}, ssh: {{state: running}}}}\n")

    assert kept_out(result) == ["apt-daily.timer", "cron.service", "needed.service", "nginx.service"]


def test_a_service_behind_a_socket_is_not_a_starter(tmp_path: Path) -> None:
    """A socket with Accept= starts instances, and not the service that has its name."""
    for name, text in (
        ("sockets.target", "[Unit]\nWants=lazy.socket install.socket\n"),
        ("lazy.socket", "[Socket]\nListenStream=/run/lazy\n"),
        ("lazy.service", "[Service]\nExecStart=/bin/lazy\n"),
        ("install.socket", "[Socket]\nListenStream=/run/install\nAccept=yes\n"),
        ("install@.service", "[Service]\nExecStart=/bin/install\n"),
        ("install.service", "[Unit]\nFailureAction=halt\n[Service]\nExecStart=/bin/install\n"),
    ):
        path = tmp_path / "usr/lib/systemd/system" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    documents, _ = read("d.yaml", b"ordain: v1\nkind: Layer\nname: d\nboot: {mode: exclusive}\n")

    result = compile(documents, facts_for("debian-13"), read_installed(tmp_path), shipped=shipped())

    assert {member.unit: (member.starter, member.starts) for member in result.members} == {
        "install.socket": (True, "install@.service"),
        "lazy.service": (False, ""),
        "lazy.socket": (True, "lazy.service"),
    }
    assert started_by_distribution(read_installed(tmp_path)) == {"install.socket", "lazy.service", "lazy.socket"}


def test_allowed_units_are_not_kept_out() -> None:
    result = compiled("boot: {mode: exclusive, allow: [apt-daily.timer, ssh.service]}\n")

    assert "apt-daily.timer" not in kept_out(result)
    links = [artifact.path for artifact in result.artifacts if "ordain.target.wants" in artifact.path]
    assert links == ["normal/ordain.target.wants/apt-daily.timer", "normal/ordain.target.wants/ssh.service"]


@pytest.mark.parametrize("state", ["stopped", "masked"])
def test_an_exclusive_boot_without_a_decision_on_ssh_is_blocked(state: str) -> None:
    result = compiled("boot: {mode: exclusive}\nservices: {nginx: {state: running}}\n")

    assert [problem.code for problem in result.problems] == ["CutOff"]
    assert kept_out(result) == []
    assert not any(artifact.item == BOOT_ITEM for artifact in result.artifacts)

    decided = compiled(f"boot: {{mode: exclusive}}\nservices: {{ssh: {{state: {state}}}}}\n")
    assert decided.problems == ()
    assert "nginx.service" in kept_out(decided)


def test_additive_mode_leaves_the_distribution_alone() -> None:
    result = compiled("boot: {mode: additive}\nservices: {nginx: {state: running}}\n")

    assert kept_out(result) == []
    assert {artifact.item for artifact in result.artifacts} == {"services/nginx"}


def test_the_units_that_only_the_distributions_boot_starts_are_known() -> None:
    assert sorted(started_by_distribution(INSTALLED)) == [
        "apt-daily.timer", "cron.service", "docker.service", "docker.socket", "helper.service", "needed.service",
        "nginx.service", "ssh.service",
    ]  # fmt: skip


@pytest.mark.parametrize("console", ["a" * 250, "é" * 100, "/dev/"])
@pytest.mark.parametrize("mode", ["exclusive", "additive"])
def test_a_console_that_no_unit_can_be_named_after_blocks_the_boot_section(console: str, mode: str) -> None:
    result = compiled(f"boot: {{mode: {mode}, console: {console}}}\n")

    (problem,) = result.problems
    assert problem.item == BOOT_ITEM
    assert problem.where.line == 4
    assert "no unit can log in on this console" in problem.what


def test_an_exclusive_boot_starts_every_unit_of_ordain_that_a_normal_boot_starts() -> None:
    units = Path(__file__).parents[3] / "units"
    wanted_by = {path.name: parse(path.read_text()) for path in units.glob("*.service")}
    started = {name for name, lines in wanted_by.items() if ("Install", "WantedBy", "multi-user.target") in lines}
    started.remove("ordain-relay.service")  # no preset enables it: documents start what an exclusive boot starts
    target = parse((units / "ordain.target").read_text())
    wants = {name for section, key, value in target if key == "Wants" for name in value.split()}

    assert "ordain-agent.service" in started
    assert started <= wants
    assert started <= set(KEPT_UNITS)
