"""`make proof`: a whole Debian from RAM and from a disk, out of the same documents, under qemu.

1  kernel + initrd + an appended document: the services of the documents run
2  /etc/ordain, /usr/share/ordain and the units vandalised, reboot: identical again
3  the same documents baked into a disk: artifacts identical, byte for byte
4  a bare disk, a document by each way an initrd or hypervisor has, one from a boot server: all of them run
5  cards, a bond, a bridge, a VLAN, a VRF, WireGuard, mounts on a kernel with all drivers: as asked, changed, saved
"""

from __future__ import annotations

import argparse
import base64
import http.server
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ordain.agent.image import bake
from ordain.generator.cache import Cache, unpack
from rig import qemu, roots
from rig.kit import Kit, kit, same, step
from rig.machine import MachineError
from rig.proof_network import network

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
PATH = "/etc/ordain/documents/machine.yaml"
VANDALS = """\
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
    """All of it, in order. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="make proof", description=__doc__)
    parser.add_argument("--suite", default="trixie", choices=roots.SUITES)
    parser.add_argument("--only", choices=("network",), help="leave out the others")
    asked = parser.parse_args()
    if reason := roots.missing() or qemu.missing():
        print(f"make proof: {reason}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all that was started is stopped
    try:
        with kit(asked.suite) as made:
            if not asked.only:
                from_ram = ram(made)
                disk(made, from_ram)
                every_way(made, from_ram)
            network(made)
    except MachineError as error:
        print(f"NOT PROVEN: {error}")
        return 1
    print("proven")
    return 0


def ram(made: Kit) -> Cache:
    """Kernel, initrd and an appended document are a machine; what was done to it is gone after a reboot."""
    document = qemu.cpio({PATH.lstrip("/"): DOCUMENT.encode()})
    with qemu.Qemu(made.home / "ram", kernel=made.kernel, initrds=[made.ram, document]) as machine:
        with step("a machine in RAM, of kernel, initrd and document"):
            machine.wait_boot()
            first = _settled(machine)
            placed = machine.run(PLACED)
            _services(machine, "web.service", "tick.timer", "early.service", "cron.service")
            same("the file of the documents", machine.run("cat /etc/motd"), "Made from documents.\n")
            same("its root", machine.run("findmnt -n -o FSTYPE / | tail -n 1").strip(), "rootfs")
        with step("vandalised, and booted again"):
            machine.run(VANDALS)
            machine.reboot()
            _same("the generation", _settled(machine), first)
            same("what is placed", machine.run(PLACED), placed)
            _services(machine, "web.service", "tick.timer", "early.service", "cron.service")
    return first


def disk(made: Kit, from_ram: Cache) -> None:
    """The same documents on a disk are the same artifacts."""
    with step("a disk with the documents baked in"):
        bake(made.tree, [(PATH, DOCUMENT.encode())])
        image = made.home / "disk.img"
        qemu.disk_image(made.tree, image, size_mb=2048)
        for path in (PATH, "/usr/lib/ordain/boot/baseline"):
            (made.tree / path.lstrip("/")).unlink()
    with (
        step("a machine on that disk"),
        qemu.Qemu(
            made.home / "disk", kernel=made.kernel, initrds=[made.initrd], cmdline="root=/dev/vda rw", disks=[image]
        ) as machine,
    ):
        machine.wait_boot()
        _same("the generation on disk", _settled(machine), from_ram)
        _services(machine, "web.service", "tick.timer", "early.service", "cron.service")
        same("its root", machine.run("findmnt -n -o FSTYPE /").strip(), "ext4")
    image.unlink()


def every_way(made: Kit, from_ram: Cache) -> None:
    """A disk without documents, and one by each way there is: appended, labelled, credential, boot server."""

    def service(name: str) -> bytes:
        text = "ordain: v1\nkind: Layer\nname: NAME\nservices: {NAME: {command: /bin/sleep infinity}}\n"
        return text.replace("NAME", name).encode()

    with step("a bare disk, and one labelled ORDAIN"):
        image, label = made.home / "bare.img", made.home / "label.img"
        qemu.disk_image(made.tree, image, size_mb=2048)
        folder = made.home / "label"
        (folder / "ordain").mkdir(parents=True)
        (folder / "ordain/labelled.yaml").write_bytes(service("labelled"))
        qemu.disk_image(folder, label, label="ORDAIN", size_mb=8)
    credential = base64.b64encode(service("credential")).decode()
    smbios = f"type=11,value=io.systemd.credential.binary:ordain.document={credential}"
    with _served({"/proof.yaml": DOCUMENT.encode()}) as port:
        words = f"root=/dev/vda rw ordain.disk ordain.source=http://10.0.2.2:{port}/{{hostname}}.yaml"
        with (
            step("a machine on the bare disk, documents by four ways"),
            qemu.Qemu(
                made.home / "ways",
                kernel=made.kernel,
                initrds=[made.initrd, qemu.cpio({"ordain/appended.yaml": service("appended")})],
                cmdline=words,
                disks=[image, label],
                network=True,
                options=["-smbios", smbios],
            ) as machine,
        ):
            machine.wait_boot()
            found = _settled(machine)
            _services(machine, "appended.service", "labelled.service", "credential.service", "web.service")
            told = [(path, (text or b"").replace(b"/run/ordain/documents/source.yaml", PATH.encode()), link)
                    for path, _, text, link in found.entries]  # fmt: skip
            missing = {(path, text or b"", link) for path, _, text, link in from_ram.entries} - set(told)
            same("what the boot server's machine lacks", sorted(missing), [])


def _settled(machine: qemu.Qemu) -> Cache:
    """The generation in force once the agent has applied what there is; what the generator made of it is told."""
    end = time.monotonic() + 600
    while machine.run("test -e /etc/ordain/boot/current && echo there", check=False).strip() != "there":
        if time.monotonic() > end:
            raise MachineError(
                f"the agent applies nothing\n{machine.run('journalctl -b -u ordain-agent', check=False)}"
            )
        time.sleep(2)
    said = machine.run("journalctl -b -o cat -t ordain-generator | head -n 1", check=False).strip()
    took = machine.run("systemd-analyze", check=False).partition("\n")[0]
    print(f"    {said}; {took}")
    return unpack(base64.b64decode(machine.run("base64 -w0 /etc/ordain/boot/current")))


def _services(machine: qemu.Qemu, *units: str) -> None:
    for unit in units:
        state = machine.run(f"systemctl is-active {unit}", check=False).strip()
        if state != "active":
            raise MachineError(f"{unit} is {state}\n{machine.run(f'systemctl status {unit}', check=False)}")


def _same(what: str, found: Cache, wanted: Cache) -> None:
    same(what, (found.hash, found.entries, found.files), (wanted.hash, wanted.entries, wanted.files))


@contextmanager
def _served(files: Mapping[str, bytes]) -> Iterator[int]:
    """A boot server on a port of this host."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = files.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    sys.exit(main())
