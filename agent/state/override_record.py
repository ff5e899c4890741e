"""The files of others with which processes were started, for this boot: drop-ins of administrators, and unit files.

`apply.deviations.stale_overrides` and `apply.deviations.outdated_processes` have a record each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.agent.system import atomic_files

PATH = "run/ordain/overrides"
UNIT_FILES = "run/ordain/unit-files"
Texts = Mapping[str, str]
"""Files, by path, highest precedence first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverriddenProcess:
    """The files of others for one unit: ``read`` by PID 1 at the last look, ``started`` with the process.

    The process is the one with ``invocation_id``, ``""`` if none runs.
    """

    invocation_id: str = ""
    started: Texts = field(default_factory=dict)
    read: Texts = field(default_factory=dict)


def read_override_record(root: Path, path: str = PATH) -> Mapping[str, OverriddenProcess]:
    """Return the record by unit; nothing if it cannot be read."""
    try:
        rows = json.loads(atomic_files.read(root / path))
        return {unit: from_json(OverriddenProcess, row) for unit, row in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def write_override_record(root: Path, record: Mapping[str, OverriddenProcess], path: str = PATH) -> None:
    """Write the record, which only root may read: drop-ins can hold passwords. Raises `OSError`."""
    atomic_files.make_folder((root / path).parent)
    data = json.dumps({unit: to_json(process) for unit, process in sorted(record.items())}).encode()
    atomic_files.replace(root / path, data)
