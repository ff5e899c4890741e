"""Stores the shipped transformation database in canonical form, since a first boot waits for it.

The build of the package makes the file.

    {file name: YAML} ─build▶ prepared.json ─load, with the same files▶ the documents in the files
    tables below data/ ─build▶ prepared.json ─table, with the same text▶ the rows of a table

It holds digests of the files. If somebody has edited a file, the file itself is read. The first line has the heads of
the documents, and each further line the sections of one, or a table. A line is parsed when somebody looks at it: most
documents are for other systems.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ordain.transforms.errors import Where
from ordain.transforms.model import Branch, Document, Kind, Leaf, MatchCondition, Tree, Value

PATH = Path(__file__).parents[1] / "data/prepared.json"
FORMAT = 2
Tables = Mapping[str, tuple[bytes, Mapping[str, Any]]]
"""The text of each table and its rows, by the name of its file."""
_ATOMS = (str, int, bool, type(None))


@dataclass(frozen=True, slots=True)
class Prepared:
    """The content of prepared.json: the first line, and the lines after it."""

    head: Mapping[str, Any]
    lines: tuple[bytes, ...]


def build(files: Mapping[str, bytes], documents: tuple[Document, ...], tables: Tables) -> bytes:
    """Return the bytes from which `load` makes the ``documents`` of ``files``. Raises `ValueError` if it cannot."""
    rows = [*(_tree(document.sections) for document in documents), *(rows for _, rows in tables.values())]
    body = b"\n".join(json.dumps(row, separators=(",", ":")).encode() for row in rows)
    head = {
        "format": FORMAT,
        "of": _digest(files),
        "sum": zlib.crc32(body),
        "documents": [_head(document) for document in documents],
        "tables": {name: _digest({name: text}) for name, (text, _) in tables.items()},
    }
    data = json.dumps(head, separators=(",", ":")).encode() + b"\n" + body
    made = parse(data)
    if load(made, files, Path(documents[0].where.path).parent) != documents:
        raise ValueError("the documents hold a value that prepared.json cannot hold")
    if any(table(made, name, text) != rows for name, (text, rows) in tables.items()):
        raise ValueError("a table holds a value that prepared.json cannot hold")
    return data


@cache
def prepared(path: Path) -> Prepared | None:
    """Return the content of the file, None if there is none, as in a source tree, or if it is of no use."""
    try:
        return parse(path.read_bytes())
    except OSError:
        return None


def parse(data: bytes) -> Prepared | None:
    """Return the content of a prepared file; None if it is truncated, damaged, or of another version."""
    first, _, body = data.partition(b"\n")
    try:
        head = json.loads(first)
        if head["format"] == FORMAT and head["sum"] == zlib.crc32(body):
            return Prepared(head, tuple(body.split(b"\n")))
    except (ValueError, KeyError, TypeError):
        pass
    return None


def load(made: Prepared | None, files: Mapping[str, bytes], directory: Path) -> tuple[Document, ...] | None:
    """Return the documents of ``files`` in ``directory``; None if ``made`` does not have exactly these files."""
    if made is None or made.head["of"] != _digest(files):
        return None
    return tuple(_document(row, line, directory) for row, line in zip(made.head["documents"], made.lines, strict=False))


def table(made: Prepared | None, name: str, text: bytes) -> dict[str, Any] | None:
    """Return the rows of the table in the file ``name``; None if ``made`` does not have it with this ``text``."""
    if made is None or made.head["tables"].get(name) != _digest({name: text}):
        return None
    rows: dict[str, Any] = json.loads(made.lines[len(made.head["documents"]) + list(made.head["tables"]).index(name)])
    return rows


def _digest(files: Mapping[str, bytes]) -> str:
    return hashlib.sha256(
        b"".join(b"%s %d\n%s" % (n.encode(), len(d), d) for n, d in sorted(files.items()))
    ).hexdigest()


def _head(document: Document) -> list[object]:
    match = [
        [name, condition.values, condition.negated, *_place(condition.where)]
        for name, condition in document.match.items()
    ]
    place = (Path(document.where.path).name, document.where.line, document.where.column)
    identity = (document.name, document.tier, document.weight, document.digest)
    return [*place, *identity, match, _place(document.sections.where), list(document.sections)]


def _place(where: Where) -> tuple[int, int, str]:
    return where.line, where.column, where.pointer


def _tree(tree: Tree) -> list[object]:
    if isinstance(tree, Branch):
        return [*_place(tree.where), {name: _tree(child) for name, child in tree.children.items()}]
    return [*_place(tree.where), _value(tree.value)]


def _value(value: Value) -> Any:
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    if not isinstance(value, _ATOMS):
        raise ValueError(f"prepared.json cannot hold {value!r}")
    return value


def _document(row: list[Any], sections: bytes, directory: Path) -> Document:
    file, line, column, name, tier, weight, digest, match, (at_line, at_column, pointer), names = row
    path = str(directory / file)
    return Document(
        kind=Kind.TRANSFORM,
        name=name,
        tier=tier,
        weight=weight,
        match={
            fact: MatchCondition(
                values=tuple(values),
                negated=negated,
                where=Where(path=path, line=line, column=column, pointer=pointer),
            )
            for fact, values, negated, line, column, pointer in match
        },
        sections=Branch(
            children=_Sections(names, sections, path, name),
            where=Where(path=path, line=at_line, column=at_column, pointer=pointer),
            layer=name,
        ),
        where=Where(path=path, line=line, column=column),
        digest=digest,
    )


class _Sections(Mapping[str, Tree]):
    """The sections of a document. All are made when somebody looks at one that the document has."""

    __slots__ = ("_layer", "_line", "_names", "_path", "_trees")

    def __init__(self, names: list[str], line: bytes, path: str, layer: str) -> None:
        self._names, self._line, self._path, self._layer = names, line, path, layer
        self._trees: dict[str, Tree] = {}

    def __getitem__(self, name: str) -> Tree:
        if name not in self._names:
            raise KeyError(name)
        if not self._trees:
            _, _, _, sections = json.loads(self._line)
            self._trees = {section: self._tree(row) for section, row in sections.items()}
        return self._trees[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _tree(self, row: list[Any]) -> Tree:
        line, column, pointer, value = row
        where = Where(path=self._path, line=line, column=column, pointer=pointer)
        if isinstance(value, dict):
            return Branch(
                children={name: self._tree(child) for name, child in value.items()}, where=where, layer=self._layer
            )
        return Leaf(value=_tuple(value) if isinstance(value, list) else value, where=where, layer=self._layer)


def _tuple(values: list[Any]) -> Value:
    return tuple(_tuple(value) if isinstance(value, list) else value for value in values)
