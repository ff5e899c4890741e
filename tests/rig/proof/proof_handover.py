"""A disk without documents, and a document by each way that an initrd or a hypervisor has: all their services run.

appended to the initrd, on a labelled disk, a boot server   ─the initrd▶ /run/ordain ─switch of the root▶ generator
a credential by SMBIOS, or by fw_cfg                        ─PID 1▶ /run/credentials ─▶ generator
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ordain.generator.cache import Cache
from rig import qemu
from rig.proof.proof_machine import PATH, ProofMachine, require_active, require_equal, step, wait_applied
from support.stores.http_server import QuietHandler, serving

HANDED = ("appended.yaml", "labelled.yaml", "source.yaml")


def prove_handover(made: ProofMachine, document: str, wanted: Cache, *, credential: str) -> None:
    """Boot a machine with documents by all ways; the credential is passed by ``smbios`` or ``fw_cfg``.

    The boot server has ``document``, which compiles to ``wanted``.
    """
    with step("a disk without documents, and one with the label ORDAIN"):
        image, label = made.home / "bare.img", made.home / "label.img"
        qemu.disk_image(made.tree, image, size_mb=2048)
        folder = made.home / "label"
        (folder / "ordain").mkdir(parents=True)
        (folder / "ordain/labelled.yaml").write_bytes(_service("labelled"))
        qemu.disk_image(folder, label, label="ORDAIN", size_mb=8)
    with _served({"/proof.yaml": document.encode()}) as port:
        words = f"root=/dev/vda rw ordain.disk ordain.source=http://10.0.2.2:{port}/{{hostname}}.yaml"
        with (
            step(f"a machine with documents by four ways, the credential by {credential}"),
            qemu.Qemu(
                made.home / "handover",
                kernel=made.kernel,
                initrds=[made.initrd, qemu.cpio({"ordain/appended.yaml": _service("appended")})],
                cmdline=words,
                disks=[image, label],
                network=True,
                options=_credential(credential, made.home / "credential"),
            ) as machine,
        ):
            machine.wait_boot()
            found = wait_applied(machine, "handed")
            names = machine.run("cd /run/ordain/documents && echo *").split()
            require_equal("the documents after the switch of the root", tuple(names), HANDED)
            require_active(machine, "appended.service", "labelled.service", f"{credential.replace('_', '-')}.service")
            require_active(machine, "web.service", "tick.timer", "early.service", "cron.service")
            require_equal("its root", machine.run("findmnt -n -o FSTYPE /").strip(), "ext4")
            placed = [(path, (text or b"").replace(b"/run/ordain/documents/source.yaml", PATH.encode()), link)
                    for path, _, text, link in found.entries]  # fmt: skip
            missing = {(path, text or b"", link) for path, _, text, link in wanted.entries} - set(placed)
            require_equal("the missing units of the boot server's document", sorted(missing), [])
            print(f"    the boot server's document: {len(wanted.entries)} units and links, the same bytes", flush=True)
    image.unlink()


def _service(name: str) -> bytes:
    text = "ordain: v1\nkind: Layer\nname: NAME\nservices: {NAME: {command: /bin/sleep infinity}}\n"
    return text.replace("NAME", name).encode()


def _credential(way: str, file: Path) -> list[str]:
    """Return the options of qemu that pass a credential (docs/howto/boot-from-ram.md)."""
    text = _service(way.replace("_", "-"))
    if way == "smbios":
        value = f"io.systemd.credential.binary:ordain.document={base64.b64encode(text).decode()}"
        return ["-smbios", f"type=11,value={value}"]
    file.write_bytes(text)
    return ["-fw_cfg", f"name=opt/io.systemd.credentials/ordain.document,file={file}"]


@contextmanager
def _served(files: Mapping[str, bytes]) -> Iterator[int]:
    """Run a boot server on a port of this host; yield the port."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            data = files.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            self.wfile.write(data or b"")

    with serving(Handler) as port:
        yield port
