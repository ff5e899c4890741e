"""Machines that boot from the network: Debian's iPXE, dnsmasq and `ordainctl serve` in a network namespace.

directory ─ordainctl serve─▶ a machine that is adopted · a machine with BIOS, a damaged image, a restarted server
store ─two relays─▶ a machine with UEFI: the canary of a release, one relay killed, the image of before by channel
"""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

from ordain.agent.netboot.images import StoredImage
from ordain.agent.netboot.machine_records import read_records
from ordain.agent.netboot.pack import pack
from rig import qemu
from rig.machine import MachineError
from rig.proof.netboot_site import ADDRESS, PORT, Site
from rig.proof.proof_machine import PATH, ProofMachine, require_active, require_equal, step, wait_applied

MAC = "52:54:00:0d:0a:01"
OTHERS = ("52:54:00:0d:0a:03", "52:54:00:0d:0a:04")
"""Machines that boot the same as the first one, and are only asked for here."""
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
  arguments: {CONSOLE, proof: [first, {template: "{{ facts.system_firmware }}"}], MORE}
---
ordain: v1
kind: Layer
name: canary
tier: role
match: {proof: canary}
netboot: {image: SECOND, arguments: {proof: [second, {template: "{{ facts.system_firmware }}"}]}}
"""
NODE = """---
ordain: v1
kind: Node
name: netboot{number}
match: {{mac: "{mac}"}}
labels: {{boots: ram, proof: {label}}}
"""
HANDED = """---
ordain: v1
kind: Layer
name: handed
match: {boots: ram}
netboot: {initrds: [documents.cpio]}
"""
MOTD = "Made from documents.\n"
UNITS = ("web.service", "tick.timer", "early.service", "cron.service")
FIRMWARE = Path("/usr/share/OVMF")
CODE, VARIABLES = "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"
"""UEFI for qemu, of Debian's package ovmf."""
DAMAGED = r"/root: (it could not be decompressed|its digest is .*)"


def prove_netboot(made: ProofMachine, document: str) -> None:
    """Boot machines into RAM from images that documents name, by BIOS and by UEFI.

    A machine that nobody knows is adopted, and says that it has too little memory. The archive of another one is
    damaged, and the server restarts while it is fetched. Then two relays serve signed releases. A label makes one of
    three machines a canary, which boots another image; a relay is killed, and the next release comes by the other one;
    it has the channel boot the image of before. The services of the documents run each time, and the machine reports
    each good boot.
    """
    with Site(made.home / "site") as site:
        with step("two images of one tree"):
            site.ordainctl("release", "keygen", str(site.home / "ops"))
            trust = made.tree / "etc/ordain/trust"
            trust.mkdir(exist_ok=True)
            shutil.copy(site.home / "ops.pub", trust)
            first = proof_image(made, site.files, "1")
            second = proof_image(made, site.files, "2")
        handed = qemu.cpio({f"ordain/{PATH.rpartition('/')[2]}": document.encode()})
        (site.files / "documents.cpio").write_bytes(handed)
        images = {"first": str(first.reference), "second": str(second.reference)}
        _write(site.documents, _netboot_text(**images, label="stable") + HANDED)
        site.start_server()
        with step("an unknown machine that is adopted, and has too little memory"):
            _adopt_small_machine(made, site)
        with step("a machine with BIOS; its image is damaged, and the server restarts"):
            _boot_by_bios(made, site, first)
        site.stop_server()
        releases = _Releases(site, document)
        releases.publish(_netboot_text(**images, label="canary", more=SOURCE))
        for number in (1, 2):
            site.start_relay(number, releases.store)
        with step("two relays, and one of three machines is a canary"):
            _require_images(site, ["2", "1", "1"])
        with _machine(made, site, uefi(made.home)) as machine:
            with step("the canary has UEFI: another image, with a signed release from the relays"):
                machine.wait_boot(timeout=1800)
                _wait_released(machine, MOTD)
                _require_boot(machine, ["second", "uefi"], "2", release="stable:1")
                wait_good(site.relay_state(1), images["second"])
            with step("one relay is killed, and the next release comes by the other one"):
                site.stop_relay(1)
                releases.publish(_netboot_text(**images, label="stable", more=SOURCE), motd="Changed.\n")
                _wait_released(machine, "Changed.\n")
            with step("it starts again: the channel boots the image of before"):
                site.start_relay(1, releases.store)
                _require_images(site, ["1", "1", "1"])
                machine.reboot(timeout=1800)
                _wait_released(machine, "Changed.\n")
                _require_boot(machine, ["first", "uefi"], "1", release="stable:2")
                wait_good(site.relay_state(1), images["first"])


