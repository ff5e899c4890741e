"""Accounting of an import: every leaf of the input is in the document, or a problem names it.

A leaf is dropped in silence if the import of the input without it gives the same document and the same problems, and
no problem has the place of the leaf or of something that holds it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import yaml

from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.names import names_for, shared_versions
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.importing import file_types
from ordain.transforms.importing.draft import schema_filter
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.file_types import FileType

NAMES, _ = names_for(shipped(), facts_for("debian-12"), shared_versions(shipped()))
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of an import, without lines: they change when one is removed."""

    sections: object
    comments: Counter[str]
    problems: Counter[str]
    places: frozenset[tuple[str, int, int]]

    def __eq__(self, other: object) -> bool:
        """Compare documents and texts of problems."""
        parts = ("sections", "comments", "problems")
        return isinstance(other, Outcome) and all(getattr(self, part) == getattr(other, part) for part in parts)


def imported(files: Iterable[InputFile], kind: FileType | None = None) -> Outcome:
    """Import ``files``."""
    draft = DocumentDraft()
    file_types.convert(files, NAMES, draft, kind)
    schema_filter.remove_invalid(draft)
    return Outcome(
        sections={section: entries for section, entries in draft.sections.items() if entries},
        comments=Counter(map(_without_lines, draft.comments.values())),
        problems=Counter(_without_lines(f"{p.what} ({p.hint})") for p in draft.problems),
        places=frozenset((p.where.path, p.where.line or 0, p.where.column or 0) for p in draft.problems),
    )


def _without_lines(text: str) -> str:
    return re.sub(r":\d+(:\d+)?|line \d+", "", text)


def dropped_from_yaml(path: str, text: str, kind: FileType) -> Iterator[str]:
    """Yield the leaves of a YAML text that its import drops in silence, as ``a/b/0: value``."""
    text = yaml.serialize(composed(text), width=1000)
    root = composed(text)
    whole = imported([InputFile(path=path, data=text.encode())], kind)
    for steps, marks, value in _leaves(root, (), ()):
        if any((path, mark.line + 1, mark.column + 1) in whole.places for mark in marks):
            continue
        rest = yaml.serialize(_without(composed(text), steps), width=1000)
        if imported([InputFile(path=path, data=rest.encode())], kind) == whole:
            yield f"{'/'.join(map(str, steps))}: {value}"


def composed(text: str) -> yaml.Node:
    """Return the nodes of a YAML text."""
    node = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    assert node is not None
    return node


def _leaves(
    node: yaml.Node, steps: Path, marks: Sequence[yaml.Mark]
) -> Iterator[tuple[Path, Sequence[yaml.Mark], str]]:
    marks = (*marks, node.start_mark)
    if isinstance(node, yaml.MappingNode) and node.value:
        for key, child in node.value:
            yield from _leaves(child, (*steps, key.value), marks)
    elif isinstance(node, yaml.SequenceNode) and node.value:
        for at, child in enumerate(node.value):
            yield from _leaves(child, (*steps, at), marks)
    elif node.value and node.tag != "tag:yaml.org,2002:null":  # an empty value says nothing
        yield steps, marks, str(node.value)


def _without(root: yaml.Node, steps: Path) -> yaml.Node:
    node = root
    for step in steps[:-1]:
        node = node.value[step] if isinstance(step, int) else dict((k.value, v) for k, v in node.value)[step]
    if isinstance(node, yaml.MappingNode):
        node.value = [(key, child) for key, child in node.value if key.value != steps[-1]]
    else:
        del node.value[steps[-1]]
    return root


def dropped_lines(files: Sequence[InputFile], kind: FileType | None = None) -> Iterator[str]:
    """Yield the lines that the import of ``files`` drops in silence, as ``path:line: text``.

    A line is a leaf if it is not empty, not a comment, and not the header of a section.
    """
    whole = imported(files, kind)
    for file in files:
        lines = file.data.decode().split("\n")
        for number, line in enumerate(lines, 1):
            if not line.strip() or re.match(r"\s*([#;]|\[.*\]$)", line):
                continue
            if any(place[:2] in {(file.path, number), (file.path, 0)} for place in whole.places):
                continue
            shorter = "\n".join([*lines[: number - 1], "", *lines[number:]])
            rest = [InputFile(path=f.path, data=shorter.encode()) if f is file else f for f in files]
            if imported(rest, kind) == whole:
                yield f"{file.path}:{number}: {line}"
