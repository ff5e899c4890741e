"""A booted machine tells what was changed: explain, history and the journal."""

from __future__ import annotations

import json

import pytest

from rig.machine import Machine
from rig.machine_agent import agent_status, wait_agent_state

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]
DOCUMENT = "/etc/ordain/documents/machine.yaml"
HELLO = """\
ordain: v1
kind: Layer
name: machine
services:
  hello:
    command: /bin/sleep 1000
    limits: {memory: 64M}
files:
  /etc/motd: {content: ours}
"""


@pytest.fixture
def followed(machine: Machine) -> Machine:
    """Return a machine that runs what `HELLO` says."""
    machine.write(DOCUMENT, HELLO)
    machine.boot()
    wait_agent_state(machine, "converged")
    return machine


def columns(machine: Machine, pointer: str) -> list[str]:
    """Return the line of ``explain`` for a pointer, in words."""
    output = machine.run("ordainctl", "explain", pointer).stdout
    return next(line.split() for line in output.splitlines() if line.startswith(f"{pointer} "))


def wait_generation(machine: Machine, number: int) -> None:
    machine.until(f"generation {number}", lambda: agent_status(machine)["generation"] == number)
    wait_agent_state(machine, "converged")


def test_explain_shows_the_value_of_the_machine(followed: Machine) -> None:
    assert columns(followed, "services/hello/limits/memory")[-2:] == ["64M", str(64 << 20)]
    assert columns(followed, "files/~1etc~1motd/content")[-2:] == ["as", "wanted"]

    followed.run("systemctl", "set-property", "--runtime", "hello.service", "MemoryMax=32M")
    assert columns(followed, "services/hello/limits/memory")[-1] == str(32 << 20)
    followed.write("/etc/motd", "theirs")
    assert columns(followed, "files/~1etc~1motd/content")[-1] != "wanted"


def test_the_journal_of_a_unit_says_that_ordain_changed_it_and_why(followed: Machine) -> None:
    followed.write(DOCUMENT, HELLO.replace("1000", "2000"))
    wait_generation(followed, 2)
    followed.write(DOCUMENT, HELLO.replace("1000", "2000").replace("64M", "96M"))
    wait_generation(followed, 3)

    lines = followed.run("journalctl", "-u", "hello.service", "-o", "cat").stdout
    assert "restart hello.service: " in lines
    assert "1000 → " in lines
    assert "machine.yaml:6 services/hello/command" in lines
    assert "change hello.service without a restart: [Service] MemoryMax: 64M → 96M" in lines
    followed.write(DOCUMENT, HELLO.replace("ours", "new"))
    wait_generation(followed, 4)
    agent = followed.run("journalctl", "-b", "-t", "ordain-agent", "-o", "cat").stdout
    assert "change /etc/motd: line 1: ours → new (machine.yaml:9 files/~1etc~1motd/content)" in agent


def test_the_history_shows_jobs_files_the_author_and_a_rollback(followed: Machine) -> None:
    followed.write(DOCUMENT, HELLO.replace("1000", "2000").replace("ours", "new"))
    wait_generation(followed, 2)
    followed.run("ordainctl", "rollback", "1")
    assert agent_status(followed)["state"] == "paused"
    assert agent_status(followed)["generation"] == 1

    rows = followed.run("ordainctl", "history").stdout.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["1", "2", "1"]
    assert "restart hello.service, place /etc/motd; from machine.yaml (root)" in rows[1]
    assert "in force" in rows[2]
    assert "rolled back to 1: restart hello.service, place /etc/motd" in rows[2]
    printed = json.loads(followed.run("ordainctl", "history", "--json").stdout)
    assert [row["in_force"] for row in printed] == [False, False, True]

    followed.run("ordainctl", "follow")
    wait_generation(followed, 2)


def test_a_unit_that_an_administrator_stopped_follows_again(followed: Machine) -> None:
    followed.run("systemctl", "stop", "hello.service")
    wait_agent_state(followed, "degraded")

    followed.run("ordainctl", "follow", "hello")
    wait_agent_state(followed, "converged")
    assert followed.show("hello.service", "ActiveState")["ActiveState"] == "active"


def test_apply_of_a_file_needs_a_flag_to_stop_services(followed: Machine) -> None:
    followed.write("/srv/other.yaml", "ordain: v1\nkind: Layer\nname: o\nservices: {other: {command: sleep 1000}}\n")

    refused = followed.run("ordainctl", "apply", "/srv/other.yaml", check=False)
    assert refused.returncode == 1
    assert "services/hello: stops hello.service" in refused.stderr
    assert "files /etc/motd" in refused.stderr
    assert followed.show("hello.service", "ActiveState")["ActiveState"] == "active"

    followed.run("ordainctl", "apply", "--remove", "/srv/other.yaml")
    assert followed.show("hello.service", "ActiveState")["ActiveState"] == "inactive"
    assert "Paused" in {condition["code"] for condition in agent_status(followed)["conditions"]}
    followed.run("ordainctl", "follow")
    wait_agent_state(followed, "converged")
    assert followed.show("hello.service", "ActiveState")["ActiveState"] == "active"
