"""`ordainctl help systems`: the known systems, and how far Ordain works on each."""

from __future__ import annotations

from ordain.agent.cli.help_text import aligned
from ordain.transforms.catalog.system_support import LEVELS, system_support


def systems_help() -> str:
    """Return the table of systems for a terminal."""
    support = system_support()
    levels = aligned(tuple(LEVELS.items()), max(map(len, LEVELS)))
    rows = [(name, f"{row.level}: {row.known}") for name, row in support.items()]
    head = "The systems that `--os` knows; a minor release (rhel-9.6) has the row of its major release."
    return "\n".join([head, "", *levels, "", *aligned(rows, max(map(len, support)))]) + "\n"
