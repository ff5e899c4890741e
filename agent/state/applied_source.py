"""The record of the source that the generation in force came from.

A generation from another source may remove more than the limit allows (`plan.removal_limit`).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from ordain.agent.system import atomic_files

PATH = "var/lib/ordain/source"


def read_applied_source(root: Path) -> str:
    """Return the location of the source that was applied last, ``""`` if it is unknown."""
    try:
        return atomic_files.read(root / PATH).decode().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def write_applied_source(root: Path, location: str) -> None:
    """Record the location of the source. If that fails, the next boot accepts any source, as a first boot does."""
    with contextlib.suppress(OSError):
        if read_applied_source(root) != location:
            atomic_files.make_folder((root / PATH).parent)
            atomic_files.replace(root / PATH, f"{location}\n".encode())
