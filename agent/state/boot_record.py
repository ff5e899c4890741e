"""This boot: its id, and what the generator's record says it placed."""

from __future__ import annotations

from pathlib import Path

from ordain.transforms.machine import rootfs

RECORD = "run/ordain/boot/choice"
"""Written by the generator at every run (`generator.main`)."""


def boot_id(root: Path) -> str:
    """The id of this boot, 32 hex digits; "" if the kernel does not tell."""
    data = rootfs.read(root, "proc/sys/kernel/random/boot_id")
    return data.decode("ascii", "replace").strip().replace("-", "") if data else ""


def read_boot_record(root: Path) -> dict[str, tuple[str, ...]]:
    """The generator's record of this boot: each key with its values; empty if there is none."""
    data = rootfs.read(root, RECORD)
    found: dict[str, tuple[str, ...]] = {}
    for line in (data or b"").decode(errors="replace").splitlines():
        key, _, value = line.partition("=")
        found[key] = (*found.get(key, ()), value)
    return found if boot_id(root) in found.get("boot_id", ()) else {}


def placed_hash(root: Path) -> str:
    """The hash of the generation that was placed last; "" if none was."""
    return read_boot_record(root).get("hash", ("",))[0]


def placed_number(root: Path) -> int:
    """The number of the generation that was placed last; 0 if none was."""
    number = read_boot_record(root).get("number", ("0",))[0]
    return int(number) if number.isdecimal() else 0
