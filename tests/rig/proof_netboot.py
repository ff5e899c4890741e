"""A machine that boots from the network: Debian's iPXE in its network card, and `ordainctl serve` on this host."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig import qemu
from rig.machine import MachineError
from rig.proof_machine import PATH, ProofMachine, require_active, require_equal, step, wait_applied

MAC = "52:54:00:0d:0a:01"
ADDRESS = "10.0.2.2"
"""The address of the host in qemu's user network."""
DOCUMENTS = """\
ordain: v1
kind: Layer
name: netboot
netboot:
  kernel: KERNEL
  initrds: [ram.zst, documents.cpio]
  arguments: {CONSOLE, proof: [first, {template: "{{ facts.system_firmware }}"}]}
---
ordain: v1
kind: Layer
name: second
tier: role
match: {proof: second}
netboot: {arguments: {proof: second}}
---
ordain: v1
kind: Node
name: netboot1
match: {mac: "MAC"}
labels: {proof: LABEL}
"""
SERVE = "import sys; from ordain.agent.cli.main import main; sys.exit(main(sys.argv[1:]))"


def prove_netboot(made: ProofMachine, document: str) -> None:
    """Boot a machine from the network into RAM; change its label; break its documents. Its services run each time."""
    files, documents = made.home / "files", made.home / "netboot"
    for directory in (files, documents):
        directory.mkdir()
    shutil.copy(made.kernel, files / "vmlinuz")
    (files / "ram.zst").hardlink_to(made.ram)
    (files / "documents.cpio").write_bytes(qemu.cpio({PATH.lstrip("/"): document.encode()}))
    _write(documents, kernel="vmlinuz", label="first")
    with _serving(documents, files) as (port, log):
        options = ["-netdev", f"user,id=net,bootfile=http://{ADDRESS}:{port}/boot.ipxe", "-boot", "n"]
        options += ["-device", f"virtio-net-pci,netdev=net,mac={MAC}"]
        with qemu.Qemu(made.home / "netboot-machine", kernel=None, options=options, memory_mb=3072) as machine:
            with step("a machine that boots from the network into RAM"):
                machine.wait_boot(timeout=1200)
                _require_boot(machine, ["first", "bios"])
                require_equal("its root", machine.run("findmnt -n -o FSTYPE / | tail -n 1").strip(), "rootfs")
            with step("another label, and booted again"):
                _write(documents, kernel="vmlinuz", label="second")
                machine.reboot()
                _require_boot(machine, ["second"])
            with step("documents that name a kernel that is missing, and booted again"):
                _write(documents, kernel="missing", label="second")
                machine.reboot()
                _require_boot(machine, ["second"])
        if f"{MAC}: it gets its last good script" not in log.read_text():
            raise MachineError(f"the server does not say that the kernel is missing:\n{log.read_text()}")


def _require_boot(machine: qemu.Qemu, words: list[str]) -> None:
    wait_applied(machine, "handed")
    require_active(machine, "web.service", "tick.timer", "early.service", "cron.service")
    line = machine.run("cat /proc/cmdline")
    require_equal("the arguments", re.findall(r"proof=(\S+)", line), words)


def _write(directory: Path, *, kernel: str, label: str) -> None:
    """Replace the documents as a whole, so that no server reads a half."""
    arguments = ", ".join(f"{name}: {value}" for name, _, value in (word.partition("=") for word in _WORDS))
    text = DOCUMENTS.replace("KERNEL", kernel).replace("CONSOLE", arguments)
    new = directory / ".new"
    new.write_text(text.replace("MAC", MAC).replace("LABEL", label))
    new.rename(directory / "netboot.yaml")


_WORDS = qemu.CONSOLE.split()


@contextmanager
def _serving(documents: Path, files: Path) -> Iterator[tuple[int, Path]]:
    """Run `ordainctl serve` on a port of this host; yield the port and the log."""
    words = ["serve", str(documents), "--files", str(files), "--listen", "127.0.0.1:0"]
    path = documents.parent / "serve.log"
    with (
        path.open("wb") as log,
        subprocess.Popen([sys.executable, "-B", "-c", SERVE, *words], stderr=log) as process,
    ):
        try:
            end = time.monotonic() + 60
            while not (port := re.search(r"127\.0\.0\.1:([0-9]+)/", path.read_text())):
                if process.poll() is not None or time.monotonic() > end:
                    raise MachineError(f"the server does not start:\n{path.read_text()}")
                time.sleep(0.1)
            yield int(port[1]), path
        finally:
            process.terminate()
