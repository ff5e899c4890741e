"""Stores the shipped transformation database in canonical form, since a first boot waits for it.

The build of the package makes the file.

    {file name: YAML} ─build▶ prepared.json ─load, with the same files▶ the documents in the files

It holds a digest of the files. If somebody has edited a file, the files themselves are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ordain.transforms.errors import Where
from ordain.transforms.model import Branch, Document, Kind, Leaf, MatchCondition, Tree, Value

PATH = Path(__file__).parents[1] / "data/prepared.json"
FORMAT = 1
_ATOMS = (str, int, bool, type(None))


def build(files: Mapping[str, bytes], documents: tuple[Document, ...]) -> bytes:
    """Return the bytes from which `load` makes the ``documents`` of ``files``. Raises `ValueError` if it cannot."""
    rows = [_document(document) for document in documents]
    data = json.dumps({"format": FORMAT, "of": _digest(files), "documents": rows}, separators=(",", ":")).encode()
    if load(data, files, Path(documents[0].where.path).parent) != documents:
        raise ValueError("the documents hold a value that prepared.json cannot hold")
    return data


def load(data: bytes, files: Mapping[str, bytes], directory: Path) -> tuple[Document, ...] | None:
    """Return the documents of ``files`` in ``directory``; None if ``data`` was not made from exactly these files."""
    try:
        made = json.loads(data)
        if (made["format"], made["of"]) == (FORMAT, _digest(files)):
            return tuple(_read(row, directory) for row in made["documents"])
    except (ValueError, KeyError, TypeError):
        pass  # truncated, or of another version: the caller reads the files
    return None


def _digest(files: Mapping[str, bytes]) -> str:
    return hashlib.sha256(
        b"".join(b"%s %d\n%s" % (n.encode(), len(d), d) for n, d in sorted(files.items()))
    ).hexdigest()


def _document(document: Document) -> list[object]:
    match = [
        [name, condition.values, condition.negated, *_place(condition.where)]
        for name, condition in document.match.items()
    ]
    head = (Path(document.where.path).name, document.where.line, document.where.column)
    identity = (document.name, document.tier, document.weight, document.digest)
    return [*head, *identity, match, _tree(document.sections)]


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


def _read(row: list[Any], directory: Path) -> Document:
    file, line, column, name, tier, weight, digest, match, sections = row
    path = str(directory / file)

    def tree(row: list[Any]) -> Tree:
        line, column, pointer, value = row
        where = Where(path=path, line=line, column=column, pointer=pointer)
        if isinstance(value, dict):
            return Branch(children={key: tree(child) for key, child in value.items()}, where=where, layer=name)
        return Leaf(value=_tuple(value) if isinstance(value, list) else value, where=where, layer=name)

    body = tree(sections)
    if not isinstance(body, Branch):
        raise ValueError(f"{file}: not a document")
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
        sections=body,
        where=Where(path=path, line=line, column=column),
        digest=digest,
    )


def _tuple(values: list[Any]) -> Value:
    return tuple(_tuple(value) if isinstance(value, list) else value for value in values)
