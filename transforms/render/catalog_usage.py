"""What an item asked of the transformation database: doubtful rows block it, the others explain it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ordain.transforms.catalog.names import Names
from ordain.transforms.document.transform_faults import covers
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import CatalogUse, Document, Kind
from ordain.transforms.render.rendered_item import RenderedItem


class CatalogUsage:
    """Which rows each item asked ``names`` for. Rendering asks in the order of items, so what is new is the item's.

    ``doubtful`` are the items that asked for a row that cannot be trusted.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._rows: dict[str, set[str]] = {}
        self.doubtful: set[str] = set()

    def book(self, pointer: str) -> None:
        """What was asked since the last call was for the item ``pointer``."""
        self._rows.setdefault(pointer, set()).update(self._names.asked)
        self._names.asked.clear()

    def settled(self, item: RenderedItem) -> RenderedItem:
        """``item``, blocked where it asked for a row that cannot be trusted."""
        self.book(item.pointer)
        asked = sorted(self._rows[item.pointer])
        problems = tuple(
            Problem(
                where=fault.problem.where,
                what=f"what this says of {row} cannot be trusted: {fault.problem.what}",
                hint=fault.problem.hint,
                code="BadTransform",
                severity=Severity.BLOCKED,
                item=item.pointer,
            )
            for fault in self._names.faults
            for row in [next((row for row in asked if covers(fault, row)), "")]
            if row
        )
        if not problems:
            return item
        # What else seems wrong with it may come of what cannot be trusted.
        self.doubtful.add(item.pointer)
        return replace(item, problems=problems)

    def uses(self, items: Iterable[str]) -> Iterator[CatalogUse]:
        """What the database said of the rows that ``items`` asked for, in order."""
        users: dict[str, list[str]] = {}
        for item in sorted(items):
            for row in self._rows.get(item, ()):
                users.setdefault(row, []).append(item)
        for row in sorted(users):
            for leaf in self._names.row(row):
                matches = tuple(
                    self._names.applying.get((each.where.path, each.layer), "") for each in (leaf, *leaf.overrode)
                )
                yield CatalogUse(leaf=leaf, items=tuple(users[row]), matches=matches)


def identity(documents: Iterable[Document]) -> str:
    """SHA-256, in hex, of all Transforms among ``documents``, whatever their order and places."""
    told = sorted(document.digest for document in documents if document.kind is Kind.TRANSFORM)
    return hashlib.sha256("\n".join(told).encode()).hexdigest()
