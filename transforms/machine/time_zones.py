"""The time zones that a machine has data about."""

from __future__ import annotations

from pathlib import Path

from ordain.transforms.machine import rootfs

ZONES = "usr/share/zoneinfo"


def is_missing(root: Path, zone: str) -> bool:
    """Return whether the machine has data about time zones, but not about ``zone``: then all programs use UTC."""
    return rootfs.exists(root, ZONES) and not rootfs.exists(root, f"{ZONES}/{zone}")
