"""Comments in placed files: a header, and the place in the documents that each line was made from.

    Leaf ──cause──▶ text ──comment──▶ a line of a file ──read_cause──▶ Cause

A comment applies to all lines below it, up to the next comment or section. `ordainctl explain` and the causes in a
plan are read back from these comments, so this module both writes and reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Leaf

MADE_BY = "Made by Ordain from documents; changes to this file are lost."
FILE_HEADER = (MADE_BY, "`ordainctl explain {pointer}` shows the documents it was made from.")
"""The header of a file that is not a unit; ``pointer`` is its item."""
UNIT_HEADER = (
    MADE_BY,
    "`ordainctl explain {unit}` shows the source of each line, `systemctl edit {unit}` overrides it.",
)

_DEFAULT = "default: "
_WRITTEN = (f"# {MADE_BY}", "# `ordainctl explain ", f"# {_DEFAULT}")
_CAUSE = lazy_pattern(r"# (?P<path>.*?):(?P<line>[0-9]+)(?::[0-9]+)?(?: (?P<layer>[^ /]*))? (?P<pointer>[^ ]*/.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """The place in the documents that a line of a placed file was made from."""

    path: str
    line: int = 0
    layer: str = ""
    pointer: str = ""


def cause(leaf: Leaf) -> str:
    """Return the place of ``leaf`` as ``FILE:LINE LAYER POINTER``, the comment above the lines made from it."""
    return f"{leaf.where.path}:{leaf.where.line} {leaf.layer} {leaf.where.pointer}"


def default(reason: str) -> str:
    """Return the text of the comment above lines that no document asks for."""
    return f"{_DEFAULT}{reason}"


def comment(text: str) -> str:
    """Return ``text`` as a comment of one line; characters that do not print are escaped."""
    return "# " + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def file_header(pointer: str) -> list[str]:
    """Return the comments at the top of a file that the item ``pointer`` makes."""
    return [comment(line.format(pointer=pointer)) for line in FILE_HEADER]


def read_cause(line: str) -> Cause | None:
    """Return the place that a comment names, or None for any other comment.

    >>> read_cause("# web.yaml:12 web services/web/user")
    Cause(path='web.yaml', line=12, layer='web', pointer='services/web/user')
    """
    if (match := _CAUSE.fullmatch(line)) is None:
        return None
    return Cause(path=match["path"], line=int(match["line"]), layer=match["layer"] or "", pointer=match["pointer"])


def lines_with_causes(text: str) -> Iterator[tuple[str, Cause | None]]:
    """Yield each line of a placed file, with the place that asks for it, or None for a default.

    For a comment, this is the place that it names itself.
    """
    current = None
    for line in text.split("\n"):
        if line.startswith("#"):
            current = read_cause(line)
        elif line.startswith("["):
            current = None
        yield line, current


def is_written_comment(line: str) -> bool:
    """Return whether a line is a comment that Ordain writes into files: a header, a cause or a default."""
    return line.startswith(_WRITTEN) or (line.startswith("#") and read_cause(line) is not None)


def read_default(line: str) -> str:
    """Return the reason that the comment of a default gives, or ``""`` for any other comment.

    >>> read_default("# default: every service is hardened")
    'every service is hardened'
    """
    return line.removeprefix(f"# {_DEFAULT}") if line.startswith(f"# {_DEFAULT}") else ""
