"""The transformation database that is shipped: Transform documents, in the same language as all others."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ordain.transforms.documents import read
from ordain.transforms.errors import Problem, Refused
from ordain.transforms.model import Document

DIRECTORY = Path(__file__).parent / "data" / "transforms"
"""Debian's package makes this a link to /usr/share/ordain/transforms."""


@cache
def shipped() -> tuple[Document, ...]:
    """Every shipped Transform, by file name. Raises `Refused` if one is damaged: then names mean nothing."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for path in sorted(DIRECTORY.glob("*.yaml")):
        found, wrong = read(str(path), path.read_bytes())
        documents += found
        problems += wrong
    if problems:
        raise Refused(problems)
    return tuple(documents)
