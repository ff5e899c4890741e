"""The sections users, groups, sysctl and host take effect on booted machines, at boot and live."""

from __future__ import annotations

import pytest

from rig.machine import Machine

pytestmark = pytest.mark.integration

DOCUMENT = "/etc/ordain/documents/machine.yaml"
HEAD = "ordain: v1\nkind: Layer\nname: machine\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl alice@desk"
TEXT = f"""\
groups: {{crew: {{gid: 3000}}}}
users:
  alice: {{groups: [crew], keys: ["{KEY}"], shell: /bin/bash}}
  worker: {{system: true, home: /srv}}
sysctl: {{net.ipv4.ip_forward: "1", net.ipv4.ip_default_ttl: 77}}
host: {{hostname: box7, timezone: Europe/Berlin, locale: C.UTF-8}}
services:
  job: {{command: [/usr/bin/sleep, infinity], user: worker}}
"""


def write(machine: Machine, text: str) -> None:
    machine.write(DOCUMENT, HEAD + text)


def apply(machine: Machine) -> tuple[int, str]:
    done = machine.run("ordainctl", "apply", check=False)
    return done.returncode, done.stdout + done.stderr


def assert_in_effect(machine: Machine) -> None:
    assert machine.run("id", "-nG", "alice").stdout == "alice crew\n"
    assert 1000 <= int(machine.run("id", "-u", "alice").stdout) < 60000
    assert int(machine.run("id", "-u", "worker").stdout) < 1000
    assert "/home/alice:/bin/bash" in machine.read("/etc/passwd")
    assert KEY in machine.read("/home/alice/.ssh/authorized_keys")
    stat = machine.run("stat", "-c", "%a %U %G", "/home/alice", "/home/alice/.ssh/authorized_keys").stdout
    assert stat == "700 alice alice\n600 alice alice\n"
    assert machine.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "1\n"
    assert machine.run("sysctl", "-n", "net.ipv4.ip_default_ttl").stdout == "77\n"
    assert machine.run("hostname").stdout == "box7\n"
    assert machine.run("date", "+%Z", "--date=2026-01-01").stdout == "CET\n"
    assert machine.show("job.service", "ActiveState")["ActiveState"] == "active"


def test_the_sections_take_effect_live_and_at_boot_and_are_undone(machine: Machine) -> None:
    machine.boot()
    machine.run("sysctl", "-w", "net.ipv4.ip_forward=0")
    write(machine, TEXT)

    status, text = apply(machine)
    assert status == 0, text
    assert_in_effect(machine)
    assert "LANG=C.UTF-8" in machine.run("systemctl", "show-environment").stdout

    machine.run("chmod", "777", "/home/alice")
    machine.run("chown", "root", "/home/alice/.ssh")
    status, text = apply(machine)
    assert status == 3, text
    assert "`chown alice:alice /home/alice/.ssh`" in text, "a user could put another directory there"
    machine.run("chown", "alice", "/home/alice/.ssh")
    status, text = apply(machine)
    assert status == 0, text
    assert_in_effect(machine)

    machine.power_cut()
    machine.boot()
    machine.until("job runs", lambda: machine.show("job.service", "ActiveState")["ActiveState"] == "active")
    assert_in_effect(machine)
    assert machine.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""

    write(machine, TEXT.replace("ip_default_ttl: 77", "ip_default_ttl: 78").replace(f'keys: ["{KEY}"], ', ""))
    status, text = apply(machine)
    assert status == 0, text
    assert machine.run("sysctl", "-n", "net.ipv4.ip_default_ttl").stdout == "78\n"
    assert not machine.path("/home/alice/.ssh").exists()

    write(machine, "services: {}\n")
    status, text = apply(machine)
    assert status == 0, text
    assert machine.read("/etc/hostname") == "machine\n"
    assert machine.run("hostname").stdout == "machine\n"
    assert not machine.path("/run/sysctl.d/99-q-ordain.conf").exists()
    assert machine.run("sysctl", "-n", "net.ipv4.ip_default_ttl").stdout == "64\n", "the value from before"
    assert machine.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "0\n", "the kernel asks for CAP_NET_ADMIN"
    assert machine.run("id", "-u", "alice").returncode == 0, "an account is never removed"


def passwd(machine: Machine, name: str) -> list[str]:
    return next(row for line in machine.read("/etc/passwd").splitlines() if (row := line.split(":"))[0] == name)


def test_an_existing_account_is_changed_and_restored(machine: Machine) -> None:
    machine.boot()
    machine.run("useradd", "--create-home", "--shell", "/bin/sh", "bob")
    machine.run("chmod", "0755", "/home/bob")
    write(machine, f'users: {{bob: {{shell: /bin/bash, groups: [adm], keys: ["{KEY}"]}}}}\n')

    status, text = apply(machine)

    assert status == 0, text
    assert passwd(machine, "bob")[6] == "/bin/bash"
    assert "adm" in machine.run("id", "-nG", "bob").stdout
    assert machine.run("stat", "-c", "%a", "/home/bob").stdout == "755\n", "the mode of an existing home is kept"
    assert KEY in machine.read("/home/bob/.ssh/authorized_keys")

    write(machine, "users: {bob: {state: absent}}\n")
    status, text = apply(machine)

    assert status == 0, text
    assert passwd(machine, "bob")[6] == "/bin/sh"
    assert machine.run("id", "-nG", "bob").stdout == "bob\n"
    assert "Jan 02, 1970" in machine.run("chage", "--list", "bob").stdout
    assert machine.path("/home/bob").exists()

    write(machine, f"users: {{bob: {{uid: {int(passwd(machine, 'bob')[2]) + 1}}}}}\n")
    status, text = apply(machine)

    assert status == 3, text
    assert "which never changes, as files belong to it" in text

    write(machine, "services: {}\n")
    status, text = apply(machine)

    assert status == 0, text
    assert "never" in machine.run("chage", "--list", "bob").stdout.splitlines()[3]
