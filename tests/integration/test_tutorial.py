"""The tutorial: every command of docs/tutorial.md runs on booted machines, and prints what the page says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from rig.debian_roots import CLEAN
from rig.machine import Machine, MachineError, Machines

pytestmark = pytest.mark.integration

TREE = Path(__file__).parents[2]
PAGE = TREE / "docs/tutorial.md"
BLOCK = re.compile(r"^```(yaml|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATUS = re.compile(r"^\[exit status (\d+)\]$")
READS = ("systemctl is-active", "systemctl show", "systemctl cat", "ordainctl status", "ordainctl plan", "curl")
"""Commands that may be run again until they print what the page says: the agent needs a moment."""
FOLLOWS_SEC = 60.0
ADDRESSES = {"web1": "192.0.2.1", "web2": "192.0.2.2"}


@dataclass(frozen=True, slots=True)
class Step:
    """A file to write on a machine, or a command to run there, with what the page says it prints."""

    machine: str
    path: str = ""
    text: str = ""
    command: str = ""
    prints: str = ""
    status: int = 0

    def matches(self, output: str) -> bool:
        """Return whether ``output`` is what the page prints; ``…`` stands for any text."""
        pattern = ".*".join(re.escape(part.strip("\n")) for part in self.prints.split("…"))
        return re.fullmatch(pattern, output.strip("\n"), re.DOTALL) is not None


def steps(page: str) -> Iterator[Step]:
    """Yield the steps of a page, in order."""
    for kind, text in BLOCK.findall(page):
        if kind == "yaml":
            head = re.match(r"# (\w+): (/\S+)\n", text)
            assert head, f"a file without a place:\n{text}"
            yield Step(machine=head[1], path=head[2], text=text)
            continue
        for prompt in re.split(r"^(?=\w+# )", text, flags=re.MULTILINE)[1:]:
            line, _, prints = prompt.partition("\n")
            machine, _, command = line.partition("# ")
            status = 0
            if last := STATUS.match(prints.rstrip("\n").rpartition("\n")[2]):
                status, prints = int(last[1]), prints.rstrip("\n").rpartition("\n")[0]
            yield Step(machine=machine, command=command, prints=prints, status=status)


def test_a_step_knows_its_machine_its_output_and_its_status() -> None:
    text = "```console\nweb1# false\nno…\n[exit status 1]\nweb2# true\n```\n```yaml\n# web1: /a\nb: 1\n```\n"

    first, second, third = steps(text)

    assert (first.machine, first.command, first.status) == ("web1", "false", 1)
    assert first.matches("no, said it\n")
    assert not first.matches("yes\n")
    assert second.matches("")
    assert not second.matches("a word")
    assert (third.path, third.text) == ("/a", "# web1: /a\nb: 1\n")


def test_every_command_of_the_tutorial_does_what_the_page_says(machines: Machines, deb: Path, suite: str) -> None:
    made = {name: machines(suite) for name in ADDRESSES}
    for name, machine in made.items():
        machine.write("/etc/hostname", f"{name}\n")
        machine.write("/etc/hosts", "127.0.0.1 localhost\n192.0.2.1 web1\n192.0.2.2 web2\n")
        machine.boot()
        machine.write(f"/root/{deb.name}", deb.read_bytes())
    connect(made)

    for step in steps(PAGE.read_text()):
        if step.machine == "builder":
            # The fixture ``deb`` has built the package already, by the same script.
            assert step.command == "make deb"
            assert "packaging/build-deb" in (TREE / "Makefile").read_text()
        elif step.path:
            made[step.machine].write(step.path, step.text)
        else:
            run(made[step.machine], step)


def connect(made: Mapping[str, Machine]) -> None:
    """Lay a cable between the two machines; it goes with them."""
    one, other = (str(made[name].leader) for name in ADDRESSES)
    cable = ["ip", "link", "add", "lan", "netns", one, "type", "veth", "peer", "name", "lan", "netns", other]
    subprocess.run(cable, env=CLEAN, check=True, capture_output=True)
    for name, address in ADDRESSES.items():
        made[name].run("ip", "address", "add", f"{address}/24", "dev", "lan")
        made[name].run("ip", "link", "set", "lan", "up")


def run(machine: Machine, step: Step) -> None:
    """Run one command; what only reads is run until it prints what it should. Raises `MachineError`."""
    said = ""

    def holds() -> bool:
        nonlocal said
        done = machine.run("bash", "-c", f"cd /root && {step.command} 2>&1", check=False)
        said = f"exit status {done.returncode}\n{done.stdout}"
        return done.returncode == step.status and step.matches(done.stdout)

    if step.command.startswith(READS):
        try:
            machine.until(step.command, holds, timeout=FOLLOWS_SEC)
        except MachineError as error:
            raise MachineError(f"{error}; it prints:\n{said}") from None
    elif not holds():
        raise MachineError(f"# {step.command}\nis to print:\n{step.prints}\nand prints ({said}")
