"""Services by role, with several units, a socket to start and instances, on a booted Debian machine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rig.machine import Machine

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

UNITS = "/usr/lib/systemd/system"
DOCUMENT = "/etc/ordain/documents/base.yaml"
SERVICE = "[Service]\nExecStart=/usr/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
MACHINE = {
    "systemd-timesyncd.service": SERVICE,
    "cockpit.service": "[Service]\nExecStart=/usr/bin/sleep infinity\n",
    "cockpit.socket": "[Socket]\nListenStream=/run/cockpit-test.sock\n[Install]\nWantedBy=sockets.target\n",
    "openvpn-server@.service": "[Service]\nExecStart=/usr/bin/sleep infinity\n",
    "nfs-server.service": SERVICE,
    "nfs-idmapd.service": "[Service]\nExecStart=/usr/bin/sleep infinity\n",
    "nfs-mountd.service": "[Service]\nExecStart=/usr/bin/sleep infinity\n",
}
"""Units under the names of Debian's packages: what they run has no part in the test."""
SERVICES = {
    "time-sync": {"state": "running", "limits": {"tasks": 7}},
    "cockpit": {"state": "running"},
    "openvpn": {"state": "running", "instances": {"office": {"nice": 5}, "home": {}}},
    "nfs-server": {"state": "running"},
}


def ordainctl(machine: Machine, *words: str) -> Any:
    return json.loads(machine.run("ordainctl", *words, "--json", check=False, timeout=120).stdout)


def active(machine: Machine, *units: str) -> list[str]:
    return [unit for unit in units if machine.show(unit, "ActiveState")["ActiveState"] == "active"]


def test_a_role_passes_to_the_service_that_is_installed_and_all_units_of_a_service_run(machine: Machine) -> None:
    for name, text in MACHINE.items():
        machine.write(f"{UNITS}/{name}", text)
    document = {"ordain": "v1", "kind": "Layer", "name": "base", "services": SERVICES}
    machine.write(DOCUMENT, json.dumps(document))
    machine.boot()
    ordainctl(machine, "apply")

    instances = ("openvpn-server@home.service", "openvpn-server@office.service")
    nfs = ("nfs-server.service", "nfs-idmapd.service", "nfs-mountd.service")
    units = ("systemd-timesyncd.service", "cockpit.socket", *instances, *nfs)
    machine.until("all units run", lambda: active(machine, *units) == list(units), timeout=60)
    assert active(machine, "cockpit.service") == []
    assert machine.show(instances[1], "Nice") == {"Nice": "5"}
    assert machine.show("systemd-timesyncd.service", "TasksMax") == {"TasksMax": "7"}
    assert {row["unit"] for row in ordainctl(machine, "status")["units"]} >= {*units, "cockpit.service"}

    # Debian's package chrony conflicts with that of timesyncd. The agent sees the unit files change.
    replace_unit(machine, "systemd-timesyncd.service", "chrony.service")
    machine.until("chrony runs", lambda: active(machine, "chrony.service"), timeout=120)
    assert machine.show("chrony.service", "TasksMax") == {"TasksMax": "7"}
    shown = machine.run("ordainctl", "explain", "services/time-sync/provider").stdout
    assert "chrony" in shown, shown

    machine.run("systemctl", "stop", "ordain-agent.service")
    replace_unit(machine, "chrony.service", "systemd-timesyncd.service")
    plan = machine.run("ordainctl", "plan", check=False, timeout=120).stdout
    assert "systemd-timesyncd.service" in plan, plan
    assert "provider" in plan, plan
    ordainctl(machine, "apply")
    machine.until("timesyncd runs", lambda: active(machine, "systemd-timesyncd.service"), timeout=60)


def replace_unit(machine: Machine, old: str, new: str) -> None:
    machine.write(f"{UNITS}/{new}", SERVICE)
    machine.path(f"{UNITS}/{old}").unlink()
    machine.run("systemctl", "daemon-reload")
