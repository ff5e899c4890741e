"""A booted machine follows signed releases in its own etcd, rolls one back, and refuses all others."""

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

AGENT_YAML = f'source: {{type: etcd, endpoints: ["{URL}"]}}\n'
FOLDER = "/srv/release"
DOCUMENTS = f"{FOLDER}/documents"


@pytest.fixture
def released(etcd_here: None, machine: Machine) -> Machine:
    """Return a machine with etcd, a key that it trusts, and release 1."""
    place_etcd(machine)
    machine.write("/etc/ordain/agent.yaml", AGENT_YAML)
    machine.write(f"{DOCUMENTS}/base.yaml", layer(web=sleep_service(), other=sleep_service()))
    machine.boot()
    start_etcd(machine)
    ordainctl(machine, "release", "keygen", f"{FOLDER}/ops")
    machine.run("mkdir", "-p", "/etc/ordain/trust")
    machine.run("cp", f"{FOLDER}/ops.pub", "/etc/ordain/trust/")
    release(machine)
    wait_release(machine, "stable 1")
    wait_active(machine, "web.service", "other.service")
    wait_agent_state(machine, "converged")
    return machine


def ordainctl(machine: Machine, *words: str) -> str:
    return machine.run("ordainctl", *words).stdout


def release(machine: Machine, *more: str) -> None:
    """Publish the current documents under the next number."""
    file = f"{FOLDER}/r.json"
    ordainctl(machine, "release", "create", DOCUMENTS, "--key", f"{FOLDER}/ops.key", "--output", file, *more)
    ordainctl(machine, "release", "publish", file, DOCUMENTS)


def source(machine: Machine) -> dict[str, Any]:
    status: dict[str, Any] = agent_status(machine)["source"]
    return status


def wait_release(machine: Machine, wanted: str) -> None:
    machine.until(f"release {wanted} is accepted", lambda: source(machine)["release"] == wanted, timeout=60)


def wait_code(machine: Machine, wanted: str) -> None:
    machine.until(f"the source is {wanted}", lambda: source(machine)["code"] == wanted, timeout=60)


def fleet(machine: Machine) -> list[dict[str, Any]]:
    reports: list[dict[str, Any]] = json.loads(
        machine.run("ordainctl", "fleet", "status", "--json", check=False).stdout
    )
    return reports


def test_releases_are_followed_rolled_back_with_a_new_number_and_reported(released: Machine) -> None:
    before = invocations(released, "other.service")
    released.write(f"{DOCUMENTS}/base.yaml", layer(web=sleep_service("2"), other=sleep_service()))
    release(released)
    wait_release(released, "stable 2")
    released.until("web has the new word", lambda: "WORD=2" in environment(released))

    ordainctl(released, "release", "promote", "stable/1", "stable", "--key", f"{FOLDER}/ops.key")

    wait_release(released, "stable 3")
    released.until("web has the old word", lambda: "WORD=1" in environment(released))
    assert invocations(released, "other.service") == before
    released.until(
        "the store has the report", lambda: [r["release"]["number"] for r in fleet(released)] == [3], timeout=60
    )
    (report,) = fleet(released)
    assert report["units"]["web.service"]["state"] == "active"
    assert report["facts"]["systemd"] > 250
    assert "stable 3" in ordainctl(released, "fleet", "status")
    take_the_first_release_of_another_channel_in_its_turn(released)
    enroll(released)
    take_a_sealed_secret(released)


def take_the_first_release_of_another_channel_in_its_turn(machine: Machine) -> None:
    """Have a rollout to nobody, in which the machine stays as it is, and then to everybody."""
    before = invocations(machine, "other.service")
    release(machine, "--channel", "canary", "--number", "1", "--stages", "0%,100%")
    machine.write("/etc/ordain/agent.yaml", f"{AGENT_YAML}labels: {{channel: canary}}\n")

    why = "the rollout is at 0% of the machines"
    machine.until(
        "the machine waits for its turn, without a fault",
        lambda: (now := source(machine))["waiting"] == why and now["connected"],
        timeout=60,
    )
    assert invocations(machine, "other.service") == before
    ordainctl(machine, "release", "rollout", "canary", "--open", "100%", "--once")

    wait_release(machine, "canary 1")
    machine.write("/etc/ordain/agent.yaml", AGENT_YAML)
    wait_release(machine, "stable 3")
    assert invocations(machine, "other.service") == before


