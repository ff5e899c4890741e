"""The transformation database of one machine: the shipped one and what its administrator added."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document import reader
from ordain.transforms.document.node import is_document_name
from ordain.transforms.errors import Problem, sorted_problems
from ordain.transforms.memo import Memo
from ordain.transforms.model import Document


def read_documents(
    texts: Iterable[tuple[str, bytes]], memory: Memo | None = None
) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """The documents of many files, and all problems of all of them."""
    notes = (memory or Memo()).table("documents")
    found: list[Document] = []
    problems: list[Problem] = []
    for path, data in texts:
        read, wrong = notes.get_or_make(path, data, partial(reader.read, path, data))
        found += read
        problems += wrong
    return tuple(found), sorted_problems(problems)


def machine_transforms(root: Path) -> tuple[Document, ...]:
    """The transformation database of the machine below ``root``, with its admin's additions."""
    return (*shipped(), *read_documents(local_transforms(root))[0])


TRANSFORMS = "etc/ordain/transforms"
"""The admin's additions to the transformation database."""


def local_transforms(root: Path) -> tuple[tuple[str, bytes], ...]:
    """The admin's additions to the transformation database, as texts."""
    directory = root / TRANSFORMS
    if not directory.is_dir():
        return ()
    names = sorted(path.name for path in directory.iterdir() if is_document_name(path.name))
    return tuple((f"/{TRANSFORMS}/{name}", (directory / name).read_bytes()) for name in names)