class _Releases:
    """Signed releases of the documents of the machines and of their boots, in a store."""

    def __init__(self, site: Site, document: str) -> None:
        self.store = site.home / "store"
        self.store.mkdir()
        self._site, self._document, self._number = site, document, 0

    def publish(self, netboot: str, *, motd: str = MOTD) -> None:
        """Sign and publish the next release."""
        self._number += 1
        documents, file = self._site.home / f"release{self._number}", self._site.home / f"{self._number}.json"
        documents.mkdir()
        (documents / "netboot.yaml").write_text(netboot)
        (documents / "machine.yaml").write_text(self._document.replace(json.dumps(MOTD), json.dumps(motd)))
        words = ["--key", str(self._site.home / "ops.key"), "--number", str(self._number), "--output", str(file)]
        self._site.ordainctl("release", "create", str(documents), *words)
        self._site.ordainctl("release", "publish", str(file), str(documents), "--store", str(self.store))


def _require_images(site: Site, wanted: list[str]) -> None:
    """Wait until both relays have these images for the three machines."""
    end = time.monotonic() + 60
    for relay in (1, 2):
        while (found := _images(site, relay)) != wanted:
            if time.monotonic() > end:
                require_equal(f"the images of three machines at relay {relay}", found, wanted)
            time.sleep(0.5)


def _images(site: Site, relay: int) -> list[str]:
    scripts = [site.script(mac, relay) for mac in (MAC, *OTHERS)]
    return ["".join(re.findall(r"images/proof/(\d+)/kernel", script)) for script in scripts]


def _wait_released(machine: qemu.Qemu, motd: str) -> None:
    """Wait until the machine has the documents of a release, and runs their services."""
    end = time.monotonic() + 900
    active = f"systemctl is-active {' '.join(UNITS)} | grep -c ^active"
    while machine.run(f"cat /etc/motd; {active}", check=False) != f"{motd}{len(UNITS)}\n":
        if time.monotonic() > end:
            raise MachineError(
                machine.run("ordainctl status; journalctl -b -u ordain-source -u ordain-agent", check=False)
            )
        time.sleep(2)


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
        wait_applied(machine, "handed")
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


def _require_boot(machine: qemu.Qemu, words: list[str], image: str, *, release: str = "") -> None:
    require_active(machine, *UNITS)
    line = machine.run("cat /proc/cmdline")
    require_equal("the arguments", re.findall(r" proof=(\S+)", line), words)
    require_equal("the release that it booted", "".join(re.findall(r" ordain\.release=(\S+)", line)), release)
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


def _netboot_text(*, first: str, second: str, label: str, more: str = "") -> str:
    """Return the documents about boots; the first machine has the label."""
    arguments = ", ".join(f"{name}: {value}" for name, _, value in (word.partition("=") for word in _WORDS))
    text = DOCUMENTS.replace("FIRST", first).replace("SECOND", second).replace("CONSOLE", arguments)
    labels = [label, "stable", "stable"]
    nodes = [
        NODE.format(number=n, mac=mac, label=of)
        for n, (mac, of) in enumerate(zip((MAC, *OTHERS), labels, strict=True), 1)
    ]
    return text.replace(", MORE", f", {more}" if more else "") + "".join(nodes)


def _write(directory: Path, text: str) -> None:
    """Replace the documents as a whole, so that no server reads a half."""
    new = directory / ".new"
    new.write_text(text)
    new.rename(directory / "netboot.yaml")


_WORDS = qemu.CONSOLE.split()
SOURCE = f'ordain.source: "relay+http://{ADDRESS}:{PORT},{ADDRESS}:{PORT + 1}"'
"""The argument by which a machine knows both relays."""
