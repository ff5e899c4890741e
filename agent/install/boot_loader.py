"""The boot loader of a disk: GRUB, for each firmware for which the image carries it.

One loader reads the same configuration and the same file systems under BIOS and UEFI, and Debian has it in packages.
It is written when it differs from the one in the image only, because its blocks for BIOS have no atomic replacement.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path

from ordain.agent.errors import Failure
from ordain.agent.install.tools import PACKAGES, Tools

FIRMWARES: Mapping[str, Mapping[str, str]] = {
    "x86_64": {"bios": "i386-pc", "uefi": "x86_64-efi"},
    "aarch64": {"uefi": "arm64-efi"},
    "riscv64": {"uefi": "riscv64-efi"},
}
"""The targets of grub-install(8), by machine and firmware."""
MODULES = "usr/lib/grub"
FILE_SYSTEM_MODULES = "part_gpt fat ext2 xfs btrfs search search_fs_uuid linux echo sleep test"


def firmware_of(root: Path) -> str:
    """Return the firmware with which this machine runs."""
    return "uefi" if (root / "sys/firmware/efi").is_dir() else "bios"


def require_loader(root: Path, firmware: str) -> None:
    """Raise `Failure` unless the image carries a boot loader for ``firmware``."""
    targets = FIRMWARES.get(platform.machine(), {})
    target = targets.get(firmware, "")
    if not (target and (root / MODULES / target / "moddep.lst").exists()):
        raise Failure(
            f"this image has no boot loader for {firmware} on {platform.machine()}; "
            f"install {PACKAGES['grub-install']} in the tree, and make the image again"
        )


def loader_fingerprint(root: Path) -> str:
    """Return a fingerprint of the boot loaders in the image."""
    digest = hashlib.sha256()
    for target in sorted(FIRMWARES.get(platform.machine(), {}).values()):
        for name in ("kernel.img", "moddep.lst", "normal.mod"):
            path = root / MODULES / target / name
            digest.update(f"{target}/{name}:".encode() + (path.read_bytes() if path.exists() else b""))
    return digest.hexdigest()[:16]


def install_loader(root: Path, disk: Path, esp: Path, tools: Tools) -> None:
    """Write the boot loaders in the image to the disk. Raises `Failure`."""
    for firmware, target in FIRMWARES.get(platform.machine(), {}).items():
        if (root / MODULES / target / "moddep.lst").exists():
            words = [f"--target={target}", f"--boot-directory={esp}", f"--modules={FILE_SYSTEM_MODULES}"]
            efi = [f"--efi-directory={esp}", "--removable", "--no-nvram"] if firmware == "uefi" else []
            tools.run("grub-install", *words, *efi, disk)
