"""A machine runs the services of its documents: at its first boot, and after edits, reboots and power cuts."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.machine import Machine, Machines

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

EXAMPLES = Path(__file__).parents[3] / "examples"
DOCUMENT = "/etc/ordain/documents/machine.yaml"
TEXT = """\
ordain: v1
kind: Layer
name: machine
services:
  nginx: {limits: {open-files: 4096}}
  ssh: {nice: 5}
  hello:
    command:
      - /usr/bin/python3
      - -c
      - |
        import http.server, os
        class Hello(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(os.environ["GREETING"].encode())
        http.server.HTTPServer(("127.0.0.1", 8080), Hello).serve_forever()
    environment: {GREETING: "first"}
    restart: on-failure
  once:
    command: [/usr/bin/touch, /run/once]
    type: oneshot
    remain: true
  tidy:
    command: [/usr/bin/find, /var/tmp, -mtime, "+30", -delete]
    schedule: {calendar: daily}
  clock:
    command:
      - /usr/bin/python3
      - -c
      - |
        import socket
        server = socket.socket(fileno=3)
        while True:
            client, _ = server.accept()
            client.sendall(b"noon")
            client.close()
    listen: {stream: "127.0.0.1:7777"}
mounts:
  /srv/scratch: {what: tmpfs, type: tmpfs, options: {size: 16M}}
"""
SERVICES = ("nginx", "ssh", "hello", "cron")


def answer(machine: Machine) -> str:
    """Return the answer of hello, or an empty text if there is none."""
    return machine.run("curl", "--silent", "--max-time", "2", "http://127.0.0.1:8080", check=False).stdout


def active(machine: Machine, unit: str) -> bool:
    """Return True if the unit is active."""
    return machine.show(unit, "ActiveState")["ActiveState"] == "active"


def says(machine: Machine, greeting: str) -> None:
    """Wait until hello answers with ``greeting``."""
    machine.until(f"hello says {greeting}", lambda: answer(machine) == greeting)


def processes(machine: Machine) -> dict[str, str]:
    """Return the process ids of `SERVICES`."""
    return {name: machine.show(f"{name}.service", "MainPID")["MainPID"] for name in SERVICES}


def settled(machine: Machine) -> None:
    """Wait until nothing is left to do."""
    machine.until("no plan", lambda: machine.run("ordainctl", "plan", "--exit-code", check=False).returncode == 0)


def greet(machine: Machine, greeting: str) -> None:
    """Edit the document so that hello answers ``greeting``."""
    machine.write(DOCUMENT, TEXT.replace('"first"', f'"{greeting}"'))


@pytest.fixture
def booted(machine: Machine) -> Machine:
    """Return a machine that runs the services of `TEXT`."""
    machine.write(DOCUMENT, TEXT)
    machine.boot()
    says(machine, "first")
    settled(machine)
    return machine


def test_everything_in_the_documents_takes_effect(booted: Machine) -> None:
    assert booted.wait_running() == "running", booted.run("systemctl", "--failed").stdout
    assert booted.show("nginx.service", "LimitNOFILE", "ActiveState") == {
        "LimitNOFILE": "4096",
        "ActiveState": "active",
    }
    assert booted.show("ssh.service", "Nice", "ActiveState") == {"Nice": "5", "ActiveState": "active"}
    assert booted.path("/run/once").exists()
    assert active(booted, "tidy.timer")
    assert not active(booted, "tidy.service")
    assert booted.run("findmnt", "--noheadings", "--output=FSTYPE,SIZE", "/srv/scratch").stdout.split() == [
        "tmpfs",
        "16M",
    ]


def test_a_socket_starts_its_service_at_the_first_connection(booted: Machine) -> None:
    assert active(booted, "clock.socket")
    assert not active(booted, "clock.service")

    call = "import socket; print(socket.create_connection(('127.0.0.1', 7777)).recv(9))"
    answered = booted.run("python3", "-c", call).stdout

    assert answered == "b'noon'\n"
    assert active(booted, "clock.service")


def test_an_edit_restarts_that_service_alone(booted: Machine) -> None:
    before = processes(booted)

    greet(booted, "second")
    says(booted, "second")

    after = processes(booted)
    assert {name for name in SERVICES if before[name] != after[name]} == {"hello"}


def test_systemctl_cat_names_the_line_of_the_document(booted: Machine) -> None:
    line = TEXT[: TEXT.index("environment")].count("\n") + 1

    text = booted.run("systemctl", "cat", "hello.service").stdout

    assert f"machine.yaml:{line}" in text


def test_a_broken_document_changes_nothing(booted: Machine) -> None:
    before = processes(booted)
    line = TEXT[: TEXT.index("remain")].count("\n") + 1

    booted.write(DOCUMENT, TEXT.replace("remain: true", "remain: perhaps"))
    booted.until("the error is logged", lambda: f"machine.yaml:{line}:" in booted.journal("--unit=ordain-agent"))

    assert processes(booted) == before


def test_a_reboot_starts_the_new_state(booted: Machine) -> None:
    greet(booted, "second")
    says(booted, "second")
    booted.until("it is proven", lambda: b"second" in booted.path("/etc/ordain/boot/current").read_bytes())

    booted.reboot()

    says(booted, "second")
    assert booted.wait_running() == "running"
    assert booted.show("hello.service", "NRestarts")["NRestarts"] == "0"


def test_a_machine_survives_a_power_cut_in_the_middle_of_an_apply(booted: Machine) -> None:
    greet(booted, "second")
    booted.power_cut()

    booted.boot()

    says(booted, "second")
    assert booted.wait_running() == "running"


def test_services_run_on_after_a_reboot_without_documents(booted: Machine) -> None:
    booted.until("it is proven", booted.path("/etc/ordain/boot/current").exists)
    booted.path(DOCUMENT).unlink()

    booted.reboot()

    says(booted, "first")


def test_two_machines_do_not_affect_each_other(machines: Machines) -> None:
    one, other = machines("bookworm"), machines("trixie")
    one.write(DOCUMENT, TEXT)
    other.write(DOCUMENT, TEXT.replace('"first"', '"other"'))
    one.boot()
    other.boot()

    says(one, "first")
    says(other, "other")
    one.power_cut()
    says(other, "other")


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="needs the source tree: this is a copy of tests/")
def test_the_examples_boot(machine: Machine) -> None:
    for example in sorted(EXAMPLES.glob("*.yaml")):
        machine.write(f"/etc/ordain/documents/{example.name}", example.read_bytes())
    machine.write("/etc/hostname", "web-1\n")  # the machine in nodes.yaml that has every role

    machine.boot()
    machine.until("hello answers", lambda: answer(machine) != "")

    assert machine.wait_running() == "running", machine.run("systemctl", "--failed").stdout
    settled(machine)
