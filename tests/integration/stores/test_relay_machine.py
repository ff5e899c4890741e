"""A booted machine behind two relays: releases, turns, secrets, its identity and its reports go through them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rig.machine import Machine
from rig.machine_agent import (
    agent_status,
    environment,
    invocations,
    layer,
    service_with_secret,
    sleep_service,
    wait_active,
    wait_agent_state,
    wait_secret,
)
from rig.stores.etcd_in_machine import URL, place_etcd, start_etcd

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

STORE = f"etcd+{URL}/ordain/"
AGENT_YAML = 'source: {type: relay, endpoints: ["http://127.0.0.1:8081", "http://127.0.0.1:8082"]}\n'
FOLDER = "/srv/release"
DOCUMENTS = f"{FOLDER}/documents"
PATIENCE_SEC = 120
RELAY = "ordain-relay.service"
REPORTS = "/var/lib/ordain-relay/relay/reports"


def start_relay(machine: Machine, number: int) -> None:
    """Start a relay: the first one as a command, the second one as the package has it, with a file of root."""
    if number == 2:
        machine.write("/etc/ordain/relay/tokens", "", mode=0o600)
        options = f"--name relay2 --listen 127.0.0.1:8082 --tokens /run/credentials/{RELAY}/relay_tokens"
        machine.write("/etc/ordain/relay/options", f"STORE={STORE}\nOPTIONS={options}\n", mode=0o600)
        machine.run("systemctl", "start", RELAY)
        return
    command = ("ordainctl", "serve", "--store", STORE, "--state", f"/var/lib/relay{number}")
    more = ("--name", f"relay{number}", "--listen", f"127.0.0.1:808{number}")
    unit = f"--unit=relay{number}.service"
    machine.run("systemd-run", unit, "--service-type=exec", "--collect", "--quiet", *command, *more)


@pytest.fixture
def behind(etcd_here: None, machine: Machine) -> Machine:
    """Return a machine with a store and two relays, which has release 1."""
    place_etcd(machine)
    machine.write("/etc/ordain/agent.yaml", AGENT_YAML)
    machine.write(f"{DOCUMENTS}/base.yaml", layer(web=sleep_service(), other=sleep_service()))
    machine.boot()
    start_etcd(machine)
    for number in (1, 2):
        start_relay(machine, number)
    machine.run("ordainctl", "release", "keygen", f"{FOLDER}/ops")
    machine.run("install", "-D", "-m", "644", f"{FOLDER}/ops.pub", "/etc/ordain/trust/ops.pub")
    release(machine)
    wait_release(machine, "stable 1")
    wait_active(machine, "web.service", "other.service")
    wait_agent_state(machine, "converged")
    return machine


def on_store(machine: Machine, *words: str) -> str:
    return machine.run("ordainctl", *words, "--store", STORE).stdout


def release(machine: Machine, *more: str) -> None:
    """Publish the current documents under the next number."""
    file = f"{FOLDER}/r.json"
    words = ("release", "create", DOCUMENTS, "--key", f"{FOLDER}/ops.key", "--output", file, *more)
    on_store(machine, *words)
    on_store(machine, "release", "publish", file, DOCUMENTS)


def source(machine: Machine) -> dict[str, Any]:
    status: dict[str, Any] = agent_status(machine)["source"]
    return status


def wait_release(machine: Machine, wanted: str) -> None:
    machine.until(f"release {wanted} is accepted", lambda: source(machine)["release"] == wanted, timeout=PATIENCE_SEC)


def fleet(machine: Machine) -> list[dict[str, Any]]:
    words = ("ordainctl", "fleet", "status", "--json", "--store", STORE)
    reports: list[dict[str, Any]] = json.loads(machine.run(*words, check=False).stdout)
    return reports


def test_a_machine_behind_two_relays_lives_as_beside_the_store(behind: Machine) -> None:
    before = invocations(behind, "other.service")
    enroll(behind)
    machine_reports_behind(behind, "relay")

    # A release that one machine may apply at a time: the slot is taken and left through a relay.
    behind.write(f"{DOCUMENTS}/base.yaml", layer(web=sleep_service("2"), other=sleep_service()))
    release(behind, "--max-parallel", "1")
    wait_release(behind, "stable 2")
    behind.until("web has the new word", lambda: "WORD=2" in environment(behind))
    behind.until("the slot is free", lambda: slots(behind) == "", timeout=PATIENCE_SEC)

    command = ("ordainctl", "secret", "seal", "--for", "role=web", "--store", STORE, "db")
    behind.write(f"{DOCUMENTS}/secret.yaml", behind.run(*command, stdin="sesame").stdout)
    behind.write(f"{DOCUMENTS}/base.yaml", layer(web=service_with_secret("db"), other=sleep_service()))
    release(behind)
    wait_secret(behind, "sesame")

    # One of the relays dies.
    behind.run("systemctl", "kill", "--signal=KILL", "relay1.service")
    behind.write(f"{DOCUMENTS}/base.yaml", layer(web=sleep_service("4"), other=sleep_service()))
    release(behind)
    wait_release(behind, "stable 4")
    machine_reports_behind(behind, "relay2")

    # The other one is cut off from the store, and starts again.
    behind.run("systemctl", "stop", "etcd.service")
    behind.run("systemctl", "stop", RELAY)
    start_relay(behind, 2)
    behind.run("systemctl", "restart", "ordain-source.service")
    behind.until(
        "the machine knows that its relay is cut off",
        lambda: (now := source(behind))["connected"] and now["code"] == "SourceServerFailed",
        timeout=300,
    )
    assert source(behind)["release"] == "stable 4"
    assert "WORD=4" in environment(behind)
    seen = behind.run("cat", "/run/ordain/status.json").stdout
    behind.run("systemctl", "stop", "other.service")  # a change to report
    behind.until("the change is in the report", lambda: behind.run("cat", "/run/ordain/status.json").stdout != seen)
    behind.run("systemctl", "start", "other.service")
    behind.until("the report waits", lambda: behind.run("ls", REPORTS).stdout != "",
                 timeout=PATIENCE_SEC)  # fmt: skip
    start_etcd(behind)
    behind.until("the report is in the store", lambda: behind.run("ls", REPORTS).stdout == "",
                 timeout=PATIENCE_SEC)  # fmt: skip
    assert invocations(behind, "other.service") != before
    (report,) = fleet(behind)
    assert report["behind"] == "relay2"


def enroll(machine: Machine) -> None:
    """Enroll the machine through its relays."""
    machine.write(f"{FOLDER}/token", on_store(machine, "fleet", "token", "--label", "role=web"))
    command = ("ordainctl", "fleet", "enroll", "--token-file", f"{FOLDER}/token")
    machine.until("the relay has the record of the fleet", lambda: machine.run(*command, check=False).returncode == 3)
    assert "enrolled, token" in on_store(machine, "fleet", "approve", "--vouched")
    assert "is enrolled" in machine.run("ordainctl", "fleet", "enroll", "--wait", "1min").stdout


def machine_reports_behind(machine: Machine, relay: str) -> None:
    machine.until(
        f"the report has come by {relay}",
        lambda: [report["behind"].startswith(relay) for report in fleet(machine)] == [True],
        timeout=PATIENCE_SEC,
    )


def slots(machine: Machine) -> str:
    """Return the slots in the store."""
    body = json.dumps({"key": "L29yZGFpbi9sb2Nrcy8=", "range_end": "L29yZGFpbi9sb2NrczA=", "keys_only": True})
    program = (
        f"import json, urllib.request as u; r = u.Request('{URL}/v3/kv/range', data={body.encode()!r});"
        "print(json.load(u.urlopen(r)).get('kvs', ''), end='')"
    )
    return machine.run("python3", "-c", program).stdout
