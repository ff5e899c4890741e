"""The outcome of the last apply of this boot, for the status, `explain`, and a caller who lost the answer."""

from __future__ import annotations

import json
from pathlib import Path

from ordain.agent.json_codec import from_json
from ordain.agent.model import Outcome, to_json
from ordain.agent.system import atomic_files

PATH = "run/ordain/outcome.json"


def write_last_outcome(root: Path, outcome: Outcome) -> None:
    """Record the outcome of an apply. Raises `OSError`."""
    atomic_files.replace(root / PATH, json.dumps(to_json(outcome)).encode())


def read_last_outcome(root: Path) -> Outcome | None:
    """Return the outcome of the last apply of this boot, None if there was none."""
    try:
        return from_json(Outcome, json.loads(atomic_files.read(root / PATH)))
    except (OSError, ValueError, TypeError, AttributeError):
        return None
