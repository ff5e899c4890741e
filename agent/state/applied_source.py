"""Which source the generation in force is from: another one is not held against it (`guard`); effect: one file."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ordain.agent.system import atomic_files

PATH = "var/lib/ordain/source"


def read_applied_source(root: Path) -> str:
    """The location of the source that was applied last; "" if that is not known."""
    try:
        return (root / PATH).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return ""


def write_applied_source(root: Path, location: str) -> None:
    """Write it down. Where that cannot be, the next boot takes what it finds, as the first one did."""
    with contextlib.suppress(OSError):
        if read_applied_source(root) != location:
            atomic_files.make_folder((root / PATH).parent)
            atomic_files.replace(root / PATH, f"{location}\n".encode())
