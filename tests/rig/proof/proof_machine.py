"""The machines of `make proof`, and its output: a line for each step, and an error that ends it."""

from __future__ import annotations

import base64
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.compile.image import bake
from ordain.generator.cache import Cache, unpack
from rig import debian_roots, package, qemu
from rig.machine import MachineError

PATH = "/etc/ordain/documents/machine.yaml"
BASELINE = "/usr/lib/ordain/boot/baseline"
MAKERS = {"initramfs-tools": qemu.PACKAGES, "dracut": (*qemu.KERNEL, "dracut", "dracut-network")}
"""The programs that make an initrd, and the packages that they need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofMachine:
    """A Debian with Ordain, its kernel and its initrd; ``ram`` is the same ``tree`` as an initrd without modules."""

    home: Path
    tree: Path
    kernel: Path
    initrd: Path
    ram: Path


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print the title of a step, and then the time that it took."""
    print(f"{title} …", flush=True)
    began = time.monotonic()
    yield
    print(f"    {time.monotonic() - began:.0f} s", flush=True)


def require_equal(what: str, found: object, wanted: object) -> None:
    """Raise `MachineError` unless ``found`` equals ``wanted``."""
    if found != wanted:
        raise MachineError(f"{what} is\n{found}\nand should be\n{wanted}")


@contextmanager
def proof_machine(
    suite: str, *, maker: str = "initramfs-tools", more: Sequence[str] = (), ram: bool = True
) -> Iterator[ProofMachine]:
    """Make a Debian with the packages of this tree and ``more``, its kernel, and an initrd by one of `MAKERS`."""
    with ExitStack() as stack:
        with step(f"a Debian ({suite}) with Ordain and {maker}"):
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ordain-proof-", dir="/var/tmp")))
            tree = _tree(suite, (*MAKERS[maker], *more), home / "desk", stack)
            if maker == "dracut":
                _dracut(tree)
            for name in ("vmlinuz", "initrd.img"):
                (found,) = (tree / "boot").glob(f"{name}-*")
                shutil.copy(found, home / name)
            if ram:
                qemu.ram_root(tree, home / "ram.zst")
        yield ProofMachine(
            home=home, tree=tree, kernel=home / "vmlinuz", initrd=home / "initrd.img", ram=home / "ram.zst"
        )


def compiled(made: ProofMachine, document: str) -> Cache:
    """Compile ``document`` for this Debian on this host; the tree does not change."""
    bake(made.tree, [(PATH, document.encode())])
    found = [made.tree / path.lstrip("/") for path in (PATH, BASELINE)]
    wanted = unpack(found[1].read_bytes())
    for path in found:
        path.unlink()
    return wanted


def wait_applied(machine: qemu.Qemu, origin: str) -> Cache:
    """Wait until the agent has applied the documents; return the generation, which must have come from ``origin``."""
    end = time.monotonic() + 900
    while machine.run("test -e /etc/ordain/boot/current && echo there", check=False).strip() != "there":
        if time.monotonic() > end:
            said = machine.run("journalctl -b -u ordain-agent -t ordain-generator", check=False)
            raise MachineError(f"the agent has applied nothing\n{said}")
        time.sleep(2)
    choice = dict(line.partition("=")[::2] for line in machine.run("cat /run/ordain/boot/choice").splitlines())
    if choice["from"] != origin:
        raise MachineError(f"placed from {choice['from']}, not from {origin}: {choice.get('note', '')}")
    took = machine.run("systemd-analyze", check=False).partition("\n")[0]
    print(f"    the generator: from {origin} in {int(choice['boot_usec']) / 1e6:.1f} s; {took}", flush=True)
    return unpack(base64.b64decode(machine.run("base64 -w0 /etc/ordain/boot/current")))


def require_active(machine: qemu.Qemu, *units: str) -> None:
    """Raise `MachineError` unless all ``units`` are active."""
    for unit in units:
        state = machine.run(f"systemctl is-active {unit}", check=False).strip()
        if state != "active":
            raise MachineError(f"{unit} is {state}\n{machine.run(f'systemctl status {unit}', check=False)}")
    print(f"    active: {', '.join(units)}", flush=True)


def require_priority(machine: qemu.Qemu) -> None:
    """Wait until the agent and its session precede the programs of users, which no container may set (`priority`)."""
    group = "/proc/$(systemctl show --property=MainPID --value ordain-agent)/autogroup"
    end = time.monotonic() + 900
    while not (told := machine.run(f"cat {group}", check=False).strip()).endswith("nice -10"):
        if time.monotonic() > end:
            raise MachineError(f"the session of the agent has no priority: {told}")
        time.sleep(2)
    print(f"    the agent: {told}", flush=True)


def require_same_generation(what: str, found: Cache, wanted: Cache) -> None:
    """Raise `MachineError` unless all placed units are the same, byte for byte."""
    require_equal(what, (found.hash, found.entries, found.files), (wanted.hash, wanted.entries, wanted.files))
    print(f"    {what}: {wanted.hash[:12]}, {len(wanted.entries)} units and links, the same bytes", flush=True)


def _dracut(tree: Path) -> None:
    """Make an initrd of dracut with our module, for any machine (docs/howto/boot-from-ram.md)."""
    (tree / "etc/dracut.conf.d/ordain.conf").write_text('add_dracutmodules+=" ordain "\n')
    (kernel,) = (tree / "usr/lib/modules").iterdir()
    chroot = ["unshare", "--mount", "--pid", "--fork", f"--mount-proc={tree}/proc", "chroot", str(tree)]
    command = ["dracut", "--force", "--no-hostonly", f"/boot/initrd.img-{kernel.name}", kernel.name]
    done = subprocess.run(
        [*chroot, *command], env=debian_roots.CLEAN_ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise MachineError(f"dracut cannot make an initrd:\n{done.stdout}{done.stderr}")


def _tree(suite: str, packages: Sequence[str], desk: Path, stack: ExitStack) -> Path:
    deb = package.build()
    layers = debian_roots.with_package(suite, deb, package.for_initrds(deb), more=packages)
    desk.mkdir()
    debian_roots.mount_tmpfs(desk)
    stack.callback(_unmount, desk)
    for name in ("upper", "work", "tree"):
        (desk / name).mkdir()
    tree = desk / "tree"
    debian_roots.mount_overlay(layers, desk / "upper", desk / "work", tree)
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
    subprocess.run(["umount", "--recursive", "--lazy", desk], check=False, env=debian_roots.CLEAN_ENVIRONMENT)
