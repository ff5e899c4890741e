"""Machines that boot from the network: Debian's iPXE, dnsmasq and `ordainctl serve` in a network namespace."""

from __future__ import annotations

import re
import shutil
import time
from functools import partial
from pathlib import Path

from ordain.agent.netboot.images import StoredImage
from ordain.agent.netboot.machine_records import read_records
from ordain.agent.netboot.pack import pack
from rig import qemu
from rig.machine import MachineError
from rig.proof.netboot_site import Site
from rig.proof.proof_machine import PATH, ProofMachine, require_active, require_equal, step, wait_applied

MAC = "52:54:00:0d:0a:01"
SMALL_MAC = "52:54:00:0d:0a:02"
"""The machine that nobody knows at first, and that has too little memory."""
SMALL_MB, MEMORY_MB = 512, 1536
DOCUMENTS = """\
ordain: v1
kind: Layer
name: netboot
match: {boots: ram}
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
netboot: {image: SECOND, arguments: {proof: [second, {template: "{{ facts.system_firmware }}"}]}}
---
ordain: v1
kind: Node
name: netboot1
match: {mac: "MAC"}
labels: {boots: ram, proof: LABEL}
"""
FIRMWARE = Path("/usr/share/OVMF")
CODE, VARIABLES = "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"
"""UEFI for qemu, of Debian's package ovmf."""
DAMAGED = r"/root: (it could not be decompressed|its digest is .*)"


def prove_netboot(made: ProofMachine, document: str) -> None:
    """Boot machines into RAM from images that documents name, by BIOS and by UEFI.

    A machine that nobody knows is adopted, and says that it has too little memory. The archive of another one is
    damaged, and the server restarts while it is fetched. A label chooses another image, and a missing image keeps the
    last good script. The services of the documents run each time, and the machine reports each good boot.
    """
    with Site(made.home / "site") as site:
        with step("two images of one tree"):
            first = proof_image(made, site.files, "1")
            second = proof_image(made, site.files, "2")
        handed = qemu.cpio({f"ordain/{PATH.rpartition('/')[2]}": document.encode()})
        (site.files / "documents.cpio").write_bytes(handed)
        write = partial(_write, site.documents, first=str(first.reference), second=str(second.reference))
        write(label="stable")
        site.start_server()
        with step("an unknown machine that is adopted, and has too little memory"):
            _adopt_small_machine(made, site)
        with step("a machine with BIOS; its image is damaged, and the server restarts"):
            _boot_by_bios(made, site, first)
        with _machine(made, site, uefi(made.home)) as machine:
            with step("another label, and the machine has UEFI: another image"):
                write(label="canary")
                machine.wait_boot(timeout=1800)
                _require_boot(machine, ["second", "uefi"], "2")
                wait_good(site.state, str(second.reference))
            with step("documents that name a missing image, and booted again"):
                write(label="canary", second="proof:99")
                machine.reboot(timeout=1800)
                _require_boot(machine, ["second", "uefi"], "2")
        if f"{MAC}: it gets its last good script" not in site.log.read_text():
            raise MachineError(f"the server does not say that the image is missing:\n{site.log.read_text()}")


def _adopt_small_machine(made: ProofMachine, site: Site) -> None:
    with qemu.Qemu(
        made.home / "small", kernel=None, options=site.card(SMALL_MAC), memory_mb=SMALL_MB, within=site.within
    ) as machine:
        _wait_discovered(site)
        site.ordainctl("fleet", "adopt", SMALL_MAC, "--name", "small", "--label", "boots=ram", *_desk(site))
        wait_console(machine, r"this image needs \d+ MB of free memory, and this machine has only \d+ MB")


def _wait_discovered(site: Site) -> None:
    end = time.monotonic() + 300
    while not re.search(rf"^{SMALL_MAC} .*QEMU", site.ordainctl("fleet", "discovered", str(site.state)), re.MULTILINE):
        if time.monotonic() > end:
            raise MachineError(f"the unknown machine is not listed\n{site.log.read_text()}")
        time.sleep(1)


def _desk(site: Site) -> list[str]:
    return ["--documents", str(site.documents), "--state", str(site.state)]


def _boot_by_bios(made: ProofMachine, site: Site, image: StoredImage) -> None:
    """Boot with an archive that is damaged first, and a server that restarts while the archive is fetched again."""
    archive = image.path / "root"
    whole = archive.with_name("root.whole")
    shutil.copy(archive, whole)
    with archive.open("r+b") as file:
        file.seek(archive.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 0x10]))
    with _machine(made, site) as machine:
        wait_console(machine, DAMAGED)
        whole.rename(archive)
        site.wait_logged(r"'GET' '\S*/root'", after=site.log.stat().st_size)
        site.stop_server()
        wait_console(machine, r"broken off after \d+ of \d+ bytes")
        site.start_server()
        machine.wait_boot(timeout=1800)
        _require_boot(machine, ["first", "bios"], "1")
        root = machine.run("findmnt -n -o FSTYPE / | tail -n 1").strip()
        require_equal("its root", root, "tmpfs")
        wait_good(site.state, str(image.reference))


def _machine(made: ProofMachine, site: Site, firmware: tuple[str, ...] = ()) -> qemu.Qemu:
    options = [*site.card(MAC), *firmware]
    home = made.home / ("uefi" if firmware else "bios")
    return qemu.Qemu(home, kernel=None, options=options, memory_mb=MEMORY_MB, within=site.within)


def uefi(home: Path) -> tuple[str, ...]:
    """Return the options of a machine with UEFI, whose variables are its own."""
    shutil.copy(FIRMWARE / VARIABLES, home / VARIABLES)
    code = f"if=pflash,format=raw,readonly=on,file={FIRMWARE / CODE}"
    return ("-drive", code, "-drive", f"if=pflash,format=raw,file={home / VARIABLES}")


def proof_image(made: ProofMachine, files: Path, text: str) -> StoredImage:
    """Make an image of the tree with ``text`` in a file of it."""
    (made.tree / "etc/proof").write_text(text)
    image, _ = pack(made.tree, files, name="proof")
    return image


def _require_boot(machine: qemu.Qemu, words: list[str], image: str) -> None:
    wait_applied(machine, "handed")
    require_active(machine, "web.service", "tick.timer", "early.service", "cron.service")
    line = machine.run("cat /proc/cmdline")
    require_equal("the arguments", re.findall(r" proof=(\S+)", line), words)
    require_equal("the image", machine.run("cat /etc/proof"), image)


def wait_console(machine: qemu.Qemu, pattern: str) -> None:
    end = time.monotonic() + 1800
    while not re.search(pattern, machine.console()):
        if time.monotonic() > end:
            raise MachineError(f"the console does not say {pattern}\n{machine.console()[-3000:]}")
        time.sleep(1)
    (line,) = re.findall(rf".*{pattern}.*", machine.console())[:1]
    print(f"    {line.strip()}", flush=True)


def wait_good(state: Path, image: str) -> None:
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
