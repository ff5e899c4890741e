"""The score of the sandbox levels in `systemd-analyze security`, with daemons that work within them."""

from __future__ import annotations

import re

import pytest

from rig.machine import Machine
from rig.machine_agent import apply, pause

pytestmark = pytest.mark.integration


def server(port: int, **more: object) -> dict[str, object]:
    command = ["/usr/bin/python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", "/usr/share", str(port)]
    health = {"http": f"http://127.0.0.1:{port}/", "within": "30s"}
    return {"command": command, "health": health, **more}


SERVICES = {
    "plain": server(8081, **{"dynamic-user": True, "sandbox": "strict"}),
    "root": server(8082, sandbox="strict"),
    "low": server(81, **{"dynamic-user": True, "capabilities": ["net-bind-service"], "sandbox": "strict"}),
    "standard": server(8083, **{"dynamic-user": True, "sandbox": "standard"}),
    # A unit of the distribution whose program starts as root and then changes its user.
    "nginx": {
        "state": "running",
        "sandbox": {"level": "strict", "write": ["/run", "/var/lib/nginx", "/var/log/nginx"]},
        "health": {"http": "http://127.0.0.1:80/", "within": "30s"},
    },
}
EXPOSURE = {"plain": 1.1, "root": 1.4, "low": 1.7, "standard": 6.0, "nginx": 5.8}
"""The highest exposure that `systemd-analyze security` may report, of 10."""


def test_daemons_work_within_their_sandbox_with_a_low_exposure(machine: Machine) -> None:
    machine.boot()
    pause(machine)

    outcome = apply(machine, {"services": SERVICES}, timeout=120)

    assert outcome["exit_status"] == 0, outcome  # every health probe was answered
    for name, most in EXPOSURE.items():
        report = machine.run("systemd-analyze", "security", "--no-pager", f"{name}.service").stdout
        exposure = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", report)[1])  # type: ignore[index]
        assert exposure <= most, (name, report)
    assert machine.run("sh", "-c", "journalctl -b -o cat | grep -c 'Unknown key name'", check=False).stdout == "0\n"
