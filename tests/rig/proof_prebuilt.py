"""A disk without documents, and a boot server that has finished what they come to: nothing is compiled in the boot.

ordainctl serve --root ─the initrd▶ /run/ordain/boot/handed ─switch of the root▶ generator; the agent has nothing to do
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig import qemu
from rig.machine import MachineError
from rig.proof_machine import ProofMachine, require_active, require_equal, step, wait_applied

SERVE = "import sys; from ordain.agent.cli.main import main; sys.exit(main(sys.argv[1:]))"
NONE = "no finished generation"


def prove_prebuilt(made: ProofMachine, document: str) -> None:
    """The boot server has ``document``, and the tree of the disk that the machine boots from."""
    agent = made.tree / "etc/ordain/agent.yaml"
    agent.write_text("trust: open\n")
    with step("a bare disk that trusts its boot server"):
        image, shelf = made.home / "finished.img", made.home / "shelf"
        qemu.disk_image(made.tree, image, size_mb=2048)
        shelf.mkdir()
        (shelf / "machine.yaml").write_text(document)
    with (
        _served(made, shelf) as (port, log),
        step("a machine on it, its generation finished by the boot server"),
        qemu.Qemu(
            made.home / "finished",
            kernel=made.kernel,
            initrds=[made.initrd],
            cmdline=f"root=/dev/vda rw ordain.source=http://10.0.2.2:{port}/{{hostname}}.yaml",
            disks=[image],
            network=True,
        ) as machine,
    ):
        machine.wait_boot()
        found = wait_applied(machine, "handed")
        if NONE in log.read_text():
            raise MachineError(f"the server says:\n{log.read_text()}")
        choice = dict(line.partition("=")[::2] for line in machine.run("cat /run/ordain/boot/choice").splitlines())
        require_equal("what the agent applied", found.hash, choice["hash"])
        plan = json.loads(machine.run("cat /run/ordain/outcome.json"))["plan"]
        require_equal("what was left for the agent", (plan["stops"], plan["jobs"], plan["reload"]), ([], [], False))
        require_active(machine, "web.service", "tick.timer", "early.service", "cron.service")
    image.unlink()
    agent.unlink()


@contextmanager
def _served(made: ProofMachine, shelf: Path) -> Iterator[tuple[int, Path]]:
    """`ordainctl serve` on a port of this host, and what it says."""
    log = made.home / "serve.log"
    command = [sys.executable, "-c", SERVE, "serve", str(shelf), "--root", str(made.tree), "--listen", "127.0.0.1:0"]
    with log.open("w") as said, subprocess.Popen(command, stderr=said, env=dict(os.environ)) as server:
        try:
            while "http://127.0.0.1:" not in log.read_text():
                if server.poll() is not None:
                    raise MachineError(f"ordainctl serve ends:\n{log.read_text()}")
                time.sleep(0.1)
            yield int(log.read_text().partition("http://127.0.0.1:")[2].partition("/")[0]), log
        finally:
            server.terminate()
