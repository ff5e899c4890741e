"""Processes that were started between two looks, and before a reload, for this boot (`apply.deviations.unseen_starts`).

The time of the file is that of the last look.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from ordain.agent.system import atomic_files

PATH = "run/ordain/unseen-starts"


def read_unseen_starts(root: Path) -> tuple[int, Mapping[str, str]]:
    """Return the time of the last look in microseconds since 1970 (0: none), and the InvocationIDs by unit."""
    try:
        looked = (root / PATH).stat().st_mtime_ns // 1000
        rows = json.loads(atomic_files.read(root / PATH))
        return looked, {str(unit): str(invocation) for unit, invocation in rows.items()}
    except (OSError, ValueError, AttributeError):
        return 0, {}


def write_unseen_starts(root: Path, starts: Mapping[str, str], before: Mapping[str, str], looked_usec: int) -> None:
    """Write the record of a look, whose time is ``looked_usec``; ``before`` is what it holds now. Raises `OSError`."""
    path = root / PATH
    if starts != before or not path.exists():
        atomic_files.make_folder(path.parent)
        atomic_files.replace(path, json.dumps(dict(sorted(starts.items()))).encode())
    os.utime(path, ns=(looked_usec * 1000, looked_usec * 1000))
