"""The rows of the transformation database that each item used: a doubtful row blocks it, the others explain it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ordain.transforms.catalog.names import Names
from ordain.transforms.document.transform_faults import covers
from ordain.transforms.errors import blocked
from ordain.transforms.model import CatalogUse, Document, Kind
from ordain.transforms.render.rendered_item import RenderedItem


class CatalogUsage:
    """A record of the rows that each item looked up in ``names``.

    `Names` notes all lookups in one set. Items are rendered one after the other, so the lookups since the last item
    are those of the current one. ``doubtful`` are the items that looked up a row with a fault.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._rows: dict[str, set[str]] = {}
        self.doubtful: set[str] = set()

    def record(self, pointer: str) -> None:
        """Record the lookups since the last call as those of the item ``pointer``."""
        self._rows.setdefault(pointer, set()).update(self._names.asked)
        self._names.asked.clear()

    def block_doubtful(self, item: RenderedItem) -> RenderedItem:
        """Record the lookups of ``item``, and return it blocked if one of the rows has a fault."""
        self.record(item.pointer)
        rows = sorted(self._rows[item.pointer])
        problems = tuple(
            blocked(
                item.pointer,
                fault.problem.where,
                f"the row {row} of this Transform cannot be used: {fault.problem.what}",
                fault.problem.hint,
                "BadTransform",
            )
            for fault in self._names.faults
            for row in [next((row for row in rows if covers(fault, row)), "")]
            if row
        )
        if not problems:
            return item
        # The item's other problems may be consequences of the fault, so they are not reported.
        self.doubtful.add(item.pointer)
        return replace(item, problems=problems)

    def uses(self, items: Iterable[str]) -> Iterator[CatalogUse]:
        """Yield the values of all rows that ``items`` looked up, by row."""
        users: dict[str, list[str]] = {}
        for item in sorted(items):
            for row in self._rows.get(item, ()):
                users.setdefault(row, []).append(item)
        for row in sorted(users):
            for leaf in self._names.row(row):
                matches = tuple(
                    self._names.applying.get((other.where.path, other.layer), "") for other in (leaf, *leaf.overrode)
                )
                yield CatalogUse(leaf=leaf, items=tuple(users[row]), matches=matches)


def transforms_digest(documents: Iterable[Document]) -> str:
    """Return the SHA-256, in hex, of all Transforms among ``documents``, whatever their order and places."""
    digests = sorted(document.digest for document in documents if document.kind is Kind.TRANSFORM)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
