"""`make proof`: a whole Debian from RAM and from a disk, out of the same documents, under qemu.

1  kernel + initrd + an appended document: the services of the documents run
2  /etc/ordain, /usr/share/ordain and the units vandalised, reboot: identical again
3  the same documents baked into a disk: artifacts identical, byte for byte
4  a bare disk, a document by each way an initrd or hypervisor has, one from a boot server: all of them run
"""

from __future__ import annotations

import argparse
import base64
import http.server
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.image import bake
from ordain.generator.cache import Cache, unpack
from rig import package, qemu, roots
from rig.machine import MachineError

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What the machines are made of: ``tree`` is a Debian with Ordain, off."""

    home: Path
    tree: Path
    kernel: Path
    initrd: Path
    ram: Path


def main() -> int:
    """All of it, in order. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="make proof", description=__doc__)
    parser.add_argument("--suite", default="trixie", choices=roots.SUITES)
    suite = parser.parse_args().suite
    if reason := roots.missing() or qemu.missing():
        print(f"make proof: {reason}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that all that was started is stopped
    try:
        with kit(suite) as made:
            from_ram = ram(made)
            disk(made, from_ram)
            every_way(made, from_ram)
    except MachineError as error:
        print(f"NOT PROVEN: {error}")
        return 1
    print("proven")
    return 0


@contextmanager
def kit(suite: str) -> Iterator[Kit]:
    """A Debian with the packages of this tree, and what boots it."""
    with ExitStack() as stack:
        with _step(f"a Debian ({suite}) with Ordain, as an initrd"):
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ordain-proof-", dir="/var/tmp")))
            tree = _tree(suite, home / "desk", stack)
            for name in ("vmlinuz", "initrd.img"):
                (found,) = (tree / "boot").glob(f"{name}-*")
                shutil.copy(found, home / name)
            qemu.ram_root(tree, home / "ram.zst")
        yield Kit(home=home, tree=tree, kernel=home / "vmlinuz", initrd=home / "initrd.img", ram=home / "ram.zst")


def _tree(suite: str, desk: Path, stack: ExitStack) -> Path:
    deb = package.build()
    layers = roots.with_package(suite, deb, package.for_initrds(deb), more=qemu.PACKAGES)
    desk.mkdir()
    roots.scratch(desk)
    stack.callback(_unmount, desk)
    for name in ("upper", "work", "tree"):
        (desk / name).mkdir()
    tree = desk / "tree"
    roots.overlay(layers, desk / "upper", desk / "work", tree)
    (tree / "etc/hostname").write_text("proof\n")
    # Emulated on a busy host, an agent may need minutes to start.
    slow = tree / "etc/systemd/system/ordain-agent.service.d/slow.conf"
    slow.parent.mkdir()
    slow.write_text("[Service]\nTimeoutStartSec=10min\nWatchdogSec=0\n")
    (tree / "etc/systemd/system/rig-shell.service").write_text(qemu.SHELL)
    wanted = tree / "etc/systemd/system/basic.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "rig-shell.service").symlink_to("../rig-shell.service")
    return tree


def _unmount(desk: Path) -> None:
    subprocess.run(["umount", "--recursive", "--lazy", desk], check=False, env=roots.CLEAN)


def ram(made: Kit) -> Cache:
    """Kernel, initrd and an appended document are a machine; what was done to it is gone after a reboot."""
    document = qemu.cpio({PATH.lstrip("/"): DOCUMENT.encode()})
    with qemu.Qemu(made.home / "ram", kernel=made.kernel, initrds=[made.ram, document]) as machine:
        with _step("a machine in RAM, of kernel, initrd and document"):
            machine.wait_boot()
            first = _settled(machine)
            placed = machine.run(PLACED)
            _services(machine, "web.service", "tick.timer", "early.service", "cron.service")
            _is("the file of the documents", machine.run("cat /etc/motd"), "Made from documents.\n")
            _is("its root", machine.run("findmnt -n -o FSTYPE / | tail -n 1").strip(), "rootfs")
        with _step("vandalised, and booted again"):
            machine.run(VANDALS)
            machine.reboot()
            _same("the generation", _settled(machine), first)
            _is("what is placed", machine.run(PLACED), placed)
            _services(machine, "web.service", "tick.timer", "early.service", "cron.service")
    return first


def disk(made: Kit, from_ram: Cache) -> None:
    """The same documents on a disk are the same artifacts."""
    with _step("a disk with the documents baked in"):
        bake(made.tree, [(PATH, DOCUMENT.encode())])
        image = made.home / "disk.img"
        qemu.disk_image(made.tree, image, size_mb=2048)
        for path in (PATH, "/usr/lib/ordain/boot/baseline"):
            (made.tree / path.lstrip("/")).unlink()
    with (
        _step("a machine on that disk"),
        qemu.Qemu(
            made.home / "disk", kernel=made.kernel, initrds=[made.initrd], cmdline="root=/dev/vda rw", disks=[image]
        ) as machine,
    ):
        machine.wait_boot()
        _same("the generation on disk", _settled(machine), from_ram)
        _services(machine, "web.service", "tick.timer", "early.service", "cron.service")
        _is("its root", machine.run("findmnt -n -o FSTYPE /").strip(), "ext4")
    image.unlink()


def every_way(made: Kit, from_ram: Cache) -> None:
    """A disk without documents, and one by each way there is: appended, labelled, credential, boot server."""

    def service(name: str) -> bytes:
        text = "ordain: v1\nkind: Layer\nname: NAME\nservices: {NAME: {command: /bin/sleep infinity}}\n"
        return text.replace("NAME", name).encode()

    with _step("a bare disk, and one labelled ORDAIN"):
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
            _step("a machine on the bare disk, documents by four ways"),
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
            _is("what the boot server's machine lacks", sorted(missing), [])


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
    _is(what, (found.hash, found.entries, found.files), (wanted.hash, wanted.entries, wanted.files))


def _is(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise MachineError(f"{what} is\n{found}\nand should be\n{wanted}")


@contextmanager
def _step(what: str) -> Iterator[None]:
    print(f"{what} …", flush=True)
    began = time.monotonic()
    yield
    print(f"    {time.monotonic() - began:.0f} s", flush=True)


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
