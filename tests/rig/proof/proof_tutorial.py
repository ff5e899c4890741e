"""The tutorial of a diskless machine: the commands of its page on this host, with the tree of the proof."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from rig.debian_roots import CLEAN_ENVIRONMENT
from rig.machine import MachineError
from rig.proof.netboot_site import ORDAINCTL
from rig.proof.proof_machine import ProofMachine, step
from support.pages.page_steps import Step, steps

PAGE = Path(__file__).parents[3] / "docs/tutorial-diskless.md"
DESK = "/srv/tutorial"
"""The directory of the page; the proof has one of its own in its place."""
MADE_BEFORE = ("apt-get", "mmdebstrap")
"""Commands that the proof has carried out in another way: the tools are installed, and the tree is there."""


def prove_tutorial(made: ProofMachine) -> None:
    """Carry out the commands of the tutorial, and hold their output against the page."""
    desk = made.home / "tutorial"
    desk.mkdir()
    (desk / "root").symlink_to(made.tree)
    (made.tree / "etc/ordain/agent.yaml").write_text("trust: open\n")
    program = desk / "bin/ordainctl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(os.pathsep.join(sys.path))} exec {shlex.join(ORDAINCTL)} "$@"\n'
    )
    program.chmod(0o755)
    try:
        for each in steps(PAGE.read_text()):
            if each.path:
                path = desk / each.path.removeprefix(f"{DESK}/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(each.text)
            elif not each.command.startswith(MADE_BEFORE):
                with step(each.command.partition("\n")[0]):
                    _carry_out(each, desk)
    finally:
        (made.tree / "etc/ordain/agent.yaml").unlink()
        for name in ("pid", "serve.pid"):
            with suppress(OSError, ValueError):
                os.kill(int((desk / name).read_text()), signal.SIGKILL)


def _carry_out(each: Step, desk: Path) -> None:
    """Run a command in the network of this proof; raise `MachineError` if it fails or prints something else."""
    environment = {**CLEAN_ENVIRONMENT, "PATH": f"{desk}/bin:{CLEAN_ENVIRONMENT['PATH']}"}
    printed = desk / "printed"  # a file: a command in the background would keep a pipe open
    with printed.open("wb") as out:
        done = subprocess.run(
            ["sh", "-c", each.command],
            cwd=desk,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            timeout=1800,
            check=False,
        )
    text = printed.read_text(errors="replace").replace(str(desk), DESK)
    if done.returncode != each.status or not each.matches(text):
        raise MachineError(f"{each.command}: exit status {done.returncode}, and prints\n{text}")
