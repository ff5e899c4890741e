"""Pages of the documentation on booted machines: each command prints the output that the page shows."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from rig.debian_roots import CLEAN_ENVIRONMENT
from rig.machine import Machine, Machines
from support.pages.page_steps import carry_out, steps

pytestmark = [pytest.mark.integration, pytest.mark.one_debian]

TREE = Path(__file__).parents[3]
ADDRESSES = {"web1": "192.0.2.1", "web2": "192.0.2.2"}
FIRST = "ordain: v1\nkind: Layer\nname: first\nservices: {first: {command: sleep 1000000}}\n"
"""A document of every machine of a how-to page, so that a service runs before the first step."""
HOW_TO = {
    "migrate": "",
    "containers": "",
    "runs": "",
    "secrets": "",
    "signed-releases": "STORE='--store /srv/store'",
    "boot-server": "",
    "boot-from-network": "",
    "boot-server-page": "",
    "troubleshooting": "",
    "stop-using-ordain": "",
}
"""Pages with commands for one machine, and shell assignments for the values that a reader fills in."""


def test_a_step_has_its_machine_output_and_status() -> None:
    text = (
        "```console\nweb1# false \\\n  --not\nno…\n[exit status 1]\nweb2# true\n```\n```yaml\n# web1: /a\nb: 1\n```\n"
    )

    first, second, third = steps(text)

    assert (first.machine, first.command, first.status) == ("web1", "false \\\n  --not", 1)
    assert first.matches("no, said it\n")
    assert not first.matches("yes\n")
    assert second.matches("")
    assert not second.matches("a word")
    assert (third.path, third.text) == ("/a", "# web1: /a\nb: 1\n")


@pytest.mark.slow
def test_every_command_of_the_tutorial_prints_the_output_in_the_page(machines: Machines, deb: Path, suite: str) -> None:
    made = {name: machines(suite) for name in ADDRESSES}
    for name, machine in made.items():
        machine.write("/etc/hostname", f"{name}\n")
        machine.write("/etc/hosts", "127.0.0.1 localhost\n192.0.2.1 web1\n192.0.2.2 web2\n")
        machine.boot()
        machine.write(f"/root/{deb.name}", deb.read_bytes())
    connect(made)

    for step in steps((TREE / "docs/tutorial.md").read_text()):
        if step.machine == "builder":
            # The fixture ``deb`` has built the package already, by the same script.
            assert step.command == "make deb"
            assert "packaging/build-deb" in (TREE / "Makefile").read_text()
        else:
            carry_out(step, made)


def connect(made: Mapping[str, Machine]) -> None:
    """Connect the two machines with a virtual cable, which the kernel removes with them."""
    one, other = (str(made[name].leader) for name in ADDRESSES)
    cable = ["ip", "link", "add", "lan", "netns", one, "type", "veth", "peer", "name", "lan", "netns", other]
    subprocess.run(cable, env=CLEAN_ENVIRONMENT, check=True, capture_output=True)
    for name, address in ADDRESSES.items():
        made[name].run("ip", "address", "add", f"{address}/24", "dev", "lan")
        made[name].run("ip", "link", "set", "lan", "up")


@pytest.mark.parametrize("page", HOW_TO)
def test_every_command_of_a_how_to_page_prints_the_output_in_the_page(machine: Machine, page: str) -> None:
    machine.write("/etc/hostname", "web1\n")
    machine.write("/etc/hosts", "127.0.0.1 localhost\n")  # an installer writes it
    machine.boot()
    machine.write("/etc/ordain/documents/first.yaml", FIRST)
    series = list(steps((TREE / f"docs/howto/{page}.md").read_text()))

    assert series
    for step in series:
        carry_out(step, {"web1": machine, "server": machine, "admin": machine}, HOW_TO[page])