def enroll(machine: Machine) -> None:
    """Enroll the machine, and have it change its key: only its own reports count, and they arrive both times."""
    machine.write(f"{FOLDER}/token", ordainctl(machine, "fleet", "token", "--label", "role=web"))
    waiting = machine.run("ordainctl", "fleet", "enroll", "--token-file", f"{FOLDER}/token", check=False)
    assert waiting.returncode == 3, waiting.stderr
    ordainctl(machine, "fleet", "identity", "--require")
    assert fleet(machine) == [], "the machine is not enrolled yet"
    assert "enrolled, token" in ordainctl(machine, "fleet", "approve", "--vouched")
    machine.until("a signed report counts", lambda: len(fleet(machine)) == 1, timeout=90)
    first = fleet(machine)[0]["sequence"]
    assert first > 0

    waiting = machine.run("ordainctl", "fleet", "enroll", "--new-key", check=False)
    assert waiting.returncode == 3, waiting.stderr
    name, _, key = waiting.stdout.split("ordainctl fleet approve ")[1].split()
    assert "compared the key" in ordainctl(machine, "fleet", "approve", name, "--key", key)
    assert fleet(machine) == [], "the report has the signature of the old key"
    assert "is enrolled" in ordainctl(machine, "fleet", "enroll")
    machine.until("a report with the new key counts", lambda: len(fleet(machine)) == 1, timeout=90)
    assert fleet(machine)[0]["sequence"] > first


def take_a_sealed_secret(machine: Machine) -> None:
    """Release a secret for the machines with the label of this one: only its service gets it."""
    command = ("ordainctl", "secret", "seal", "--for", "role=web", "db")
    machine.write(f"{DOCUMENTS}/secret.yaml", machine.run(*command, stdin="sesame").stdout)
    machine.write(f"{DOCUMENTS}/base.yaml", layer(web=service_with_secret("db"), other=sleep_service()))
    release(machine)
    wait_secret(machine, "sesame")
    assert source(machine)["release"] == "stable 4"


def test_an_unsigned_release_is_refused_and_a_release_with_a_new_key_is_accepted(released: Machine) -> None:
    before = invocations(released, "web.service", "other.service")
    put = ("ordainctl", "release", "publish", f"{FOLDER}/evil.json", DOCUMENTS)

    released.write(f"{DOCUMENTS}/base.yaml", layer(web=sleep_service("evil")))
    ordainctl(released, "release", "create", DOCUMENTS, "--output", f"{FOLDER}/evil.json")
    released.run(*put)
    wait_code(released, "VerifyFailed")
    assert "is not signed" in source(released)["problem"]
    assert invocations(released, "web.service", "other.service") == before

    released.run("rm", "/etc/ordain/trust/ops.pub")
    ordainctl(released, "release", "keygen", "/etc/ordain/trust/new")
    file = f"{FOLDER}/3.json"
    key = "/etc/ordain/trust/new.key"
    released.write(f"{DOCUMENTS}/base.yaml", layer(web=sleep_service("3"), other=sleep_service()))
    ordainctl(released, "release", "create", DOCUMENTS, "--number", "3", "--key", key, "--output", file)
    ordainctl(released, "release", "publish", file, DOCUMENTS)
    wait_release(released, "stable 3")
    released.until("web has the new word", lambda: "WORD=3" in environment(released))
    assert source(released)["code"] == ""


def test_a_release_that_fails_is_rolled_back_and_reported(released: Machine) -> None:
    released.write(f"{DOCUMENTS}/base.yaml", layer(web="{command: [/usr/bin/false]}", other=sleep_service()))

    release(released, "--max-parallel", "1")

    wait_agent_state(released, "rolled-back")
    wait_active(released, "web.service")
    released.until(
        "the store has the report", lambda: [r["phase"] for r in fleet(released)] == ["rolled-back"], timeout=60
    )
    assert fleet(released)[0]["release"]["number"] == 2
