"""The record of the units that were stopped because the source is lost; it is in /run, and the plan respects it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.json_codec import from_json
from ordain.agent.system import atomic_files

PATH = "run/ordain/source-loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLossRecord:
    """The loss of the source: ``since`` in seconds of CLOCK_BOOTTIME, 0 for none; ``stopped`` units, sorted."""

    since: float = 0.0
    stopped: tuple[str, ...] = ()


def read_source_loss(root: Path) -> SourceLossRecord:
    """Return the record of this boot, or an empty one if it cannot be read."""
    try:
        return from_json(SourceLossRecord, json.loads(atomic_files.read(root / PATH)))
    except (OSError, ValueError, TypeError, AttributeError):
        return SourceLossRecord()
