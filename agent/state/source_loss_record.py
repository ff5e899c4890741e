"""What was stopped since the source was lost, in /run: the plan leaves it as it is; effect: reads one file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ordain.agent.json_codec import from_json

PATH = "run/ordain/source-loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLossRecord:
    """``since``: seconds of CLOCK_BOOTTIME, 0 while the source is there; ``stopped``: units, sorted."""

    since: float = 0.0
    stopped: tuple[str, ...] = ()


def read_source_loss(root: Path) -> SourceLossRecord:
    """What was written down in this boot; nothing, if that cannot be read."""
    try:
        return from_json(SourceLossRecord, json.loads((root / PATH).read_bytes()))
    except (OSError, ValueError, TypeError, AttributeError):
        return SourceLossRecord()
