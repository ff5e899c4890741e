"""Our own units: a low exposure in `systemd-analyze security`, and all that they do works within their sandbox."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rig.machine import Machine
from rig.machine_agent import agent_status

pytestmark = pytest.mark.integration

DOCUMENT = """\
ordain: v1
kind: Layer
name: machine
host: {hostname: box7}
users:
  deploy:
    uid: 2001
    groups: [adm]
    keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA x"]
groups: {builders: {gid: 2100}}
sysctl: {net.ipv4.ip_default_ttl: 77}
files:
  /run/early/plain: {content: "a\\n", mode: "2755", group: adm}
  /run/early/secret: {credential: {encrypted: /etc/app.cred}, mode: "0400"}
  /etc/app/secret: {credential: {encrypted: /etc/app.cred}, owner: deploy, mode: "0400"}
  /etc/app/tool: {content: "#!/bin/sh\\n", mode: "4755"}
  /srv/shared: {directory: true, group: builders, mode: "2770"}
  /home/deploy/notes: {content: "n\\n", owner: deploy}
services: {web: {command: [/usr/bin/sleep, infinity]}}
"""
UNITS = tuple(sorted(path.stem for path in (Path(__file__).parents[3] / "units").glob("*.service")))
MOST = {unit: 1.2 if unit in ("ordain-source", "ordain-relay") else 3.0 for unit in UNITS}
"""The highest exposure of each unit, of 10."""


def exposure(machine: Machine, unit: str) -> float:
    report = machine.run("systemd-analyze", "security", "--no-pager", unit).stdout
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", report)
    assert found, report
    return float(found[1])


def check(machine: Machine) -> None:
    """Check all that the units of the boot do."""
    assert machine.run("hostname").stdout == "box7\n"
    assert "adm" in machine.run("id", "-nG", "deploy").stdout.split()
    assert machine.run("getent", "group", "builders").stdout.startswith("builders:x:2100:")
    paths = (
        *("/run/early/plain", "/run/early/secret"),
        *("/etc/app/secret", "/etc/app/tool", "/srv/shared"),
        *("/home/deploy/notes", "/home/deploy/.ssh/authorized_keys"),
    )
    stat = machine.run("stat", "-c", "%a %U %G", *paths).stdout.splitlines()
    assert stat == ["2755 root adm", "400 root root", "400 deploy root", "4755 root root",
                    "2770 root builders", "644 deploy root", "600 deploy deploy"]  # fmt: skip
    assert machine.read("/run/early/secret") == machine.read("/etc/app/secret") == "hunter2"
    # A document may place a file below /run/user, with a warning.
    assert machine.show("ordain-files-early.service", "ProtectHome")["ProtectHome"] == "no"
    assert machine.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""
    warned = {"ordain-boot-why", "ordain-fallback", "ordain-forget", "ordain-source"}  # these report, or have no source
    names = [f"-u{unit}.service" for unit in UNITS if unit not in warned]
    assert machine.run("journalctl", "-b", "-o", "cat", "-p", "warning", *names).stdout == ""


def converge(machine: Machine) -> None:
    machine.until("converged", lambda: agent_status(machine)["state"] == "converged", timeout=60)


def apply(machine: Machine, document: str) -> None:
    converge(machine)
    machine.write("/etc/ordain/documents/machine.yaml", document)
    machine.run("ordainctl", "apply")
    converge(machine)


def test_the_sandbox_of_each_unit_of_ours_is_tight_and_wide_enough(machine: Machine) -> None:
    machine.boot()
    encrypt = ("systemd-creds", "encrypt", "--with-key=host", "--name=early", "-", "-")
    machine.write("/etc/app.cred", machine.run(*encrypt, stdin="hunter2").stdout)
    apply(machine, DOCUMENT)
    assert machine.run("sysctl", "-n", "net.ipv4.ip_default_ttl").stdout == "77\n"
    apply(machine, re.sub("sysctl: .*\n", "", DOCUMENT))
    ttl = machine.run("sysctl", "-n", "net.ipv4.ip_default_ttl").stdout
    assert ttl == "64\n", "the previous value of a kernel parameter is restored"
    apply(machine, DOCUMENT)
    machine.reboot()
    machine.until(
        "the boot is good", lambda: machine.show("ordain-boot-good.service", "ActiveState")["ActiveState"] == "active"
    )

    converge(machine)
    check(machine)
    assert machine.run("grep", "-c", ".", "/etc/ordain/boot/attempts", check=False).stdout in ("0\n", "")
    found = {unit: exposure(machine, f"{unit}.service") for unit in UNITS}
    print(found)
    assert "ordain-source" in found
    assert {unit: value for unit, value in found.items() if value > MOST[unit]} == {}

    machine.run("systemctl", "rescue", check=False)
    machine.until("the record is cleared", lambda: not machine.path("/run/ordain/takeover").exists())


def test_a_credential_of_the_boot_becomes_a_file_and_the_agent_sees_the_key_of_the_machine(machine: Machine) -> None:
    machine.boot()
    machine.run("mkdir", "-p", "/run/credentials/@system")
    machine.write("/run/credentials/@system/tunnel", "hunter2")
    machine.run("systemctl", "restart", "ordain-agent")
    files = "files:\n  /etc/tunnel.key: {credential: tunnel}\n  /run/tunnel/key: {credential: tunnel}\n"

    apply(machine, f"ordain: v1\nkind: Layer\nname: machine\n{files}")

    assert machine.read("/etc/tunnel.key") == machine.read("/run/tunnel/key") == "hunter2"
    pid = machine.show("ordain-agent.service", "MainPID")["MainPID"]
    assert machine.run("nsenter", "-m", "-t", pid, "ls", "/run/ordain/credentials/@system").stdout == "tunnel\n"
