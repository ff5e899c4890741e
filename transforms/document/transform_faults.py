"""What a Transform that is wrong costs: the rows it may speak of, and nothing else (docs/design/documents.md, rule 3).

A Layer that is wrong refuses the whole set. A Transform only lends names: what its sound rows say holds, and an item
that asks for a row it cannot be trusted with keeps its last good form (`transforms.render.catalog_usage`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ordain.transforms.document.node import Node, pointer_below
from ordain.transforms.errors import Problem, Severity, Where
from ordain.transforms.model import Branch, Document, Kind, TransformFault

SECTIONS = frozenset(("services", "users", "milestones", "paths", "network"))
"""Those whose rows are asked for one by one. Without ``versions`` no `match` can be told, so it is not among them."""
HEAD = frozenset(("", "ordain", "name", "tier", "weight", "match"))
EVERYTHING = ""
_KIND = re.compile(r"\bkind\b")
_TRANSFORM = re.compile(
    r"""^kind:[ \t]*(["']?)Transform\1[ \t]*(?:#.*)?$|"kind"[ \t\r\n]*:[ \t\r\n]*"Transform\"""", re.M
)


def row_of(pointer: str) -> str:
    """The row that ``pointer`` lies in.

    >>> row_of("services/ssh/unit"), row_of("network/renderer"), row_of("services")
    ('services/ssh', 'network', 'services')
    """
    section, _, rest = pointer.partition("/")
    return section if section == "network" or not rest else f"{section}/{rest.split('/')[0]}"


def covers(fault: TransformFault, asked: str) -> bool:
    """Whether the row ``asked`` is among what ``fault`` makes doubtful."""
    return fault.pointer in (EVERYTHING, asked, asked.partition("/")[0])


def faults_of(node: Node, problems: Iterable[Problem]) -> tuple[TransformFault, ...] | None:
    """What the ``problems`` of a Transform make doubtful; None where it is whom documents match."""
    assert isinstance(node.value, Mapping)
    found: list[TransformFault] = []
    for problem in problems:
        first = problem.where.pointer.partition("/")[0]
        if first == "versions" or (first not in SECTIONS and "versions" in node.value):
            return None
        if first in SECTIONS:
            doubtful: Iterable[str] = (row_of(problem.where.pointer),)
        elif first in HEAD:
            doubtful = _rows(node)
        else:  # a section that is misspelt, of which no row can be told
            doubtful = (EVERYTHING,)
        found += (TransformFault(pointer=pointer, problem=as_blocked(problem)) for pointer in doubtful)
    return tuple(dict.fromkeys(found))


def trusted_part(node: Node, doubtful: Iterable[TransformFault]) -> Node | None:
    """``node`` without what its faults name; None if its head is among that: then nobody knows whom it is for."""
    assert isinstance(node.value, Mapping)
    gone = {fault.pointer for fault in doubtful}
    if any(fault.problem.where.pointer.partition("/")[0] in HEAD for fault in doubtful):
        return None
    kept: dict[str, Node] = {}
    for name, child in node.value.items():
        if name in gone or name not in {*SECTIONS, *HEAD, "kind", "versions"}:
            continue
        if name in SECTIONS and isinstance(child.value, Mapping):
            rows = {key: below for key, below in child.value.items() if pointer_below(name, key) not in gone}
            child = replace(child, value=rows)
        kept[name] = child
    return replace(node, value=kept)


def unreadable_transform(path: str, text: str, problem: Problem) -> Document | None:
    """A Transform of which nothing can be read, if ``text`` holds nothing else: everything is doubtful.

    Told by its text alone, so in doubt it is none.
    """
    transforms = len(_TRANSFORM.findall(text))
    if not transforms or transforms != len(_KIND.findall(text)) or "versions" in text:
        return None
    return empty_transform(Where(path=path), (TransformFault(pointer=EVERYTHING, problem=as_blocked(problem)),))


def empty_transform(where: Where, doubtful: tuple[TransformFault, ...]) -> Document:
    """A Transform that says nothing, on every machine, but what is doubtful."""
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
    """``problem`` as one that blocks what uses the row."""
    return replace(problem, severity=Severity.BLOCKED, code="BadTransform")


def _rows(node: Node) -> Iterator[str]:
    """Every row a Transform names, as far as its sections are maps."""
    assert isinstance(node.value, Mapping)
    for section, child in node.value.items():
        if section in SECTIONS:
            rows = child.value if isinstance(child.value, Mapping) and section != "network" else {}
            yield from (pointer_below(section, name) for name in rows)
            if not rows:
                yield section
