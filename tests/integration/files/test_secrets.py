"""Secrets on booted machines: a missing secret delays only its own unit, and a new one restarts it."""

from __future__ import annotations

import pytest

from rig.machine import Machine
from rig.machine_agent import active_state, agent_status, invocations, sleep_service, wait_active, write_layer

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

FILE = "/etc/credstore/db"
WEB = f"{{command: [/usr/bin/sleep, infinity], credentials: {{db: {{file: {FILE}}}}}}}"
SECRETS = ("correct-horse", "battery-staple")


def codes(machine: Machine) -> list[str]:
    return [condition["code"] for condition in agent_status(machine)["conditions"]]


def test_a_secret_is_added_and_changed_and_never_shown(machine: Machine) -> None:
    write_layer(machine, web=WEB, other=sleep_service())
    machine.boot()
    wait_active(machine, "other.service")
    machine.until("the missing secret is reported", lambda: "CredentialMissing" in codes(machine))
    assert active_state(machine, "web.service") == "inactive"

    machine.write(FILE, SECRETS[0], mode=0o600)
    wait_active(machine, "web.service")
    machine.until("nothing is missing", lambda: "CredentialMissing" not in codes(machine))
    before = invocations(machine, "web.service", "other.service")
    machine.until(
        "the hash of the secret is recorded",
        lambda: "web.service" in machine.run("cat", "/run/ordain/credentials.json", check=False).stdout,
    )

    machine.write(FILE, SECRETS[1], mode=0o600)
    machine.until(
        "web was restarted", lambda: invocations(machine, "web.service") != {"web.service": before["web.service"]}
    )
    wait_active(machine, "web.service")
    assert invocations(machine, "other.service")["other.service"] == before["other.service"]

    shown = machine.journal("--lines=all") + machine.run("cat", "/run/ordain/status.json").stdout
    shown += machine.run("ordainctl", "status", "--json").stdout + machine.run("ordainctl", "diff", "1", "2").stdout
    shown += (
        machine.run("systemctl", "cat", "web.service").stdout + machine.run("ordainctl", "history", "--json").stdout
    )
    shown += machine.run("grep", "-rhaE", "x", "/var/lib/ordain", "/etc/ordain", "/run/ordain").stdout
    assert not any(secret in shown for secret in SECRETS)


HIDDEN = """ordain: v1
kind: Layer
name: base
values: {word: hunter2}
files:
  /etc/app/secret.conf: {content: "password=hunter2", mode: "0600"}
  /etc/app/template.conf: {template: "password={{ values.word }}", mode: "0600"}
"""
PLACES = ("/etc/ordain", "/var/lib/ordain", "/run/ordain", "/run/systemd", "/etc/app")


def found_by_nobody(machine: Machine) -> str:
    nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    return machine.run(*nobody, "grep", "-rlsa", "hunter2", *PLACES, check=False).stdout


def test_contents_of_files_are_for_root_alone_also_after_an_upgrade(machine: Machine) -> None:
    machine.write("/etc/ordain/documents/base.yaml", HIDDEN)
    machine.boot()
    machine.until("the file is placed", lambda: machine.path("/etc/app/template.conf").exists())
    machine.until("the generation is proven", lambda: machine.path("/etc/ordain/boot/current").exists())
    assert machine.read("/etc/app/template.conf") == "password=hunter2"
    assert found_by_nobody(machine) == ""
    assert machine.run("grep", "-rlsa", "hunter2", *PLACES).stdout.count("\n") >= 4  # there is something to find

    # The modes that older versions used.
    machine.run("chmod", "-R", "a+rX", "/etc/ordain", "/var/lib/ordain", "/run/ordain")
    assert found_by_nobody(machine) != ""
    machine.run("dpkg-reconfigure", "--frontend=noninteractive", "ordain")  # its postinst restarts the agent
    machine.run("systemctl", "restart", "ordain-agent.service")
    assert found_by_nobody(machine) == ""
