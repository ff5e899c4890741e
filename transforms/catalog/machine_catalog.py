"""The transformation database of one machine: the shipped Transforms and those of its administrator."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ordain.transforms import set_budget
from ordain.transforms.catalog.local_transforms import local_transforms
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.document import reader
from ordain.transforms.errors import Problem, Where, sorted_problems
from ordain.transforms.memo import Memo
from ordain.transforms.model import Document


def read_documents(
    texts: Iterable[tuple[str, bytes]], memo: Memo | None = None
) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """Return the documents of many files, and the problems of all of them.

    Raises `Refused` if they are too much together (`set_budget`).
    """
    readings = (memo or Memo()).table("documents")

    def count(values: int) -> None:
        budget.spend(values=values)

    documents: list[Document] = []
    problems: list[Problem] = []
    with set_budget.one_set() as budget:
        for path, data in texts:
            budget.where = Where(path=path)
            budget.spend(bytes=len(data))
            read, wrong = readings.get_or_make(path, data, partial(reader.read, path, data, count=count))
            documents += read
            problems += wrong
    return tuple(documents), sorted_problems(problems)


def machine_transforms(root: Path) -> tuple[Document, ...]:
    """Return the transformation database of the machine below ``root``."""
    return (*shipped(), *read_documents(local_transforms(root))[0])
