"""Exclusive mode on booted machines: what the documents ordain runs, logins work, and nothing else."""

from __future__ import annotations

import json

import pytest

from rig.machine import Machine, Machines

pytestmark = pytest.mark.integration

DOCUMENT = "/etc/ordain/documents/machine.yaml"
ADDITIVE = """\
ordain: v1
kind: Layer
name: machine
services:
  nginx: {state: running}
  ssh: {state: stopped}
  hello: {command: [/bin/sleep, infinity]}
"""
EXCLUSIVE = ADDITIVE + "boot: {mode: exclusive}\n"
MARK = "[Service]\nExecStartPre=/usr/bin/touch /var/lib/cron-ran\n"
OURS = ("nginx.service", "hello.service", "ordain-agent.service")
BASE = ("systemd-journald.service", "systemd-logind.service", "dbus.service", "dbus.socket", "getty.target")


@pytest.fixture
def machine(machines: Machines, suite: str) -> Machine:
    """A machine whose cron leaves a mark whenever it starts."""
    machine = machines(suite)
    machine.write("/etc/systemd/system/cron.service.d/mark.conf", MARK)
    return machine


def active(machine: Machine, *units: str) -> dict[str, str]:
    lines = machine.run("systemctl", "is-active", *units, check=False).stdout.split()
    return dict(zip(units, lines, strict=True))


def running(machine: Machine, *units: str) -> bool:
    return set(active(machine, *units).values()) == {"active"}


def started(machine: Machine) -> set[str]:
    text = machine.run("systemctl", "list-units", "--state=active", "--output=json", "--type=service,timer,socket,path")
    return {unit["unit"] for unit in json.loads(text.stdout)}


def nobodys(machine: Machine) -> set[str]:
    """Units that run and are neither the machine's own nor the documents'."""
    # sshd-unix-local.socket is made by a generator of systemd's, in a boot that was not exclusive yet.
    own = (
        "ldconfig.",
        "sshd-unix-local.",
        "systemd-",
        "ordain-",
        "user@",
        "user-runtime-dir@",
        "getty@",
        "console-getty",
        "serial-getty@",
        "dbus",
        "kmod-",
    )
    return {unit for unit in started(machine) if not unit.startswith(own)} - {"nginx.service", "hello.service"}


def converged(machine: Machine) -> None:
    machine.until("the agent converged", lambda: status(machine)["state"] == "converged")


def status(machine: Machine) -> dict[str, object]:
    found: dict[str, object] = json.loads(machine.run("ordainctl", "status", "--json", check=False).stdout)
    return found


def test_an_exclusive_boot_starts_the_documents_and_no_more(machine: Machine) -> None:
    machine.write(DOCUMENT, EXCLUSIVE)
    machine.boot()
    machine.until("ours run", lambda: running(machine, *OURS))
    converged(machine)
    machine.run("rm", "-f", "/var/lib/cron-ran")

    # A package that comes now, and one more timer: no document knew of them.
    machine.write("/etc/systemd/system/new.service", "[Service]\nExecStart=/usr/bin/touch /var/lib/new-ran\n")
    machine.write("/etc/systemd/system/new.timer", "[Timer]\nOnActiveSec=1ms\n[Install]\nWantedBy=timers.target\n")
    machine.run("systemctl", "enable", "new.timer")
    machine.reboot()
    machine.until("ours run", lambda: running(machine, *OURS))
    converged(machine)

    assert machine.run("systemctl", "get-default").stdout.strip() == "ordain.target"
    assert active(machine, "ordain.target", "basic.target", "multi-user.target", "timers.target") == {
        "ordain.target": "active",
        "basic.target": "active",
        "multi-user.target": "inactive",
        "timers.target": "inactive",
    }
    assert running(machine, *BASE, "systemd-user-sessions.service")
    assert not machine.path("/run/nologin").exists()
    assert nobodys(machine) == set()
    assert not machine.path("/var/lib/cron-ran").exists()
    assert not machine.path("/var/lib/new-ran").exists()
    assert machine.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""
    assert "of the distribution kept out" in machine.run("ordainctl", "status").stdout
    assert "cron.service" in machine.run("ordainctl", "doctor", check=False).stdout


def test_the_mode_is_switched_live_and_back(machine: Machine) -> None:
    machine.write(DOCUMENT, ADDITIVE)
    machine.boot()
    machine.until("ours run", lambda: running(machine, *OURS, "cron.service", "multi-user.target"))
    converged(machine)
    before = machine.show("nginx.service", "InvocationID"), machine.show("dbus.service", "InvocationID")
    assert "cron.service" in machine.run("ordainctl", "doctor", check=False).stdout

    machine.write(DOCUMENT, EXCLUSIVE)
    machine.until("cron is kept out", lambda: active(machine, "cron.service")["cron.service"] == "inactive")
    converged(machine)
    assert nobodys(machine) == set()
    assert running(machine, *OURS, *BASE)

    machine.write(DOCUMENT, ADDITIVE)
    machine.until("cron is back", lambda: running(machine, "cron.service"))
    converged(machine)
    assert "apt-daily.timer" in started(machine)
    assert (machine.show("nginx.service", "InvocationID"), machine.show("dbus.service", "InvocationID")) == before
    assert machine.run("systemctl", "get-default").stdout.strip() != "ordain.target"


def test_isolate_adds_the_distribution_and_leaves_ours(machine: Machine) -> None:
    machine.write(DOCUMENT, EXCLUSIVE)
    machine.boot()
    machine.until("ours run", lambda: running(machine, *OURS))
    converged(machine)
    machine.reboot()
    machine.until("ours run", lambda: running(machine, *OURS))
    before = machine.show("hello.service", "InvocationID"), machine.show("ordain-agent.service", "InvocationID")

    machine.run("systemctl", "isolate", "multi-user.target")

    machine.until("the distribution's run", lambda: running(machine, "cron.service", "apt-daily.timer"))
    assert (
        machine.show("hello.service", "InvocationID"),
        machine.show("ordain-agent.service", "InvocationID"),
    ) == before
    assert running(machine, "nginx.service")


def test_what_would_lock_everybody_out_is_refused(machine: Machine) -> None:
    silent = EXCLUSIVE.replace("  ssh: {state: stopped}\n", "")
    machine.write(DOCUMENT, silent)
    machine.boot()
    machine.until("ours run", lambda: running(machine, *OURS, "cron.service"))

    plan = machine.run("ordainctl", "plan", check=False)
    assert "ssh.service, which lets admins in" in plan.stdout + plan.stderr
    machine.reboot()
    machine.until("the distribution's run", lambda: running(machine, "cron.service", "ssh.service"))


@pytest.mark.parametrize("state", ["stopped", "masked"])
def test_what_is_wanted_down_never_runs_at_boot(machine: Machine, state: str) -> None:
    held = f"ordain: v1\nkind: Layer\nname: machine\nservices: {{cron: {{state: {state}}}}}\n"
    machine.write(DOCUMENT, held)

    for _ in range(2):  # also in the first boot, which finds no generation
        machine.boot()
        machine.until("the distribution's run", lambda: running(machine, "multi-user.target", "ordain-agent.service"))
        converged(machine)
        assert active(machine, "cron.service") == {"cron.service": "inactive"}
        assert not machine.path("/var/lib/cron-ran").exists()
        machine.poweroff()
