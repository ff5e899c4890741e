"""Random edits over the whole language, and random acts of an administrator, on a booted machine.

After each step all reports are held against each other (`support.outputs.reports`). They may say that something is
wrong, but never two different things.
"""

from __future__ import annotations

import json
import random
import time
from typing import Any

import pytest

from rig.machine import Machine
from rig.machine_agent import DOCUMENTS, wait_agent_state
from support.outputs.reports import PROPERTIES, disagreements
from support.samples.random_documents import edited

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]
AGENT = ("org.ordain.Agent1", "/org/ordain/Agent1", "org.ordain.Agent1")
STEPS = 12
AGREE_SEC = 40.0
"""The longest time until the reports agree: applies take some, and `drift: enforce` waits ten seconds."""


def act(machine: Machine, draw: random.Random) -> str:
    """Do something that an administrator does, and return it."""
    unit = f"{draw.choice('abc')}.service"
    words = draw.choice(
        [
            f"systemctl stop {unit}",
            f"systemctl start {unit}",
            f"systemctl kill --signal=KILL {unit}",
            f"ordainctl hold {unit}",
            f"ordainctl unhold {unit}",
            f"ordainctl follow {unit}",
            "ordainctl rollback",
            "ordainctl pause",
            "ordainctl follow",
            "ordainctl follow",
            "ordainctl apply",
            "sysctl -qw net.ipv4.ip_forward=0",
            "echo theirs >/etc/ordain-test/one",
            "rm -f /etc/ordain-test/two",
            "hostname four",
            "umount /srv/t",
            "systemctl daemon-reload",
            f"echo 'services: {{x: [' >{DOCUMENTS}/broken.yaml",
            f"rm -f {DOCUMENTS}/broken.yaml",
            f"rm -f {DOCUMENTS}/broken.yaml; ordainctl follow",
        ]
    )
    machine.run("bash", "-c", f"mkdir -p /etc/ordain-test; {words}", check=False)
    return words


def reports(machine: Machine) -> dict[str, Any]:
    """Return all reports about the machine."""
    shown = machine.run("ordainctl", "status", "--json", check=False)
    properties = {
        name: json.loads(machine.run("busctl", "--json=short", "get-property", *AGENT, name).stdout)["data"]
        for name in (*PROPERTIES, "Conditions", "Drift")
    }
    planned = machine.run("ordainctl", "plan", "--exit-code", "--json", check=False)
    return {
        "status": json.loads(shown.stdout),
        "exit": shown.returncode,
        "properties": properties,
        "plan": planned.returncode,
        "planned": planned.stdout[:2000] if planned.returncode == 7 else "",
        "history": json.loads(machine.run("ordainctl", "history", "--json").stdout),
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_all_reports_agree_after_random_edits_and_acts(machine: Machine, seed: int) -> None:
    draw = random.Random(seed)
    document: dict[str, Any] = {"services": {"a": {"command": "sleep 1000000"}}}
    write(machine, document)
    machine.boot()
    wait_agent_state(machine, "converged")
    steps = []
    for _ in range(STEPS):
        if draw.random() < 0.6:
            document = edited(document, draw)
            write(machine, document)
            steps.append(json.dumps(document))
        else:
            steps.append(act(machine, draw))
        until = time.monotonic() + AGREE_SEC
        while wrong := list(disagreements(found := reports(machine))):
            assert time.monotonic() < until, (wrong, steps, found["status"]["conditions"])
            time.sleep(0.5)


def write(machine: Machine, document: dict[str, Any]) -> None:
    text = json.dumps({"ordain": "v1", "kind": "Layer", "name": "model", **document})
    machine.write(f"{DOCUMENTS}/model.json", text)
