"""Documents from a boot server, on booted machines: what is edited there happens here, and its faults do nothing."""

from __future__ import annotations

from typing import Any

import pytest

from rig.agent import layer, runs, sleeps, state, status, wait_active, wait_state, word
from rig.machine import Machine

pytestmark = pytest.mark.integration

SHELF = "/srv/documents"
SERVER = "server.service"
SOURCE = "ordain-source.service"
URL = "http://127.0.0.1:8080"
AGENT_YAML = "/etc/ordain/agent.yaml"


def shelve(machine: Machine, **services: str) -> None:
    machine.write(f"{SHELF}/base.yaml", layer(**services))


def serve(machine: Machine) -> None:
    """The reference server, in the machine itself: it has no network but its own."""
    command = ("ordainctl", "serve", SHELF)
    machine.run("systemd-run", f"--unit={SERVER}", "--service-type=exec", "--collect", "--quiet", *command)


def follow(machine: Machine, more: str = "") -> None:
    """Have the machine follow the server from its next boot on."""
    machine.write(
        AGENT_YAML, f'source: {{type: http, url: "{URL}/{{machine-id}}.yaml", interval: 1s{more}}}\ntrust: open\n'
    )


def source(machine: Machine) -> dict[str, Any]:
    found: dict[str, Any] = status(machine)["source"]
    return found


def wait_code(machine: Machine, code: str) -> None:
    """Wait until the agent shows the source's state as ``code``; "" is connected."""
    machine.until(f"the source is {code or 'connected'}", lambda: source(machine)["code"] == code, timeout=30)
    assert source(machine)["connected"] is (code == "")
    assert [c["code"] for c in status(machine)["conditions"] if c["code"] == code] == ([code] if code else [])


@pytest.fixture
def followed(machine: Machine) -> Machine:
    """A booted machine that runs what the server says."""
    follow(machine)
    shelve(machine, web=sleeps(), other=sleeps())
    machine.boot()
    serve(machine)
    wait_active(machine, "web.service", "other.service")
    wait_state(machine, "converged")
    return machine


def test_an_edit_at_the_server_reconfigures_the_service(followed: Machine) -> None:
    before = runs(followed, "web.service", "other.service")

    shelve(followed, web=sleeps("2"), other=sleeps())
    followed.until("web has the new word", lambda: "WORD=2" in word(followed))
    wait_active(followed, "web.service")

    assert runs(followed, "other.service")["other.service"] == before["other.service"]
    assert state(followed, SOURCE) == "active"
