"""A machine that boots from the network: Debian's iPXE in its network card, and `ordainctl serve` on this host."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ordain.agent.netboot.machine_records import read_records
from ordain.agent.netboot.pack import pack
from rig import qemu
from rig.machine import MachineError
from rig.proof.proof_machine import PATH, ProofMachine, require_active, require_equal, step, wait_applied

MAC = "52:54:00:0d:0a:01"
ADDRESS = "10.0.2.2"
"""The address of the host in qemu's user network."""
DOCUMENTS = """\
ordain: v1
kind: Layer
name: netboot
netboot:
  image: FIRST
  initrds: [documents.cpio]
  arguments: {CONSOLE, proof: [first, {template: "{{ facts.system_firmware }}"}]}
---
ordain: v1
kind: Layer
name: canary
tier: role
match: {proof: canary}
netboot: {image: SECOND, arguments: {proof: second}}
---
ordain: v1
kind: Node
name: netboot1
match: {mac: "MAC"}
labels: {proof: LABEL}
"""
SERVE = "import sys; from ordain.agent.cli.main import main; sys.exit(main(sys.argv[1:]))"


def prove_netboot(made: ProofMachine, document: str) -> None:
    """Boot a machine into RAM from one image, from another by its label, and from its last good script.

    The initrd of the image fetches the root, verifies it and unpacks it; before, a machine with too little memory says
    so. The services of the documents run each time, and the machine reports each good boot.
    """
    files, documents, state = (made.home / name for name in ("files", "netboot", "state"))
    for directory in (files, documents):
        directory.mkdir()
    with step("two images of one tree"):
        first = _image(made, files, "1")
        second = _image(made, files, "2")
    (files / "documents.cpio").write_bytes(qemu.cpio({f"ordain/{PATH.rpartition('/')[2]}": document.encode()}))
    write = partial(_write, documents, first=first, second=second)
    write(label="stable")
    with _serving(documents, files, state) as (port, log):
        options = ["-netdev", f"user,id=net,bootfile=http://{ADDRESS}:{port}/boot.ipxe", "-boot", "n"]
        options += ["-device", f"virtio-net-pci,netdev=net,mac={MAC}"]
        with (
            step("a machine with too little memory"),
            qemu.Qemu(made.home / "small", kernel=None, options=options, memory_mb=512) as machine,
        ):
            _wait_console(machine, r"this image needs \d+ MB of free memory, and this machine has only \d+ MB")
        with qemu.Qemu(made.home / "netboot-machine", kernel=None, options=options, memory_mb=1536) as machine:
            with step("a machine that boots an image into RAM"):
                machine.wait_boot(timeout=1800)
                _require_boot(machine, ["first", "bios"], "1")
                root = machine.run("findmnt -n -o FSTYPE / | tail -n 1").strip()
                require_equal("its root", root, "tmpfs")
                _wait_good(state, first)
            with step("another label, and booted again: another image"):
                write(label="canary")
                machine.reboot(timeout=1800)
                _require_boot(machine, ["second"], "2")
                _wait_good(state, second)
            with step("documents that name a missing image, and booted again"):
                write(label="canary", second="proof:99")
                machine.reboot(timeout=1800)
                _require_boot(machine, ["second"], "2")
        if f"{MAC}: it gets its last good script" not in log.read_text():
            raise MachineError(f"the server does not say that the image is missing:\n{log.read_text()}")


def _image(made: ProofMachine, files: Path, text: str) -> str:
    """Make an image of the tree with ``text`` in a file of it; return its reference."""
    (made.tree / "etc/proof").write_text(text)
    image, _ = pack(made.tree, files, name="proof")
    return str(image.reference)


def _require_boot(machine: qemu.Qemu, words: list[str], image: str) -> None:
    wait_applied(machine, "handed")
    require_active(machine, "web.service", "tick.timer", "early.service", "cron.service")
    line = machine.run("cat /proc/cmdline")
    require_equal("the arguments", re.findall(r" proof=(\S+)", line), words)
    require_equal("the image", machine.run("cat /etc/proof"), image)


def _wait_console(machine: qemu.Qemu, pattern: str) -> None:
    end = time.monotonic() + 900
    while not re.search(pattern, machine.console()):
        if time.monotonic() > end:
            raise MachineError(f"the console does not say {pattern}\n{machine.console()[-3000:]}")
        time.sleep(1)
    (line,) = re.findall(rf".*{pattern}.*", machine.console())[:1]
    print(f"    {line.strip()}", flush=True)


def _wait_good(state: Path, image: str) -> None:
    """Wait until the server knows that the machine completed a boot of ``image``."""
    end = time.monotonic() + 900
    while not any(record.good_image == image for record in read_records(state)):
        if time.monotonic() > end:
            raise MachineError(f"the machine does not report a good boot of {image}: {read_records(state)}")
        time.sleep(1)


def _write(directory: Path, *, first: str, second: str, label: str) -> None:
    """Replace the documents as a whole, so that no server reads a half."""
    arguments = ", ".join(f"{name}: {value}" for name, _, value in (word.partition("=") for word in _WORDS))
    text = DOCUMENTS.replace("FIRST", first).replace("SECOND", second).replace("CONSOLE", arguments)
    new = directory / ".new"
    new.write_text(text.replace("MAC", MAC).replace("LABEL", label))
    new.rename(directory / "netboot.yaml")


_WORDS = qemu.CONSOLE.split()


@contextmanager
def _serving(documents: Path, files: Path, state: Path) -> Iterator[tuple[int, Path]]:
    """Run `ordainctl serve` on a port of this host; yield the port and the log."""
    words = ["serve", str(documents), "--files", str(files), "--state", str(state), "--listen", "127.0.0.1:0"]
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
