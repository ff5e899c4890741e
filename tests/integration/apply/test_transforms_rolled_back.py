"""The transformation database is rolled back with the configuration, because a generation stores its rows."""

from __future__ import annotations

import json

import pytest

from rig.machine import Machine

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

DOCUMENTS = "/etc/ordain/documents"
LAYER = "ordain: v1\nkind: Layer\nname: base\nservices: {shop: {limits: {memory: 128M}}}\n"
TRANSFORM = "ordain: v1\nkind: Transform\nname: own\nservices: {shop: {unit: NAME.service}}\n"
UNIT = "[Service]\nExecStart=/usr/bin/sleep infinity\n"


def limit(machine: Machine, unit: str) -> str:
    return machine.show(f"{unit}.service", "MemoryMax")["MemoryMax"]


def test_a_rollback_restores_the_old_rows_and_a_bad_row_blocks_only_its_services(machine: Machine) -> None:
    for name in ("old-shop", "new-shop"):
        machine.write(f"/usr/lib/systemd/system/{name}.service", UNIT)
    machine.write(f"{DOCUMENTS}/base.yaml", LAYER)
    machine.write(f"{DOCUMENTS}/own.yaml", TRANSFORM.replace("NAME", "old-shop"))
    machine.boot()
    machine.until("the old row is in effect", lambda: limit(machine, "old-shop") == str(128 << 20), timeout=60)

    machine.write(f"{DOCUMENTS}/own.yaml", TRANSFORM.replace("NAME", "new-shop"))
    machine.until("the new row is in effect", lambda: limit(machine, "new-shop") == str(128 << 20), timeout=60)
    assert limit(machine, "old-shop") == "infinity"

    machine.run("ordainctl", "rollback", "1")
    assert (limit(machine, "old-shop"), limit(machine, "new-shop")) == (str(128 << 20), "infinity")
    explained = json.loads(machine.run("ordainctl", "explain", "--json", "services/shop/unit").stdout)
    (origin,) = explained["origins"]
    assert (origin["value"], origin["layer"]) == ("old-shop.service", "own")

    # The documents are followed again, and one has an error now: its service stays as it is, a new service is applied.
    machine.write(f"{DOCUMENTS}/own.yaml", TRANSFORM.replace("NAME.service", "[wrong]"))
    machine.write(f"{DOCUMENTS}/more.yaml", LAYER.replace("base", "more").replace("shop", "cron"))
    machine.until("the new service is applied", lambda: limit(machine, "cron") == str(128 << 20), timeout=60)
    assert limit(machine, "old-shop") == str(128 << 20)
    assert "BadTransform" in machine.run("ordainctl", "status", check=False).stdout
