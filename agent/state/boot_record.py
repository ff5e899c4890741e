"""The id of this boot, and the generator's record of the generation that it placed."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ordain.generator.choose import RECORD
from ordain.transforms.machine import rootfs


def boot_id(root: Path) -> str:
    """Return the id of this boot as 32 hex digits, ``""`` if it cannot be read."""
    data = rootfs.read(root, "proc/sys/kernel/random/boot_id")
    return data.decode("ascii", "replace").strip().replace("-", "") if data else ""


def read_boot_record(root: Path) -> dict[str, tuple[str, ...]]:
    """Return the generator's record of this boot: each key with its values; empty if there is no record."""
    data = b""
    with contextlib.suppress(OSError):  # something else is in its place: the next run of the generator replaces it
        data = rootfs.read(root, RECORD.lstrip("/")) or b""
    record: dict[str, tuple[str, ...]] = {}
    for line in data.decode(errors="replace").splitlines():
        key, _, value = line.partition("=")
        record[key] = (*record.get(key, ()), value)
    return record if boot_id(root) in record.get("boot_id", ()) else {}


def placed_hash(root: Path) -> str:
    """Return the hash of the generation that was placed last, ``""`` if none was placed."""
    return read_boot_record(root).get("hash", ("",))[0]
