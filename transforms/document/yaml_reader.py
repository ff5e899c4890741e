"""YAML text → nodes: YAML 1.2's core schema on PyYAML's event parser (docs/design/documents.md, rule 1).

Events instead of PyYAML's own constructor, since tags, merge keys and duplicate keys are errors here,
anchors are bounded, and every value needs its place. PyYAML is loaded when there is YAML to read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ordain.transforms.document.node import MAX_DEPTH, Node, ReadLimits, Unreadable, mapping, scalar, sequence
from ordain.transforms.errors import Where


def read(path: str, text: str) -> Iterator[Node]:
    """The documents of a YAML text, one after the other; empty ones are left out.

    Raises `Unreadable` at the first thing that is no YAML or not allowed.
    """
    if not text:
        return
    import yaml  # not before there is something to read: a first boot of JSON does without

    try:
        yield from _Reader(path, text, yaml).documents()
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
        context = f" {error.context}" if error.context else ""
        raise Unreadable(f"{error.problem}{context}", _where(path, mark), _hint(str(error.problem))) from None


def _hint(problem: str) -> str:
    if "\\t" in problem or "'\t'" in problem:
        return "indent with spaces; YAML does not allow tabs there"
    if "mapping values are not allowed" in problem:
        return "quote a text that holds ': '"
    return ""


def _where(path: str, mark: Any) -> Where:
    if mark is None:
        return Where(path=path)
    return Where(path=path, line=mark.line + 1, column=mark.column + 1)


class _Reader:
    # PyYAML's events have no common type for tag and anchor, and two types of mark.
    def __init__(self, path: str, text: str, yaml: Any) -> None:
        self.path = path
        self.yaml = yaml
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
        self.anchors: dict[str, Node] = {}
        self.meter = ReadLimits()

    def documents(self) -> Iterator[Node]:
        for event in self.events:
            if isinstance(event, self.yaml.DocumentStartEvent):
                self.anchors.clear()
                node = self.node(next(self.events), 0)
                if node.value is not None:
                    yield node

    def node(self, event: Any, depth: int) -> Node:
        where = _where(self.path, event.start_mark)
        self.meter.value(where)
        if depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH} levels", where)
        if isinstance(event, self.yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise Unreadable(f"the alias *{str(event.anchor)[:80]} names no finished anchor above it", where)
            return self.anchors[event.anchor]
        if event.tag not in {None, "!"}:
            raise Unreadable(f"the tag {str(event.tag)[:80]} is not allowed", where, "write the plain value")
        if isinstance(event, self.yaml.ScalarEvent):
            plain = not event.style and event.tag is None
            node = Node(value=scalar(event.value) if plain else self.meter.text(event.value, where), where=where)
        elif isinstance(event, self.yaml.SequenceStartEvent):
            node = self.sequence(where, depth)
        else:
            node = self.mapping(where, depth)
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
        while not isinstance(event := next(self.events), self.yaml.MappingEndEvent):
            at = _where(self.path, event.start_mark)
            if not isinstance(event, self.yaml.ScalarEvent):
                raise Unreadable("a key must be a string", at)
            key = self.meter.key(event.value, at)
            if key == "<<" and not event.style:
                raise Unreadable("merge keys (<<) are not allowed", at, "layers merge: put it in a layer")
            if key in items:
                raise Unreadable(f"the key {key!r} stands here twice", at, f"first at line {keys[key].line}")
            items[key] = self.node(next(self.events), depth + 1)
            keys[key] = at
        return mapping(items, keys, where)
