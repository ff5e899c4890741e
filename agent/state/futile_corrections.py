"""Corrections that an apply has tried in this boot without an effect, so that no later apply tries them again.

systemd-sysctl and mount(8) exit with 0 when the kernel takes another value than the one that they write.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ordain.agent.model import Change
from ordain.agent.system import atomic_files

PATH = "run/ordain/futile-corrections"
Correction = tuple[str, ...]
"""A change as unit, section, key, value of the machine and wanted value."""


def correction(change: Change) -> Correction:
    """Return ``change`` without its effect and its places in the documents."""
    return change.unit, change.section, change.key, " ".join(change.old), " ".join(change.new)


def read_futile_corrections(root: Path) -> frozenset[Correction]:
    """Return the corrections of this boot that had no effect; none if the record cannot be read."""
    try:
        return frozenset(tuple(map(str, row)) for row in json.loads(atomic_files.read(root / PATH)))
    except (OSError, ValueError, TypeError):
        return frozenset()


def add_futile_corrections(root: Path, corrections: Iterable[Correction]) -> None:
    """Add ``corrections`` to those of this boot. Raises `OSError`."""
    rows = sorted(read_futile_corrections(root) | frozenset(corrections))
    atomic_files.make_folder((root / PATH).parent)
    atomic_files.replace(root / PATH, json.dumps(rows).encode())
