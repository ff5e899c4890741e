"""The parts of documents that tests must reach, and those that they did not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ordain.transforms.document.text.node import pointer_below
from ordain.transforms.errors import Where
from ordain.transforms.model import Branch, CatalogUse, Document, Facts, Kind
from ordain.transforms.resolve.resolve import candidates, with_node_labels

Part = tuple[Kind, str, str]
"""The kind and name of a document, and the pointer of a part of it; "" stands for the document as a whole."""
_ROWS = ("services", "users", "milestones", "paths", "settings", "roles", "packages", "package-managers")
"""The sections of a Transform with a row for each name."""
_WHOLE_ROWS = ("network", "package-manager")
"""The sections of a Transform that are one row each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UntestedPart:
    """A part of the documents that no test reached."""

    where: Where
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The number of parts, and those that no test reached, by place."""

    parts: int
    untested: tuple[UntestedPart, ...]

    @property
    def percent(self) -> int:
        """Return the share of the parts that tests reached, rounded down; 100 if there are none."""
        return 100 * (self.parts - len(self.untested)) // self.parts if self.parts else 100


def coverage(documents: Sequence[Document], reached: Iterable[Part]) -> Coverage:
    """Return the coverage of ``documents`` by tests that ``reached`` these parts.

    Parts are each Layer and Node, which a test must match; each entry of a ``match``, which a test must fail to fulfil;
    and each row of a Transform, which a test must use.
    """
    parts = {(d.kind, d.name, pointer): part for d in documents for pointer, part in _parts(d)}
    reached = set(reached)
    untested = [part for key, part in parts.items() if key not in reached]
    return Coverage(parts=len(parts), untested=tuple(sorted(untested, key=lambda part: (part.where, part.what))))


def _parts(document: Document) -> Iterator[tuple[str, UntestedPart]]:
    """Yield the pointer of each part of a document, with the words for a part that no test reached."""
    name = f"{document.kind} {document.name}"
    if document.kind in (Kind.LAYER, Kind.NODE):
        yield "", UntestedPart(where=document.where, what=f"no test matches the {name}")
        for entry, condition in document.match.items():
            what = f"no test has a machine that does not fulfil the condition {entry} of the {name}"
            pointer = pointer_below("match", entry)
            yield pointer, UntestedPart(where=replace(condition.where, pointer=pointer), what=what)
    elif document.kind is Kind.TRANSFORM:
        for row, where in _rows(document.sections):
            yield row, UntestedPart(where=where, what=f"no test uses {row} of the {name}")


def _rows(sections: Branch) -> Iterator[tuple[str, Where]]:
    for section in _ROWS:
        for name, child in sections.branch(section).children.items():
            yield pointer_below(section, name), child.where
    for section in _WHOLE_ROWS:
        if section in sections:
            yield section, sections.branch(section).where


def reached_by_match(documents: Sequence[Document], facts: Facts, shared: Mapping[str, str]) -> frozenset[Part]:
    """Return the documents that match a machine, and the entries of ``match`` that it does not fulfil."""
    parts: set[Part] = set()
    for candidate in candidates(documents, with_node_labels(documents, facts, shared), shared):
        document = candidate.document
        if candidate.match.holds:
            parts.add((document.kind, document.name, ""))
        parts |= {(document.kind, document.name, pointer_below("match", entry)) for entry in candidate.match.unmet}
    return frozenset(parts)


def used_rows(uses: Iterable[CatalogUse]) -> frozenset[Part]:
    """Return the rows of Transforms whose values a machine uses; values that are overridden do not count."""
    leaves = [use.leaf for use in uses]
    return frozenset((Kind.TRANSFORM, leaf.layer, _row_of(leaf.where.pointer)) for leaf in leaves)


def _row_of(pointer: str) -> str:
    """Return the row of a value: ``services/web`` of ``services/web/unit``."""
    section, *names = pointer.split("/")
    return section if section in _WHOLE_ROWS else "/".join([section, *names[:1]])
