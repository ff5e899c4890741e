"""A machine that installs an image to its disk: Debian's iPXE, `ordainctl serve`, and a disk that is not empty."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ordain.agent.netboot.machine_records import read_records
from ordain.generator.cache import Cache
from rig import qemu
from rig.debian_roots import CLEAN_ENVIRONMENT
from rig.machine import MachineError
from rig.proof.netboot_site import Site
from rig.proof.proof_machine import (
    PATH,
    ProofMachine,
    compiled,
    require_active,
    require_equal,
    step,
    wait_applied,
)
from rig.proof.proof_netboot import MAC, proof_image, uefi, wait_console, wait_good

SIZE = 4 << 30
HANDED = PATH.replace("/etc/", "/run/")
"""The path of the documents in a machine that got them in its initrd, as long as the other one."""
DOCUMENTS = """\
ordain: v1
kind: Layer
name: netboot
netboot:
  image: IMAGE
  root: disk
  initrds: [documents.cpio]
  arguments: {CONSOLE}
  disk:
    device: {serial: PROOF*}
    install: follow
    wipe: [WIPE]
    partitions:
      data: {size-min: 64M, size-max: 128M, mount: /srv}
      swap: {size-min: 64M, size-max: 64M}
---
ordain: v1
kind: Node
name: install1
match: {mac: "MAC"}
"""
NETWORK = 'network:\n  ethernets:\n    card: {match: {name: "e*"}, dhcp4: true, optional: true}\n'
"""A machine that starts from its disk has no initrd that brings up the network, and tells the server of its boots."""
UNITS = ("web.service", "tick.timer", "early.service", "cron.service")
SECONDS = 2400.0


def prove_install(made: ProofMachine, document: str) -> None:
    """Install to a disk with a foreign file system, cut the power meanwhile, and start the disk in every way."""
    document += NETWORK
    wanted = compiled(made, document)
    with Site(made.home / "site-disk") as site:
        with step("two images of one tree"):
            first, second = (str(proof_image(made, site.files, text).reference) for text in ("1", "2"))
        handed = qemu.cpio({f"ordain/{PATH.rpartition('/')[2]}": document.encode()})
        (site.files / "documents.cpio").write_bytes(handed)
        _install(made, site, wanted, first, second)


def _install(made: ProofMachine, site: Site, wanted: Cache, first: str, second: str) -> None:
    disk = made.home / "install.img"
    disk.touch()
    os.truncate(disk, SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True, env=CLEAN_ENVIRONMENT)
    drive = ["-drive", f"file={disk},format=raw,if=none,id=disk", "-device", "virtio-blk-pci,drive=disk,serial=PROOF1"]
    write = partial(_write, site.documents)
    write(first)
    site.start_server()
    options = [*site.card(MAC), *drive, "-boot", "order=nc"]
    with qemu.Qemu(
        made.home / "installing", kernel=None, options=options, memory_mb=1536, within=site.within
    ) as machine:
        with step("a disk with a foreign file system is refused"):
            wait_console(machine, r"not installed: .* is not empty: it holds ext4; nothing was written")
            content = re.findall(r"add (ext4-[0-9a-f-]+) to netboot\.disk\.wipe", machine.console())[0]
            machine.wait_off(timeout=SECONDS)
            subprocess.run(["fsck.ext4", "-fn", disk], check=True, env=CLEAN_ENVIRONMENT, capture_output=True)
        write(first, wipe=content)
        with step("its content is named, and the power is cut while the system is written"):
            machine.switch_on()
            wait_console(machine, r"MB of files")
            machine.cut_power()
        with step("booted again: installed"):
            machine.switch_on()
            machine.wait_off(timeout=SECONDS)
            wait_console(machine, r"has now the installation")
        with step("booted again: the system on the disk, with the same artifacts as in RAM"):
            machine.switch_on()
            machine.wait_boot(timeout=SECONDS)
            _require_same(wait_applied(machine, "handed"), wanted)
            _require_disk(machine, "1")
            identity = machine.run("cat /etc/machine-id")
            machine.run("echo data >/srv/kept; sync")
            wait_good(site.state, first)
    _prove_alone(made, drive, wanted)
    write(second, wipe=content)
    with (
        step("another image: installed, with the data of before"),
        qemu.Qemu(made.home / "follows", kernel=None, options=options, memory_mb=1536, within=site.within) as machine,
    ):
        machine.wait_off(timeout=SECONDS)
        machine.switch_on()
        machine.wait_boot(timeout=SECONDS)
        _require_disk(machine, "2")
        require_equal("the data", machine.run("cat /srv/kept"), "data\n")
        require_equal("the machine ID", machine.run("cat /etc/machine-id"), identity)
        wait_good(site.state, second)
    steps = [event.step.value for record in read_records(site.state) for event in record.log]
    print(f"    the server: {', '.join(steps)}", flush=True)


def _prove_alone(made: ProofMachine, drive: Sequence[str], wanted: Cache) -> None:
    """Start the disk without a network, with BIOS and, if it is installed here, UEFI."""
    for name, options in (("BIOS", ()), ("UEFI", uefi(made.home))):
        with (
            step(f"without any server, {name}"),
            qemu.Qemu(made.home / f"alone-{name}", kernel=None, options=[*options, *drive], memory_mb=1024) as machine,
        ):
            machine.wait_boot(timeout=SECONDS)
            _require_same(wait_applied(machine, "current"), wanted)
            _require_disk(machine, "1")
            folder = machine.run("test -d /sys/firmware/efi && echo UEFI || echo BIOS").strip()
            require_equal("the firmware", folder, name)
            machine.run("sync")


def _require_same(found: Cache, wanted: Cache) -> None:
    """Raise `MachineError` unless all artifacts are the same, apart from the path of the documents in comments."""
    paths = (HANDED.encode(), PATH.encode())
    placed = [(path, mode, text and text.replace(*paths), link) for path, mode, text, link in found.entries]
    require_equal("the generation on the disk", (placed, found.files.replace(*paths)), (wanted.entries, wanted.files))
    print(f"    the generation on the disk: {len(placed)} units and links, the same bytes", flush=True)


def _require_disk(machine: qemu.Qemu, image: str) -> None:
    require_active(machine, *UNITS)
    require_equal("its root", machine.run("findmnt -n -o FSTYPE /").strip(), "ext4")
    require_equal("the image", machine.run("cat /etc/proof"), image)
    require_equal("its data", machine.run("findmnt -n -o FSTYPE /srv").strip(), "ext4")
    if not machine.run("swapon --show --noheadings").strip():
        raise MachineError("the machine has no swap")


def _write(directory: Path, image: str, *, wipe: str = "") -> None:
    """Replace the documents as a whole, so that no server reads a half."""
    words = (word.partition("=") for word in qemu.CONSOLE.split())
    arguments = ", ".join(f"{name}: {value}" for name, _, value in words)
    text = DOCUMENTS.replace("IMAGE", image).replace("CONSOLE", arguments).replace("WIPE", wipe)
    new = directory / ".new"
    new.write_text(text.replace("MAC", MAC))
    new.rename(directory / "netboot.yaml")
