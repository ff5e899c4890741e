"""A disk without documents, and a boot server that has prebuilt the boot cache: nothing is compiled during the boot.

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
from rig.proof.proof_machine import ProofMachine, require_active, require_equal, step, wait_applied

SERVE = "import sys; from ordain.agent.cli.main import main; sys.exit(main(sys.argv[1:]))"
NO_CACHE = "no prebuilt boot cache"


def prove_prebuilt(made: ProofMachine, document: str) -> None:
    """Boot a machine whose boot server has ``document``, and a copy of the tree that the machine boots."""
    agent = made.tree / "etc/ordain/agent.yaml"
    agent.write_text("trust: open\n")
    with step("a disk without documents that trusts its boot server"):
        image, folder = made.home / "prebuilt.img", made.home / "served"
        qemu.disk_image(made.tree, image, size_mb=2048)
        folder.mkdir()
        (folder / "machine.yaml").write_text(document)
    with (
        _boot_server(made, folder) as (port, log),
        step("a machine on it, with a boot cache from the boot server"),
        qemu.Qemu(
            made.home / "prebuilt",
            kernel=made.kernel,
            initrds=[made.initrd],
            cmdline=f"root=/dev/vda rw ordain.source=http://10.0.2.2:{port}/{{hostname}}.yaml",
            disks=[image],
            network=True,
        ) as machine,
    ):
        machine.wait_boot()
        found = wait_applied(machine, "handed")
        if NO_CACHE in log.read_text():
            raise MachineError(f"the log of the server:\n{log.read_text()}")
        choice = dict(line.partition("=")[::2] for line in machine.run("cat /run/ordain/boot/choice").splitlines())
        require_equal("the applied generation", found.hash, choice["hash"])
        plan = json.loads(machine.run("cat /run/ordain/outcome.json"))["plan"]
        require_equal(
            "the work that was left for the agent", (plan["stops"], plan["jobs"], plan["reload"]), ([], [], False)
        )
        require_active(machine, "web.service", "tick.timer", "early.service", "cron.service")
    image.unlink()
    agent.unlink()


@contextmanager
def _boot_server(made: ProofMachine, folder: Path) -> Iterator[tuple[int, Path]]:
    """Run `ordainctl serve` on a port of this host; yield the port and the log."""
    log = made.home / "serve.log"
    command = [sys.executable, "-c", SERVE, "serve", str(folder), "--root", str(made.tree), "--listen", "127.0.0.1:0"]
    with log.open("w") as log_file, subprocess.Popen(command, stderr=log_file, env=dict(os.environ)) as server:
        try:
            while "http://127.0.0.1:" not in log.read_text():
                if server.poll() is not None:
                    raise MachineError(f"ordainctl serve has ended:\n{log.read_text()}")
                time.sleep(0.1)
            yield int(log.read_text().partition("http://127.0.0.1:")[2].partition("/")[0]), log
        finally:
            server.terminate()
