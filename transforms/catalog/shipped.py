"""The shipped transformation database: Transform documents in the same language as all others."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ordain.transforms.catalog import prebuilt
from ordain.transforms.catalog.data_tables import PREPARED, parse_table
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused
from ordain.transforms.model import Document

DIRECTORY = Path(__file__).parents[1] / "data" / "transforms"
"""The Debian package makes this a link to /usr/share/ordain/transforms."""


@cache
def shipped() -> tuple[Document, ...]:
    """Return every shipped Transform, by file name. Raises `Refused` if one is damaged."""
    texts = files()
    documents = prebuilt.load(prebuilt.prepared(prebuilt.PATH), texts, DIRECTORY)
    return read_all(texts) if documents is None else documents


def files() -> Mapping[str, bytes]:
    """Return the content of each file of the database by its name."""
    return {path.name: path.read_bytes() for path in sorted(DIRECTORY.glob("*.yaml"))}


def read_all(files: Mapping[str, bytes]) -> tuple[Document, ...]:
    """Return the documents of ``files``, which are in `DIRECTORY`. Raises `Refused`."""
    documents: list[Document] = []
    problems: list[Problem] = []
    for name, data in files.items():
        read_documents, wrong = read(str(DIRECTORY / name), data)
        documents += read_documents
        problems += wrong
    if problems:
        raise Refused(problems)
    return tuple(documents)


def prepare() -> bytes:
    """Return the content of `prebuilt.PATH` for the files of this database. Raises `Refused`."""
    texts = {name: (DIRECTORY.parent / name).read_bytes() for name in PREPARED}
    return prebuilt.build(files(), read_all(files()), {name: (text, parse_table(text)) for name, text in texts.items()})


if __name__ == "__main__":  # packaging/install writes the output to `prebuilt.PATH`
    sys.stdout.buffer.write(prepare())
