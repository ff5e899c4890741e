"""The units that ran when the generator failed, until it works again and has them started (`generator_repair`)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from ordain.agent.system import atomic_files

PATH = "run/ordain/ran-before"


def read_running_record(root: Path) -> frozenset[str] | None:
    """Return the units, None if the generator has not failed."""
    try:
        return frozenset(map(str, json.loads((root / PATH).read_bytes())))
    except (OSError, ValueError, TypeError):
        return None


def write_running_record(root: Path, units: Iterable[str]) -> None:
    """Record the units. Raises `OSError`."""
    atomic_files.make_folder((root / PATH).parent)
    atomic_files.replace(root / PATH, json.dumps(sorted(units)).encode())


def remove_running_record(root: Path) -> None:
    """Forget the units. Raises `OSError`."""
    (root / PATH).unlink(missing_ok=True)
