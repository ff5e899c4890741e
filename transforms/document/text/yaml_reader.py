"""Reads YAML text into nodes: the core schema of YAML 1.2 on PyYAML's event parser (docs/design/documents.md, rule 1).

It uses events and not PyYAML's own constructor, because tags, merge keys and duplicate keys are errors here, anchors
are bounded, and every value needs its place. PyYAML is loaded only when there is YAML to read.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any

from ordain.transforms.control_characters import BYTE_ORDER_MARK
from ordain.transforms.document.text.node import MAX_DEPTH, Node, ReadLimits, Unreadable, mapping, scalar, sequence
from ordain.transforms.document.text.yaml_faults import explain
from ordain.transforms.errors import Where
from ordain.transforms.lazy_patterns import lazy_pattern


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
_ALLOWED_MARK = lazy_pattern(r"^\ufeff|(?<=\n)\ufeff(?=---|%|#)|(?:(?<=\n)|^)(?P<line>(?:---|\.\.\.)[ \t]*\r?\n)\ufeff")
"""A byte order mark at the beginning of a document, where YAML allows it, or below the line that begins one."""

PLACE_MARK = "---\n# from "
"""The beginning of each document in a text of a boot server; file and line follow, such as ``web.yaml:12``."""
_PLACE_MARK = lazy_pattern(r"^---\n# from (?P<name>[^/\x00-\x1f\x7f]{1,255}):(?P<line>\d{1,9})\n", re.MULTILINE)


def read(path: str, text: str, rules: Rules = DOCUMENT_RULES) -> Iterator[Node]:
    """Yield the documents of a YAML text; empty ones are left out.

    Raises `Unreadable` at the first place that is not YAML or is not allowed.
    """
    if not text:
        return
    import yaml  # only now: a first boot with documents in JSON does without it

    places = _Places(path, text)
    try:
        yield from _Reader(places, _without_marks(path, text), yaml, rules).documents()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position)
        column = error.position - (text.rfind("\n", 0, error.position) + 1)
        code = error.character if isinstance(error.character, int) else ord(error.character)
        raise Unreadable(
            f"the character U+{code:04X} is not allowed in YAML",
            places.at(line, column),
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
        raise Unreadable(what, places.of(mark), hint) from None


def _without_marks(path: str, text: str) -> str:
    """Return ``text`` without byte order marks that begin a document. Raises `Unreadable` for one that begins a line.

    libyaml would pass over it and count it as a column, so that the line would not be in the map of the others.
    """
    if BYTE_ORDER_MARK not in text:
        return text
    text = _ALLOWED_MARK.sub(lambda match: match["line"] or "", text)
    before, mark, _ = text.partition(f"\n{BYTE_ORDER_MARK}")
    if mark:
        ReadLimits().check_plain(BYTE_ORDER_MARK, Where(path=path, line=before.count("\n") + 2, column=1))
    return text


class _Places:
    """The places of the text ``path``: those in the files of a boot server, if it has put the text together of them.

    Such a text names the file and line that each of its documents comes from. Only the last name of ``path`` becomes
    that of the file, so that a place still names the server.
    """

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        marks = list(_PLACE_MARK.finditer(text)) if text.startswith(PLACE_MARK) else []
        folder = f"{path.rpartition('/')[0]}/" if "://" in path else ""
        self._origins = [(f"{folder}{match['name']}", int(match["line"])) for match in marks]
        self._begins: list[int] = []
        line = end = 0
        for match in marks:
            line += text.count("\n", end, match.end())
            end = match.end()
            self._begins.append(line)

    def of(self, mark: Any) -> Where:
        """Return the place of a mark of PyYAML, which may be None."""
        return Where(path=self._path) if mark is None else self.at(mark.line, mark.column)

    def at(self, line: int, column: int) -> Where:
        """Return the place of a line and a column of the text, which are counted from 0."""
        after = bisect_right(self._begins, line)
        if not after:
            path, line = self._origins[0] if self._origins else (self._path, line + 1)
            return Where(path=path, line=line, column=column + 1)
        path, first = self._origins[after - 1]
        return Where(path=path, line=first + line - self._begins[after - 1], column=column + 1)


class _Reader:
    # PyYAML's events have no common type for tag and anchor, and two types of mark.
    def __init__(self, places: _Places, text: str, yaml: Any, rules: Rules) -> None:
        self.places = places
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
        where = self.places.of(event.start_mark)
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
            at = self.places.of(event.start_mark)
            if not isinstance(event, self.yaml.ScalarEvent):
                hint = 'write a value that begins with {{ in quotes; where a template is meant, as template: "{{ … }}"'
                raise Unreadable("a key must be a string", at, hint)
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
