"""The transformation database is rolled back with the configuration: a generation has what its transforms said."""

from __future__ import annotations

import json

import pytest

from rig.machine import Machine

pytestmark = pytest.mark.integration

DOCUMENTS = "/etc/ordain/documents"
LAYER = "ordain: v1\nkind: Layer\nname: base\nservices: {shop: {limits: {memory: 128M}}}\n"
TRANSFORM = "ordain: v1\nkind: Transform\nname: own\nservices: {shop: {unit: NAME.service}}\n"
UNIT = "[Service]\nExecStart=/usr/bin/sleep infinity\n"


def limit(machine: Machine, unit: str) -> str:
    return machine.show(f"{unit}.service", "MemoryMax")["MemoryMax"]


def test_a_rollback_brings_the_old_rows_back_and_a_bad_one_costs_only_its_users(machine: Machine) -> None:
    for name in ("old-shop", "new-shop"):
        machine.write(f"/usr/lib/systemd/system/{name}.service", UNIT)
    machine.write(f"{DOCUMENTS}/base.yaml", LAYER)
    machine.write(f"{DOCUMENTS}/own.yaml", TRANSFORM.replace("NAME", "old-shop"))
    machine.boot()
    machine.until("the old row holds", lambda: limit(machine, "old-shop") == str(128 << 20), timeout=60)

    machine.write(f"{DOCUMENTS}/own.yaml", TRANSFORM.replace("NAME", "new-shop"))
    machine.until("the new row holds", lambda: limit(machine, "new-shop") == str(128 << 20), timeout=60)
    assert limit(machine, "old-shop") == "infinity"

    machine.run("ordainctl", "rollback", "1")
    assert (limit(machine, "old-shop"), limit(machine, "new-shop")) == (str(128 << 20), "infinity")
    told = json.loads(machine.run("ordainctl", "explain", "--json", "services/shop/unit").stdout)
    (origin,) = told["origins"]
    assert (origin["value"], origin["layer"]) == ("old-shop.service", "own")

    # Back to the documents, one of which is wrong now: its user stays as it is, and what is new comes.
    machine.write(f"{DOCUMENTS}/own.yaml", TRANSFORM.replace("NAME.service", "[wrong]"))
    machine.write(f"{DOCUMENTS}/more.yaml", LAYER.replace("base", "more").replace("shop", "cron"))
    machine.until("the rest goes on", lambda: limit(machine, "cron") == str(128 << 20), timeout=60)
    assert limit(machine, "old-shop") == str(128 << 20)
    assert "BadTransform" in machine.run("ordainctl", "status", check=False).stdout
