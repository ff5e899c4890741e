"""The commands that the manual pages of the daemons show, on a booted machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rig.debian_roots import SUITES
from rig.machine import Machine, Machines

pytestmark = pytest.mark.integration
MANUAL = Path(__file__).parents[2] / "docs/man"
GENERATOR = "/usr/lib/systemd/system-generators/ordain-generator"
LAYER = "ordain: v1\nkind: Layer\nname: nap\nservices: {nap: {command: [/usr/bin/sleep, infinity]}}\n"


def example(page: str, intention: str) -> str:
    """Return the commands that a page shows below the words ``intention``."""
    block = re.search(
        rf"^{re.escape(intention)}[^\n]*::\n\n((?:    [^\n]+\n)+)", (MANUAL / page).read_text(), re.MULTILINE
    )
    assert block, f"{page} shows no commands for: {intention}"
    return block[1]


def placed(machine: Machine) -> bool:
    return machine.path("/run/systemd/generator/nap.service").exists()


@pytest.mark.parametrize("suite", SUITES)
def test_commands_of_the_manual_pages_work(machines: Machines, suite: str) -> None:
    machine = machines(suite)
    machine.write("/etc/ordain/documents/nap.yaml", LAYER)
    machine.boot()
    machine.until("the first generation is applied", lambda: machine.path("/etc/ordain/boot/1").exists())
    assert placed(machine)

    (log,) = set(re.findall(r"\*\*(journalctl -b [^*]+)\*\*", (MANUAL / "ordain-agent.8.rst").read_text()))
    machine.write("/etc/ordain/documents/nap.yaml", LAYER.replace("infinity", "1h"))
    machine.until("the agent logs the change", lambda: "generation 2" in machine.run("sh", "-ec", log).stdout)

    machine.run("sh", "-ec", example("ordain-generator.8.rst", "Write the units that would be placed now"))
    assert "[Service]" in machine.run("cat", "/tmp/units/nap.service").stdout

    machine.run("sh", "-ec", example("ordain-generator.8.rst", "Turn the generator off"))
    machine.run("systemctl", "daemon-reload")
    assert not placed(machine)
    assert (
        f"{GENERATOR.replace('/usr/lib', '/etc')} overrides it"
        in machine.run("ordainctl", "doctor", check=False).stdout
    )
