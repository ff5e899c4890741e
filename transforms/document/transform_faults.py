"""Limits the effect of a wrong Transform to the rows that it may set (docs/design/documents.md, rule 3).

A wrong Layer refuses the whole set of documents. A Transform only provides names: its valid rows are used, and an item
that uses a doubtful row keeps its last good form (`transforms.render.catalog_usage`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ordain.transforms.document.text.node import Node, pointer_below
from ordain.transforms.errors import Problem, Severity, Where
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Branch, Document, Kind, TransformFault

WHOLE_ROWS = frozenset(("network", "package-manager"))
"""The sections that are one row each."""
SECTIONS = WHOLE_ROWS | {
    *(
        "services",
        "roles",
        "users",
        "milestones",
        "paths",
        "settings",
        "packages",
        "package-managers",
        "schedulers",
        "systems",
    ),
}
"""The sections whose rows are used one by one. ``versions`` is not among them, because every `match` depends on it."""
HEAD = frozenset(("", "ordain", "name", "tier", "weight", "match"))
EVERYTHING = ""
_KIND = lazy_pattern(r"\bkind\b")
_TRANSFORM = lazy_pattern(
    r"""^kind:[ \t]*(["']?)Transform\1[ \t]*(?:#.*)?$|"kind"[ \t\r\n]*:[ \t\r\n]*"Transform\"""", re.M
)


def row_of(pointer: str) -> str:
    """Return the row that ``pointer`` is in.

    >>> row_of("services/ssh/unit"), row_of("network/renderer"), row_of("services")
    ('services/ssh', 'network', 'services')
    """
    section, _, rest = pointer.partition("/")
    return section if section in WHOLE_ROWS or not rest else f"{section}/{rest.split('/')[0]}"


def covers(fault: TransformFault, asked: str) -> bool:
    """Return whether ``fault`` makes the row ``asked`` doubtful."""
    return fault.pointer in (EVERYTHING, asked, asked.partition("/")[0])


def faults_of(node: Node, problems: Iterable[Problem]) -> tuple[TransformFault, ...] | None:
    """Return the faults that ``problems`` make in a Transform; None if they may change what documents match."""
    assert isinstance(node.value, Mapping)
    doubts: list[TransformFault] = []
    for problem in problems:
        first = problem.where.pointer.partition("/")[0]
        if first == "versions" or (first not in SECTIONS and "versions" in node.value):
            return None
        if first in SECTIONS:
            doubtful: Iterable[str] = (row_of(problem.where.pointer),)
        elif first in HEAD:
            doubtful = _rows(node)
        else:  # a misspelt section, which may have meant any row
            doubtful = (EVERYTHING,)
        doubts += (TransformFault(pointer=pointer, problem=as_blocked(problem)) for pointer in doubtful)
    return tuple(dict.fromkeys(doubts))


def trusted_part(node: Node, doubtful: Iterable[TransformFault]) -> Node | None:
    """Return ``node`` without its doubtful rows; None if its head is doubtful: then its machines are unknown."""
    assert isinstance(node.value, Mapping)
    dropped = {fault.pointer for fault in doubtful}
    if any(fault.problem.where.pointer.partition("/")[0] in HEAD for fault in doubtful):
        return None
    kept: dict[str, Node] = {}
    for name, child in node.value.items():
        if name in dropped or name not in {*SECTIONS, *HEAD, "kind", "versions"}:
            continue
        if name in SECTIONS and isinstance(child.value, Mapping):
            rows = {key: below for key, below in child.value.items() if pointer_below(name, key) not in dropped}
            child = replace(child, value=rows)
        kept[name] = child
    return replace(node, value=kept)


def unreadable_transform(path: str, text: str, problem: Problem) -> Document | None:
    """Return a Transform that makes every row doubtful, if ``text`` looks like Transforms only; else None.

    Nothing of the text can be parsed, so only its spelling can tell. In doubt the text is not a Transform.
    """
    transforms = len(_TRANSFORM.findall(text))
    if not transforms or transforms != len(_KIND.findall(text)) or "versions" in text:
        return None
    return empty_transform(Where(path=path), (TransformFault(pointer=EVERYTHING, problem=as_blocked(problem)),))


def empty_transform(where: Where, doubtful: tuple[TransformFault, ...]) -> Document:
    """Return a Transform for every machine that sets no rows and has the faults ``doubtful``."""
    return Document(
        kind=Kind.TRANSFORM,
        name=where.path,
        tier="default",
        weight=0,
        match={},
        sections=Branch(where=where),
        where=where,
        faults=doubtful,
    )


def as_blocked(problem: Problem) -> Problem:
    """Return ``problem`` as one that blocks the items that use the row."""
    return replace(problem, severity=Severity.BLOCKED, code="BadTransform")


def _rows(node: Node) -> Iterator[str]:
    """Yield every row that a Transform names, or a section that is not a map as a whole."""
    assert isinstance(node.value, Mapping)
    for section, child in node.value.items():
        if section in SECTIONS:
            rows = child.value if isinstance(child.value, Mapping) and section not in WHOLE_ROWS else {}
            yield from (pointer_below(section, name) for name in rows)
            if not rows:
                yield section
