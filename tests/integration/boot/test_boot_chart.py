"""ordainctl boot-chart on a booted machine."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rig.debian_roots import SUITES
from rig.machine import Machine, Machines

pytestmark = pytest.mark.integration
LAYER = """\
ordain: v1
kind: Layer
name: chart
services:
  nap: {command: [/usr/bin/sleep, infinity]}
files:
  /etc/nap.conf: {content: soundly}
"""
STEPS = ("generators", "ordain-generator", "ordain-files.service", "ordain-agent.service", "ordain-services.target")


def chart(machine: Machine) -> tuple[dict[str, Any], int]:
    """Return the steps by name, and the time in microseconds at which the boot was finished."""
    chart = json.loads(machine.run("ordainctl", "boot-chart", "--json").stdout)
    return {step["name"]: step for step in chart["steps"]}, chart["finished_usec"]


@pytest.mark.parametrize("suite", SUITES)
def test_the_steps_of_a_boot_are_in_order(machines: Machines, suite: str) -> None:
    machine = machines(suite)
    machine.write("/etc/ordain/documents/chart.yaml", LAYER)
    machine.boot()
    machine.until("converged", lambda: chart(machine)[0]["first converge"]["took_usec"] is not None)
    machine.reboot()
    machine.until("converged", lambda: chart(machine)[0]["first converge"]["took_usec"] is not None)
    steps, finished = chart(machine)

    starts = [steps[name]["start_usec"] for name in STEPS]
    assert starts == sorted(starts)
    assert starts[0] > 0
    assert starts[-1] < finished
    assert 0 < steps["ordain-generator"]["took_usec"] <= steps["generators"]["took_usec"]
    assert "generation 1 from current" in steps["ordain-generator"]["what"]
    assert "started by agent" in steps["ordain-services.target"]["what"]

    text = machine.run("ordainctl", "boot-chart").stdout
    for name in steps:
        assert name in text

    # A reload runs the generators again; that run is not part of the boot.
    machine.run("systemctl", "daemon-reload")
    assert chart(machine)[0]["ordain-generator"] == steps["ordain-generator"]


def test_a_step_that_did_not_happen_has_no_time(machines: Machines) -> None:
    machine = machines(SUITES[-1], cmdline=("ordain=off",))
    machine.boot()
    steps, _ = chart(machine)
    assert steps["ordain-agent.service"]["start_usec"] is None
    assert "not in this boot" in machine.run("ordainctl", "boot-chart").stdout
