"""Reads documents from bytes into canonical form, with every problem (docs/design/documents.md, rules 1 to 3 and 6)."""

from __future__ import annotations

import hashlib
import json
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ordain.transforms.control_characters import BYTE_ORDER_MARK
from ordain.transforms.document import transform_faults, validate
from ordain.transforms.document.formats.conditions import RANGES, range_error
from ordain.transforms.document.keys.expectation_keys import KIND as TEST_KIND
from ordain.transforms.document.keys.schema import sections
from ordain.transforms.document.keys.shapes import Position
from ordain.transforms.document.text import json_reader, yaml_reader
from ordain.transforms.document.text.node import MAX_BYTES, SUFFIXES, Node, Number, Unreadable
from ordain.transforms.document.text.plain_data import plain
from ordain.transforms.errors import Problem, Where, did_you_mean, sorted_problems
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Document, Kind, MatchCondition

_UNIT_FILE = lazy_pattern(
    r"(?:[ \t]*(?:[#;].*)?\r?\n)*\[[A-Za-z]+\][ \t]*\r?\n(?:[ \t]*(?:[#;].*)?\r?\n)*[A-Za-z]+[ \t]*="
)
"""The beginning of a unit file. Each line can match in one way only, or a few dozen empty lines would take hours."""
HEADER = ("ordain", "kind", "name", "tier", "weight", "match", "labels", "pin")


def read(
    path: str, data: bytes, *, count: Callable[[int], None] = lambda _: None
) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """Return the documents of one file, and its problems; a document with a problem is left out.

    ``path`` is the name of the file in problems and provenance. ``.json`` means JSON, ``.yaml`` and ``.yml`` mean YAML.
    In a database, names may have no suffix: then a first ``{`` or ``[`` means JSON. Wrong input never raises.
    ``count`` is called with the number of values in each document, and may raise to end the reading.
    """
    documents: list[Document] = []
    problems: list[Problem] = []
    try:
        for node in read_nodes(path, data):
            count(node.size)
            document, wrong = _document(node)
            problems += wrong
            if document:
                documents.append(document)
    except Unreadable as error:
        damage = transform_faults.unreadable_transform(path, data.decode("utf-8", "replace"), error.problem)
        if damage is None:
            problems.append(error.problem)
        else:
            documents = [damage]
            problems += (fault.problem for fault in damage.faults)
    return tuple(documents), sorted_problems(problems)


def read_nodes(path: str, data: bytes) -> Iterator[Node]:
    """Yield the documents of one file as they were written. Raises `Unreadable`."""
    if len(data) > MAX_BYTES:
        what = f"the file has {len(data):,} bytes; a file of documents has at most {MAX_BYTES:,}"
        raise Unreadable(what, Where(path=path), "split it, and do not put bulk data into documents")
    try:
        text = data.decode("utf-8").removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
            raise Unreadable("the file is UTF-16", Where(path=path), "save the file as UTF-8") from None
        before = data[: error.start].decode("utf-8")
        line = before.count("\n") + 1
        where = Where(path=path, line=line, column=len(before) - (before.rfind("\n") + 1) + 1)
        byte = data[error.start]
        raise Unreadable(f"the byte 0x{byte:02x} is not valid UTF-8", where, "save the file as UTF-8") from None
    if _UNIT_FILE.match(text):
        hint = f"`ordainctl import {path}` converts unit files"
        raise Unreadable("a file with [Section] and KEY=VALUE lines, not a document", Where(path=path, line=1), hint)
    if text.lstrip().startswith("<") and not path.endswith(SUFFIXES):
        hint = "only `ordainctl run` and `validate` read XML, and only Runs; `ordainctl run import` makes YAML of it"
        raise Unreadable("an XML file, which this command does not read", Where(path=path, line=1), hint)
    yaml = path.endswith((".yaml", ".yml"))
    if path.endswith(".json") or (not yaml and text.lstrip()[:1] in ("{", "[")):
        node = json_reader.read(path, text)
        yield from node.value if isinstance(node.value, tuple) else (node,)
    else:
        yield from yaml_reader.read(path, text)


def read_node(node: Node) -> tuple[Document | None, tuple[Problem, ...]]:
    """Return the document that ``node`` is, None if it has errors, and its problems, sorted."""
    document, problems = _document(node)
    return document, sorted_problems(problems)


def _document(node: Node) -> tuple[Document | None, list[Problem]]:
    if not isinstance(node.value, Mapping):
        what = "a document must be a map that begins with `ordain: v1`"
        return None, [Problem(where=node.where, what=what)]
    kind_node = node.value.get("kind")
    try:
        kind = Kind(str(kind_node.value)) if kind_node else None
    except ValueError:
        kind = None
    if kind is None:
        if kind_node is None:
            return None, [_without_kind(node)]
        where = replace(kind_node.where, pointer="kind")
        if kind_node.value == TEST_KIND:
            hint = "no machine reads Tests: `ordainctl test DIR` reads those in DIR/tests"
            return None, [Problem(where=where, what="a Test among documents for machines", hint=hint)]
        known = did_you_mean(str(kind_node.value), Kind) or f"known kinds: {', '.join(Kind)}"
        return None, [Problem(where=where, what=f"unknown kind {kind_node.value!r}", hint=known)]
    problems = validate.problems(node, kind)
    document = None if problems else _canonical(node, kind, problems)
    if not problems:
        return document, []
    faults = transform_faults.faults_of(node, problems) if kind is Kind.TRANSFORM else None
    if not faults or (rest := transform_faults.trusted_part(node, faults)) == node:
        return None, problems  # a key is missing, such as `name`, so there is nothing to leave out
    document, more = _document(rest) if rest else (transform_faults.empty_transform(node.where, faults), [])
    if document is None:
        return None, [*problems, *more]
    document = replace(document, faults=(*faults, *(f for f in document.faults if f not in faults)))
    return document, [fault.problem for fault in document.faults]


