"""The transformation database that is shipped: Transform documents, in the same language as all others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ordain.transforms.catalog import prebuilt
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused
from ordain.transforms.model import Document

DIRECTORY = Path(__file__).parents[1] / "data" / "transforms"
"""Debian's package makes this a link to /usr/share/ordain/transforms."""


@cache
def shipped() -> tuple[Document, ...]:
    """Every shipped Transform, by file name. Raises `Refused` if one is damaged: then names mean nothing."""
    there = files()
    try:
        data = prebuilt.PATH.read_bytes()
    except OSError:  # a source tree has none
        return read_all(there)
    found = prebuilt.load(data, there, DIRECTORY)
    return read_all(there) if found is None else found


def files() -> Mapping[str, bytes]:
    """The files of the database."""
    return {path.name: path.read_bytes() for path in sorted(DIRECTORY.glob("*.yaml"))}


def read_all(files: Mapping[str, bytes]) -> tuple[Document, ...]:
    """The documents of ``files``, which lie in `DIRECTORY`. Raises `Refused`."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for name, data in files.items():
        found, wrong = read(str(DIRECTORY / name), data)
        documents += found
        problems += wrong
    if problems:
        raise Refused(problems)
    return tuple(documents)


if __name__ == "__main__":  # packaging/debian/rules: what is printed becomes `prebuilt.PATH`
    sys.stdout.buffer.write(prebuilt.build(files(), read_all(files())))
