"""ordain-source.service on booted machines: it reaches neither the bus nor files that it does not need."""

from __future__ import annotations

import pytest

from rig.machine import Machine
from rig.machine_agent import DOCUMENTS, layer, sleep_service, wait_active

pytestmark = pytest.mark.integration

UNIT = "/usr/lib/systemd/system/ordain-source.service"
FORBIDDEN = (
    "/run/dbus",
    "/etc/ordain/boot",
    "/etc/ordain/documents",
    "/var/lib/ordain",
    "/run/ordain/boot",
    "/root",
    "/home",
)
PROBE = f"""
for path in {" ".join(FORBIDDEN)}; do ls "$path"/* >/dev/null 2>&1 && echo "reached $path"; done
busctl --system list >/dev/null 2>&1 && echo reached the bus
systemctl is-system-running 2>&1 | grep -q -e running -e degraded && echo reached systemd
touch /etc/x /run/x /var/lib/x /usr/x 2>/dev/null && echo wrote
touch /run/ordain-source/x /var/lib/ordain-source/x && cat /etc/ordain/agent.yaml >/dev/null && echo works
"""


def probe(machine: Machine, text: str) -> str:
    """Return the output of `PROBE` in a unit of this text, with another program."""
    machine.write("/root/probe.sh", PROBE)
    machine.write("/usr/local/lib/probe.sh", PROBE)
    lines = [
        line for line in text.splitlines() if not line.startswith(("ExecStart=", "Type=", "WatchdogSec=", "Restart="))
    ]
    at = lines.index("[Service]") + 1
    lines[at:at] = ["Type=oneshot", "ExecStart=/bin/sh /usr/local/lib/probe.sh"]
    machine.write("/run/systemd/system/probe.service", "\n".join(lines) + "\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "probe.service")
    return machine.run("journalctl", "--unit=probe.service", "--output=cat", "_TRANSPORT=stdout").stdout


def test_the_source_reaches_neither_the_bus_nor_files_of_others(machine: Machine) -> None:
    machine.write("/etc/ordain/agent.yaml", "labels: {a: b}\n")
    machine.write(f"{DOCUMENTS}/base.yaml", layer(web=sleep_service()))
    machine.boot()
    wait_active(machine, "web.service")
    machine.until("the generation is proven", lambda: machine.path("/etc/ordain/boot/current").exists())
    text = machine.read(UNIT)

    assert probe(machine, text).split("\n")[:-1] == ["works"]

    # Without its sandbox the same user reaches the bus: the probe can tell.
    bare = "".join(line for line in text.splitlines(True) if not line.startswith("InaccessiblePaths="))
    assert "reached the bus" in probe(machine, bare)
