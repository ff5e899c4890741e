"""What the machines of `make proof` are made of, and how a proof speaks: a line a step, an error that ends it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig import package, qemu, roots
from rig.machine import MachineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """``tree`` is a Debian with Ordain, off; ``ram`` the same as an initrd, without the kernel's modules."""

    home: Path
    tree: Path
    kernel: Path
    initrd: Path
    ram: Path


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is done, and how long it took."""
    print(f"{what} …", flush=True)
    began = time.monotonic()
    yield
    print(f"    {time.monotonic() - began:.0f} s", flush=True)


def same(what: str, found: object, wanted: object) -> None:
    """Raise `MachineError` unless ``found`` is ``wanted``."""
    if found != wanted:
        raise MachineError(f"{what} is\n{found}\nand should be\n{wanted}")


@contextmanager
def kit(suite: str) -> Iterator[Kit]:
    """A Debian with the packages of this tree, and what boots it."""
    with ExitStack() as stack:
        with step(f"a Debian ({suite}) with Ordain, as an initrd"):
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
