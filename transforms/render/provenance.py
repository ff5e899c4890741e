"""Comments in placed files: a header, and the place of the documents that each line was made from.

`ordain.agent.plan.source_location` reads the places back.
"""

from __future__ import annotations

from ordain.transforms.model import Leaf

MADE_BY = "Made by Ordain from documents; what is written here is lost."
FILE_HEADER = (MADE_BY, "`ordainctl explain {pointer}` tells more.")
"""The header of a file that is not a unit; ``pointer`` is its item."""
UNIT_HEADER = (MADE_BY, "`ordainctl explain {unit}` tells more, `systemctl edit {unit}` overrides it.")


def cause(leaf: Leaf) -> str:
    """Return the place of ``leaf`` as ``FILE:LINE LAYER POINTER``, the comment above the lines made from it."""
    return f"{leaf.where.path}:{leaf.where.line} {leaf.layer} {leaf.where.pointer}"


def comment(text: str) -> str:
    """Return ``text`` as a comment of one line; characters that do not print are escaped."""
    return "# " + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def file_header(pointer: str) -> list[str]:
    """Return the comments at the top of a file that the item ``pointer`` makes."""
    return [comment(line.format(pointer=pointer)) for line in FILE_HEADER]
