"""Reads YAML text into nodes: the core schema of YAML 1.2 on PyYAML's event parser (docs/design/documents.md, rule 1).

It uses events and not PyYAML's own constructor, because tags, merge keys and duplicate keys are errors here, anchors
are bounded, and every value needs its place. PyYAML is loaded only when there is YAML to read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ordain.transforms.control_characters import BYTE_ORDER_MARK
from ordain.transforms.document.text.node import MAX_DEPTH, Node, ReadLimits, Unreadable, mapping, scalar, sequence
from ordain.transforms.document.text.yaml_faults import explain
from ordain.transforms.errors import Where


class Rules:
    """The rules for the parts of YAML that documents do not have: each of them is an error (rule 1)."""

    def plain_scalar(self, text: str) -> str | bool | None:
        """Return the value of a scalar without quotes."""
        return scalar(text)

    def tagged(self, tag: str, node: Node) -> Node:
        """Return a node that has a tag. Raises `Unreadable`."""
        raise Unreadable(f"the tag {tag[:80]} is not allowed", node.where, "write the plain value")

    def merged_keys(self, node: Node, at: Where) -> Mapping[str, Node]:
        """Return the keys that the merge key << adds to its map. Raises `Unreadable`."""
        hint = "put the common part into a layer, since layers merge"
        raise Unreadable("merge keys (<<) are not allowed", at, hint)

    def check_duplicate(self, key: str, at: Where, first: Where) -> None:
        """Check a key that its map has already. Raises `Unreadable`."""
        raise Unreadable(f"duplicate key {key!r}", at, f"it is also in line {first.line}; remove one")


DOCUMENT_RULES = Rules()
_ALLOWED_MARK = re.compile(r"^\ufeff|(?<=\n)\ufeff(?=---|%|#)|(?:(?<=\n)|^)(?P<line>(?:---|\.\.\.)[ \t]*\r?\n)\ufeff")
"""A byte order mark at the beginning of a document, where YAML allows it, or below the line that begins one."""


def read(path: str, text: str, rules: Rules = DOCUMENT_RULES) -> Iterator[Node]:
    """Yield the documents of a YAML text; empty ones are left out.

    Raise `Unreadable` at the first place that is not YAML or is not allowed.
    """
    if not text:
        return
    import yaml  # only now: a first boot with documents in JSON does without it

    try:
        yield from _Reader(path, _without_marks(path, text), yaml, rules).documents()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        raise Unreadable(
            f"the character U+{code:04X} is not allowed in YAML",
            Where(path=path, line=line, column=column),
            'write it in double quotes with an escape, such as "\\x07"',
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark is None:
            raise Unreadable(str(error.problem), Where(path=path)) from None
        begin = (error.context_mark or mark).line
        what, hint = explain(
            str(error.problem), str(error.context or ""), text.splitlines(), mark.line, mark.column, begin
        )
        raise Unreadable(what, _where(path, mark), hint) from None


def _without_marks(path: str, text: str) -> str:
    """Return ``text`` without byte order marks that begin a document. Raises `Unreadable` for one that begins a line.

    libyaml would pass over it and count it as a column, so that the line would not be in the map of the others.
    """
    if BYTE_ORDER_MARK not in text:
        return text
    text = _ALLOWED_MARK.sub(lambda match: match["line"] or "", text)
    before, found, _ = text.partition(f"\n{BYTE_ORDER_MARK}")
    if found:
        ReadLimits().check_plain(BYTE_ORDER_MARK, Where(path=path, line=before.count("\n") + 2, column=1))
    return text


def _where(path: str, mark: Any) -> Where:
    if mark is None:
        return Where(path=path)
    return Where(path=path, line=mark.line + 1, column=mark.column + 1)


class _Reader:
    # PyYAML's events have no common type for tag and anchor, and two types of mark.
    def __init__(self, path: str, text: str, yaml: Any, rules: Rules) -> None:
        self.path = path
        self.rules = rules
        self.yaml = yaml
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        self.anchors: dict[str, Node] = {}
        self.limits = ReadLimits()

    def documents(self) -> Iterator[Node]:
        for event in self.events:
            if isinstance(event, self.yaml.DocumentStartEvent):
                self.anchors.clear()
                node = self.node(next(self.events), 0)
                if node.value is not None:
                    yield node

    def node(self, event: Any, depth: int) -> Node:
        where = _where(self.path, event.start_mark)
        self.limits.count_value(where)
        if depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH} levels", where)
        if isinstance(event, self.yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise Unreadable(f"the alias *{str(event.anchor)[:80]} has no complete anchor above it", where)
            return self.anchors[event.anchor]
        if isinstance(event, self.yaml.ScalarEvent):
            plain = not event.style and event.tag is None
            check = self.limits.check_plain if plain else self.limits.check_text
            text = check(event.value, where)
            node = Node(value=self.rules.plain_scalar(text) if plain else text, where=where)
        elif isinstance(event, self.yaml.SequenceStartEvent):
            node = self.sequence(where, depth)
        else:
            node = self.mapping(where, depth)
        if event.tag not in {None, "!"}:
            node = self.rules.tagged(str(event.tag), node)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def sequence(self, where: Where, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(self.events), self.yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
        return sequence(items, where)

    def mapping(self, where: Where, depth: int) -> Node:
        items: dict[str, Node] = {}
        keys: dict[str, Where] = {}
        merged: dict[str, Node] = {}
        while not isinstance(event := next(self.events), self.yaml.MappingEndEvent):
            at = _where(self.path, event.start_mark)
            if not isinstance(event, self.yaml.ScalarEvent):
                raise Unreadable("a key must be a string", at, "write a value that begins with {{ in quotes")
            key = self.limits.check_key(event.value, at)
            if not event.style:
                self.limits.check_plain(key, at)
            if key == "<<" and not event.style:
                merged.update(self.rules.merged_keys(self.node(next(self.events), depth + 1), at))
                continue
            if key in items:
                self.rules.check_duplicate(key, at, keys[key])
            items[key] = self.node(next(self.events), depth + 1)
            keys[key] = at
        return mapping({**merged, **items}, keys, where)
