"""`make proof`: a whole Debian in RAM and on a disk, from the same documents, under qemu.

ram      kernel + initrd + an appended document: the services of the documents run;
         /etc/ordain, /usr/share/ordain and the units are damaged; after a reboot all is identical again
disk     the same documents compiled into a disk image: the artifacts are identical, byte for byte
handover a disk without documents, and a document by each way of an initrd or hypervisor, one from a boot server
prebuilt a disk without documents, and a boot server that has prebuilt the boot cache: nothing is left to do
secrets  a machine in RAM gets its key from the hypervisor, and has the same munge key and host key in three boots
dracut   handover again, with an initrd of dracut
netboot  iPXE by BIOS and UEFI, dnsmasq and `ordainctl serve`: an unknown machine is adopted; an image that documents
         name is unpacked into RAM, also if it is damaged and the server restarts, or refused where memory is short;
         behind two relays, a label makes one of three machines a canary of another image, one relay is killed, and the
         next release takes the image back; good boots are reported
diskless the commands of docs/tutorial-diskless.md
install  the same image installed to a disk: a foreign disk is refused until its content is named, the power is cut
         while the system is written, the disk starts with BIOS and UEFI without any server, and follows another image
network  cards, a bond, a bridge, a VLAN, a VRF, WireGuard and mounts on a kernel with all drivers: as in the document,
         changed, and restored after a change that cuts the machine off
"""

from __future__ import annotations

import argparse
import signal
import sys
import time

from ordain.agent.compile.image import bake
from ordain.generator.cache import Cache
from rig import debian_roots, qemu
from rig.machine import MachineError
from rig.proof.proof_handover import prove_handover
from rig.proof.proof_install import prove_install
from rig.proof.proof_machine import (
    BASELINE,
    PATH,
    ProofMachine,
    compiled,
    proof_machine,
    require_active,
    require_equal,
    require_priority,
    require_same_generation,
    step,
    wait_applied,
)
from rig.proof.proof_netboot import prove_netboot
from rig.proof.proof_network import prove_network
from rig.proof.proof_prebuilt import prove_prebuilt
from rig.proof.proof_secrets import prove_secrets
from rig.proof.proof_tutorial import prove_tutorial

PARTS = ("ram", "disk", "handover", "prebuilt", "netboot", "diskless", "install", "secrets", "dracut", "network")
DOCUMENT = """\
ordain: v1
kind: Layer
name: machine
services:
  web: {command: [/usr/bin/python3, -m, http.server, "8080"], user: www, description: Web}
  tick: {command: [/bin/touch, /run/ticked], schedule: {after-boot: 5s}}
  early: {command: /bin/true, type: oneshot, remain: true, phase: early}
  cron: {nice: 5}
users:
  www: {system: true}
files:
  /etc/motd: {content: "Made from documents.\\n"}
sysctl:
  kernel.domainname: proof
"""
UNITS = ("web.service", "tick.timer", "early.service", "cron.service")
DAMAGE = """\
rm -rf /etc/ordain /usr/share/ordain /var/lib/ordain /etc/motd
rm -f /usr/lib/systemd/system/ordain-* /usr/lib/systemd/system/cron.service
rm -f /usr/lib/systemd/system-generators/ordain-generator /run/systemd/generator/*.service
"""
PLACED = """\
cd /run/systemd
for top in generator generator.early generator.late; do
	[ ! -d $top ] || find $top -type f -o -type l | grep -v getty | sort
done | while read -r path; do
	if [ -L "$path" ]; then echo "$path -> $(readlink "$path")"; else sha256sum "$path"; fi
done
"""


def main() -> int:
    """Prove all parts in order; return the exit status."""
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="make proof", description=__doc__, formatter_class=about)
    parser.add_argument("--suite", default="trixie", choices=debian_roots.SUITES)
    parser.add_argument("--only", choices=PARTS, help="prove only this part")
    asked = parser.parse_args()
    if reason := debian_roots.missing_tools() or qemu.missing_tools():
        print(f"make proof: {reason}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything that was started is stopped
    began = time.monotonic()
    try:
        _prove(asked.suite, {asked.only} if asked.only else set(PARTS))
    except MachineError as error:
        print(f"NOT PROVEN: {error}")
        return 1
    print(f"proven, in {time.monotonic() - began:.0f} s")
    return 0


def _prove(suite: str, parts: set[str]) -> None:
    if parts - {"dracut"}:
        more = qemu.INSTALLING[suite] if "install" in parts else ()
        with proof_machine(suite, more=more, ram=not parts.isdisjoint({"ram", "secrets", "network"})) as made:
            wanted = compiled(made, DOCUMENT)
            if "ram" in parts:
                ram(made, wanted)
            if "disk" in parts:
                disk(made, wanted)
            if "handover" in parts:
                prove_handover(made, DOCUMENT, wanted, credential="smbios")
            if "prebuilt" in parts:
                prove_prebuilt(made, DOCUMENT)
            if "netboot" in parts:
                prove_netboot(made, DOCUMENT)
            if "diskless" in parts:
                prove_tutorial(made)
            if "install" in parts:
                prove_install(made, DOCUMENT)
            if "secrets" in parts:
                prove_secrets(made)
            if "network" in parts:
                prove_network(made)
    if "dracut" in parts:
        with proof_machine(suite, maker="dracut", ram=False) as made:
            prove_handover(made, DOCUMENT, compiled(made, DOCUMENT), credential="fw_cfg")


def ram(made: ProofMachine, wanted: Cache) -> None:
    """Prove that kernel, initrd and an appended document make a machine, and that a reboot repairs all damage."""
    document = qemu.cpio({PATH.lstrip("/"): DOCUMENT.encode()})
    with qemu.Qemu(made.home / "ram", kernel=made.kernel, initrds=[made.ram, document]) as machine:
        with step("a machine in RAM from kernel, initrd and document"):
            machine.wait_boot()
            require_same_generation("the generation in RAM", wait_applied(machine, "handed"), wanted)
            placed = machine.run(PLACED)
            require_active(machine, *UNITS)
            require_equal("the file of the documents", machine.run("cat /etc/motd"), "Made from documents.\n")
            require_equal("its root", machine.run("findmnt -n -o FSTYPE / | tail -n 1").strip(), "rootfs")
            require_priority(machine)
        with step("damaged, and booted again"):
            machine.run(DAMAGE)
            machine.reboot()
            require_same_generation("the generation in RAM", wait_applied(machine, "handed"), wanted)
            require_equal("the placed units", machine.run(PLACED), placed)
            require_active(machine, *UNITS)


def disk(made: ProofMachine, wanted: Cache) -> None:
    """Prove that the same documents give the same artifacts on a disk."""
    with step("a disk with the compiled documents"):
        bake(made.tree, [(PATH, DOCUMENT.encode())])
        image = made.home / "disk.img"
        qemu.disk_image(made.tree, image, size_mb=2048)
        for path in (PATH, BASELINE):
            (made.tree / path.lstrip("/")).unlink()
    words = "root=/dev/vda rw"
    with (
        step("a machine on that disk"),
        qemu.Qemu(
            made.home / "disk", kernel=made.kernel, initrds=[made.initrd], cmdline=words, disks=[image]
        ) as machine,
    ):
        machine.wait_boot()
        require_same_generation("the generation on disk", wait_applied(machine, "baseline"), wanted)
        require_active(machine, *UNITS)
        require_equal("its root", machine.run("findmnt -n -o FSTYPE /").strip(), "ext4")
    image.unlink()


if __name__ == "__main__":
    sys.exit(main())
