"""Users, groups, kernel parameters and the host of the documents, real on booted machines, at boot and live."""

from __future__ import annotations

import pytest

from rig.machine import Machine

pytestmark = pytest.mark.integration

DOCUMENT = "/etc/ordain/documents/machine.yaml"
HEAD = "ordain: v1\nkind: Layer\nname: machine\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBvYl alice@desk"
TEXT = f"""\
groups: {{crew: {{gid: 3000}}}}
users:
  alice: {{groups: [crew], keys: ["{KEY}"], shell: /bin/bash}}
  worker: {{system: true, home: /srv}}
sysctl: {{net.ipv4.ip_forward: "1"}}
host: {{hostname: box7, timezone: Europe/Berlin}}
services:
  job: {{command: [/usr/bin/sleep, infinity], user: worker}}
"""


def write(machine: Machine, text: str) -> None:
    machine.write(DOCUMENT, HEAD + text)


def apply(machine: Machine) -> tuple[int, str]:
    done = machine.run("ordainctl", "apply", check=False)
    return done.returncode, done.stdout + done.stderr


def all_there(machine: Machine) -> None:
    assert machine.run("id", "-nG", "alice").stdout == "alice crew\n"
    assert 1000 <= int(machine.run("id", "-u", "alice").stdout) < 60000
    assert int(machine.run("id", "-u", "worker").stdout) < 1000
    assert "/home/alice:/bin/bash" in machine.read("/etc/passwd")
    assert KEY in machine.read("/home/alice/.ssh/authorized_keys")
    stat = machine.run("stat", "-c", "%a %U %G", "/home/alice", "/home/alice/.ssh/authorized_keys").stdout
    assert stat == "700 alice alice\n600 alice alice\n"
    assert machine.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "1\n"
    assert machine.run("hostname").stdout == "box7\n"
    assert machine.run("date", "+%Z", "--date=2026-01-01").stdout == "CET\n"
    assert machine.show("job.service", "ActiveState")["ActiveState"] == "active"


def test_live_at_boot_and_taken_back(machine: Machine) -> None:
    machine.boot()
    machine.run("sysctl", "-w", "net.ipv4.ip_forward=0")
    write(machine, TEXT)

    status, text = apply(machine)
    assert status == 0, text
    all_there(machine)

    machine.power_cut()
    machine.boot()
    machine.until("job runs", lambda: machine.show("job.service", "ActiveState")["ActiveState"] == "active")
    all_there(machine)
    assert machine.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""

    write(machine, TEXT.replace('ip_forward: "1"', 'ip_forward: "0"').replace(f'keys: ["{KEY}"], ', ""))
    status, text = apply(machine)
    assert status == 0, text
    assert machine.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "0\n"
    assert not machine.path("/home/alice/.ssh").exists()

    write(machine, "services: {}\n")
    status, text = apply(machine)
    assert status == 0, text
    assert machine.read("/etc/hostname") == "machine\n"
    assert machine.run("hostname").stdout == "machine\n"
    assert not machine.path("/run/sysctl.d/99-q-ordain.conf").exists()
    assert machine.run("id", "-u", "alice").returncode == 0, "an account is never removed"
