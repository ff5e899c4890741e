"""Pages as a series of steps that a test carries out on machines: files to write, and commands with their output.

A block ``yaml`` that begins with ``# MACHINE: /PATH`` is a file. In a block ``console``, ``MACHINE# COMMAND`` is a
command of root; the lines below are its output, where ``…`` stands for any text, and ``[exit status N]`` may end it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rig.machine import Machine, MachineError

BLOCK = re.compile(r"^```(yaml|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATUS = re.compile(r"^\[exit status (\d+)\]$")
READS = tuple(
    "systemctl is-active|systemctl show|systemctl cat|ordainctl status|ordainctl plan|curl|cat |journalctl".split("|")
)
"""Commands that may be run again until they print what the page says: the agent needs a moment."""
FOLLOWS_SEC = 60.0


@dataclass(frozen=True, slots=True)
class Step:
    """A file to write on a machine, or a command to run there, with the output that the page shows."""

    machine: str
    path: str = ""
    text: str = ""
    command: str = ""
    prints: str = ""
    status: int = 0

    def matches(self, output: str) -> bool:
        """Return whether ``output`` is what the page shows; ``…`` stands for any text."""
        pattern = ".*".join(re.escape(part.strip("\n")) for part in self.prints.split("…"))
        return re.fullmatch(pattern, output.strip("\n"), re.DOTALL) is not None


def steps(page: str) -> Iterator[Step]:
    """Yield the steps of a page, in order; a block ``yaml`` without a path is an illustration."""
    for kind, text in BLOCK.findall(page):
        if kind == "yaml":
            if head := re.match(r"# (\w+): (/\S+)\n", text):
                yield Step(machine=head[1], path=head[2], text=text)
            continue
        for prompt in re.split(r"^(?=\w+# )", text, flags=re.MULTILINE)[1:]:
            line, _, prints = prompt.partition("\n")
            while line.endswith("\\"):
                more, _, prints = prints.partition("\n")
                line = f"{line}\n{more}"
            machine, _, command = line.partition("# ")
            status = 0
            if last := STATUS.match(prints.rstrip("\n").rpartition("\n")[2]):
                status, prints = int(last[1]), prints.rstrip("\n").rpartition("\n")[0]
            yield Step(machine=machine, command=command, prints=prints, status=status)


def carry_out(step: Step, machines: Mapping[str, Machine], environment: str = "") -> None:
    """Carry out a step; a command that only reads is run until it prints what it should. Raises `MachineError`.

    ``environment``: assignments of the shell that stand for what a reader would fill in.
    """
    machine = machines[step.machine]
    if step.path:
        machine.write(step.path, step.text)
        return
    output = ""

    def prints_the_page() -> bool:
        nonlocal output
        done = machine.run("bash", "-c", f"cd /root; {environment}\n{step.command}", check=False)
        output = f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.returncode == step.status and step.matches(f"{done.stdout}{done.stderr}")

    if step.command.startswith(READS):
        try:
            machine.until(step.command, prints_the_page, timeout=FOLLOWS_SEC)
        except MachineError as error:
            raise MachineError(f"{error}; it prints:\n{output}") from None
    elif not prints_the_page():
        raise MachineError(f"# {step.command}\nshould print:\n{step.prints}\nand prints ({output}")
