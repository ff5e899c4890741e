"""Comments by which a placed file names the place of the documents it was made from."""

from __future__ import annotations

from ordain.transforms.model import Leaf


def cause(leaf: Leaf) -> str:
    """Where a line came from, as `systemctl cat` shows it."""
    return f"{leaf.where.path}:{leaf.where.line} {leaf.layer} {leaf.where.pointer}"


HEADER = (
    "Made by Ordain from documents; what is written here is lost.",
    "`ordainctl explain {pointer}` tells more.",
)


def comment(text: str) -> str:
    """``text`` as a comment of one line."""
    return "# " + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
