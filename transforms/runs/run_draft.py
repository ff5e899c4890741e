"""The draft of a Run that an import makes: keys of the document, and problems with the rest of the input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ordain.transforms.document.keys.run_keys import RESOURCES, RUN
from ordain.transforms.document.keys.shapes import Record
from ordain.transforms.document.reader import HEADER, read
from ordain.transforms.document.text.node import Node, unescape_key
from ordain.transforms.errors import Problem, Where, warning
from ordain.transforms.importing.draft.document_draft import Plain
from ordain.transforms.importing.draft.yaml_writer import write_keys
from ordain.transforms.lazy_patterns import lazy_pattern

_NOT_A_NAME = lazy_pattern(r"[^A-Za-z0-9_.-]+")


@dataclass(slots=True)
class RunDraft:
    """Keys of a Run by pointer, with the place that each comes from.

    ``accounted`` are the lines of the input that became a key, a default, a line of `script` or a problem. ``pending``
    are options, as name, value and place, that only all others together explain.
    """

    name: str = ""
    keys: dict[str, Plain] = field(default_factory=dict)
    places: dict[str, Where] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    accounted: set[int] = field(default_factory=set)
    pending: list[tuple[str, str, Where]] = field(default_factory=list)

    def set(self, pointer: str, value: Plain, where: Where) -> None:
        """Set a key such as ``resources/nodes``; a second value for it is a problem."""
        self.accounted.add(where.line)
        *above, last = pointer.split("/")
        for other in (f"{'/'.join(above)}/{name}" for group in RESOURCES.one_of if last in group for name in group):
            if other != pointer and self.get(other) is not None:
                what = f"{pointer} {value} excludes {other} (from {self.places[other]})"
                self.not_carried(where, what, "write one of them")
                return
        entries = self.keys
        for part in above:
            inner = entries.setdefault(part, {})
            assert isinstance(inner, dict)
            entries = inner
        if last in entries and entries[last] != value:
            what = f"{pointer} is {entries[last]} already (from {self.places[pointer]}), and {value} here"
            self.not_carried(where, what, "write one of them")
            return
        entries[last] = value
        self.places[pointer] = where

    def set_entry(self, key: str, name: str, value: Plain, where: Where) -> None:
        """Set an entry of a map whose names are free, such as ``environment``."""
        self.accounted.add(where.line)
        entries = self.keys.setdefault(key, {})
        assert isinstance(entries, dict)
        entries[name] = value
        self.places.setdefault(key, where)
        self.places[f"{key}/{name}"] = where

    def add(self, pointer: str, value: str, where: Where) -> None:
        """Add a text to a list such as ``native/slurm``."""
        self.accounted.add(where.line)
        *above, last = pointer.split("/")
        entries = self.keys
        for part in above:
            inner = entries.setdefault(part, {})
            assert isinstance(inner, dict)
            entries = inner
        texts = entries.setdefault(last, [])
        assert isinstance(texts, list)
        texts.append(value)
        self.places.setdefault(pointer, where)

    def get(self, pointer: str) -> Plain:
        """Return the value of a key, None if it is not set."""
        value: Plain = self.keys
        for part in pointer.split("/"):
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def not_carried(self, where: Where, what: str, hint: str = "") -> None:
        """Add the problem that something is not converted."""
        self.accounted.add(where.line)
        self.problems.append(warning("", where, what, hint, "NotCarried"))

    def set_name(self, text: str, where: Where) -> None:
        """Set the name; characters that a document cannot have in its name are a problem."""
        self.accounted.add(where.line)
        name = _NOT_A_NAME.sub("-", text).strip("-._")[:128]
        if name != text:
            self.not_carried(where, f"the name {text!r}", f"the run is called {name or 'imported'}")
        self.name = name or "imported"

    def remove_invalid(self) -> None:
        """Remove each value that a document cannot have, and report it."""
        while True:
            _, problems = read("import.yaml", self.text("").encode())
            wrong = {problem.where.pointer: problem for problem in problems}
            removed = [pointer for pointer in wrong if self._remove(pointer)]
            for pointer in removed:
                problem = wrong[pointer]
                path = "/".join(map(unescape_key, pointer.split("/")))
                place = next((w for p, w in self.places.items() if p == path or p.startswith(f"{path}/")), None)
                place = place or self.places.get(path.partition("/")[0], Where())
                self.not_carried(place, f"{path}: {problem.what}", problem.hint)
            if not removed:
                return

    def _remove(self, pointer: str) -> bool:
        """Remove the value at ``pointer``, or the list that it is in. Return whether there was one."""
        entries: Plain = self.keys
        *above, last = map(unescape_key, pointer.split("/"))
        for at, part in enumerate(above):
            inner = entries.get(part) if isinstance(entries, dict) else None
            if isinstance(inner, list):
                above, last = above[:at], part
                break
            entries = inner
        if not isinstance(entries, dict) or last not in entries:
            return False
        del entries[last]
        return True

    def text(self, header: str) -> str:
        """Return the document as YAML."""
        return yaml_text(self.name or "imported", self.keys, header)


def yaml_text(name: str, keys: Mapping[str, Plain], header: str = "", head: Mapping[str, Plain] | None = None) -> str:
    """Return a Run as YAML; ``head`` are keys such as ``tier`` and ``match``."""
    top: dict[str, Plain] = {"ordain": "v1", "kind": "Run", "name": name, **(head or {})}
    return write_keys(top, dict(keys), Record(RUN), header=header)


def node_yaml(node: Node) -> str:
    """Return a Run that was read as YAML, with its keys in the order of the language."""
    value = _plain(node)
    assert isinstance(value, dict)
    head = {key: value[key] for key in HEADER if key in value and key not in {"ordain", "kind", "name"}}
    return yaml_text(str(value["name"]), {key: inner for key, inner in value.items() if key in RUN}, head=head)


def _plain(node: Node) -> Plain:
    if isinstance(node.value, Mapping):
        return {key: _plain(child) for key, child in node.value.items()}
    return [_plain(child) for child in node.value] if isinstance(node.value, tuple) else node.value
