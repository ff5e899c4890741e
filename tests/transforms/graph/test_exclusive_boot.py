"""Which units exclusive mode keeps out, and when it asks first. The artifacts are a golden case of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.reader import read
from ordain.transforms.graph.essential_units import BOOT_ITEM
from ordain.transforms.graph.exclusive_boot import started_by_distribution
from ordain.transforms.machine.installed_units import read_installed
from ordain.transforms.model import Compiled, Wanted

INSTALLED = read_installed(Path(__file__).parents[2] / "cases/boot-exclusive/root")


def compiled(sections: str) -> Compiled:
    documents, problems = read("d.yaml", f"ordain: v1\nkind: Layer\nname: d\n{sections}".encode())
    assert problems == ()
    return compile(documents, facts_for("debian-12"), INSTALLED, shipped=shipped())


def kept_out(found: Compiled) -> list[str]:
    members = [member for member in found.members if member.item == BOOT_ITEM]
    assert all(member.wanted is Wanted.STOPPED for member in members)
    return [member.unit for member in members]


def test_what_the_documents_do_not_speak_of_is_kept_out() -> None:
    found = compiled("boot: {mode: exclusive}\nservices: {nginx: {state: running}, ssh: {state: running}}\n")

    # Not needed.service, which nginx wants; not dbus.socket and the login manager, which are kept for all.
    assert kept_out(found) == ["apt-daily.timer", "cron.service", "docker.service", "docker.socket", "helper.service"]


def test_a_drop_in_alone_keeps_the_distributions_service() -> None:
    found = compiled("boot: {mode: exclusive}\nservices: {cron: {nice: 5}, ssh: {state: running}}\n")

    assert "cron.service" not in kept_out(found)


def test_a_service_of_ours_keeps_what_it_needs() -> None:
    ours = "web: {command: [/bin/web], wants: [helper.service], requires: [docker.socket]}"
    found = compiled(f"boot: {{mode: exclusive}}\nservices: {{{ours}, ssh: {{state: running}}}}\n")

    assert kept_out(found) == ["apt-daily.timer", "cron.service", "needed.service", "nginx.service"]


def test_what_waits_behind_a_socket_is_not_started_on_the_way_back(tmp_path: Path) -> None:
    """Nor is the service of the name of a socket that accepts: that one has instances."""
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

    found = compile(documents, facts_for("debian-13"), read_installed(tmp_path), shipped=shipped())

    assert {member.unit: (member.starter, member.starts) for member in found.members} == {
        "install.socket": (True, "install@.service"),
        "lazy.service": (False, ""),
        "lazy.socket": (True, "lazy.service"),
    }
    assert started_by_distribution(read_installed(tmp_path)) == {"install.socket", "lazy.service", "lazy.socket"}


def test_what_may_be_let_in() -> None:
    found = compiled("boot: {mode: exclusive, allow: [apt-daily.timer, ssh.service]}\n")

    assert "apt-daily.timer" not in kept_out(found)
    links = [artifact.path for artifact in found.artifacts if "ordain.target.wants" in artifact.path]
    assert links == ["normal/ordain.target.wants/apt-daily.timer", "normal/ordain.target.wants/ssh.service"]


@pytest.mark.parametrize("state", ["stopped", "masked"])
def test_nobody_is_locked_out_by_silence(state: str) -> None:
    found = compiled("boot: {mode: exclusive}\nservices: {nginx: {state: running}}\n")

    assert [problem.code for problem in found.problems] == ["CutOff"]
    assert kept_out(found) == []
    assert not any(artifact.item == BOOT_ITEM for artifact in found.artifacts)

    said = compiled(f"boot: {{mode: exclusive}}\nservices: {{ssh: {{state: {state}}}}}\n")
    assert said.problems == ()
    assert "nginx.service" in kept_out(said)


def test_additive_mode_leaves_the_distribution_alone() -> None:
    found = compiled("boot: {mode: additive}\nservices: {nginx: {state: running}}\n")

    assert kept_out(found) == []
    assert {artifact.item for artifact in found.artifacts} == {"services/nginx"}


def test_what_the_distribution_would_start() -> None:
    assert sorted(started_by_distribution(INSTALLED)) == [
        "apt-daily.timer", "cron.service", "docker.service", "docker.socket", "helper.service", "needed.service",
        "nginx.service", "ssh.service",
    ]  # fmt: skip
