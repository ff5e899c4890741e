"""The dialects of scripts that can be imported."""

from __future__ import annotations

from ordain.transforms.runs.lsf_options import LSF
from ordain.transforms.runs.pbs_options import PBS
from ordain.transforms.runs.script_options import Dialect, has_directives
from ordain.transforms.runs.slurm_options import SLURM

DIALECTS = {dialect.name: dialect for dialect in (SLURM, PBS, LSF)}


def dialect_of(text: str) -> Dialect | None:
    """Return the dialect whose directives ``text`` has, None if it has none or several."""
    dialects = [dialect for dialect in DIALECTS.values() if has_directives(text, dialect.name)]
    return dialects[0] if len(dialects) == 1 else None