def problems_of(node: Node, kind: Kind) -> list[Problem]:
    """Return everything that is wrong with a document of ``kind``: by its schema, or else by its canonical form."""
    problems = validate.problems(node, kind)
    if not problems:
        _canonical(node, kind, problems)
    return problems


OTHER_FORMATS = (
    ({"network"}, "version", "a netplan file"),
    ({"services"}, "image", "a compose file"),
    ({"runcmd", "write_files", "bootcmd", "ssh_authorized_keys", "packages", "users"}, "", "a cloud-config"),
)
"""The first keys of other formats, a key below them that no document has, and their names."""


def _without_kind(node: Node) -> Problem:
    """Return the problem of a document without a kind; one in the format of another program is named."""
    assert isinstance(node.value, Mapping)
    for first, below, name in OTHER_FORMATS:
        foreign_keys = first & node.value.keys()
        if (
            foreign_keys
            and "ordain" not in node.value
            and (not below or any(_has(node.value[key], below) for key in foreign_keys))
        ):
            hint = f"`ordainctl import {node.where.path}` converts {name}"
            return Problem(where=node.where, what="not a document: the key kind is missing", hint=hint)
    lines = [line for key, line in _HEAD_LINES.items() if key not in node.value]
    hint = f"begin the document with the lines {', '.join(lines)}"
    return Problem(where=node.where, what="the key kind is missing", hint=f"{hint}; kinds: {', '.join(Kind)}")


_HEAD_LINES = {"ordain": "`ordain: v1`", "kind": "`kind: Layer`", "name": "`name: NAME`"}


def _has(node: Node, key: str) -> bool:
    """Return whether a map has ``key``, or one of the maps in it."""
    if not isinstance(node.value, Mapping):
        return False
    return key in node.value or any(
        isinstance(child.value, Mapping) and key in child.value for child in node.value.values()
    )


def _canonical(node: Node, kind: Kind, problems: list[Problem]) -> Document:
    """Return the canonical form of a node that fits its schema; problems that no schema can find go to ``problems``."""
    assert isinstance(node.value, Mapping)
    at = Position(str(node.value["name"].value), problems=problems)
    document = Document(
        kind=kind,
        name=str(node.value["name"].value),
        tier=_tier(node.value, kind),
        weight=_whole(node.value.get("weight")),
        pin=_whole(node.value.get("pin")),
        match=_match(node.value.get("match"), at),
        labels=_labels(node.value.get("labels")),
        sections=at.branch(
            {
                name: sections(kind).keys[name].canonical(child, at.below(name))
                for name, child in node.value.items()
                if name not in HEADER
            },
            node.where,
        ),
        where=node.where,
    )
    return replace(document, digest=_digest(document)) if kind is Kind.TRANSFORM else document


def _tier(keys: Mapping[str, Node], kind: Kind) -> str:
    if kind is Kind.NODE:
        return "node"
    match = keys.get("match")
    about_runs = not match or not match.value or (isinstance(match.value, Mapping) and "run" in match.value)
    return _string(keys.get("tier"), "run" if kind is Kind.RUN and about_runs else "default")


def _digest(document: Document) -> str:
    """Return the SHA-256, in hex, of the content of a document, independent of its place."""
    match = [[name, condition.values, condition.negated] for name, condition in sorted(document.match.items())]
    content = [document.name, document.tier, document.weight, match, plain(document.sections)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _string(node: Node | None, default: str) -> str:
    return default if node is None or node.value is None else str(node.value)


def _whole(node: Node | None) -> int:
    return int(node.value.number) if node and isinstance(node.value, Number) else 0


def _scalars(node: Node) -> tuple[str | None, ...]:
    items = node.value if isinstance(node.value, tuple) else (node,)
    return tuple(_scalar(item) for item in items)


def _scalar(node: Node) -> str | None:
    if isinstance(node.value, bool):
        return str(node.value).lower()
    return None if node.value is None else str(node.value)


def _labels(node: Node | None) -> Mapping[str, tuple[str, ...]]:
    if node is None or not isinstance(node.value, Mapping):
        return {}
    return {name: tuple(v for v in _scalars(child) if v is not None) for name, child in node.value.items()}


def _match(node: Node | None, at: Position) -> Mapping[str, MatchCondition]:
    if node is None or not isinstance(node.value, Mapping):
        return {}
    conditions: dict[str, MatchCondition] = {}
    for name, child in node.value.items():
        below = at.below("match").below(name)
        negated = isinstance(child.value, Mapping)
        inner = child.value["not"] if isinstance(child.value, Mapping) else child
        values = _scalars(inner)
        conditions[name] = MatchCondition(values=values, negated=negated, where=below.where(child.where))
        for value in values if name in RANGES else ():
            wrong = range_error(value) if value is not None else None
            if wrong:
                hint = 'write numbers in quotes, such as "12", ">=9 <10" or ">=22.04"'
                at.problems.append(Problem(where=below.where(inner.where), what=wrong, hint=hint))
    return conditions
