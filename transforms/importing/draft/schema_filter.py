"""Removes from a draft what the reader refuses, so that an import prints only valid documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import reduce

from ordain.transforms.decimal_numbers import is_decimal
from ordain.transforms.document import reader
from ordain.transforms.document.keys.service_keys import SERVICE
from ordain.transforms.document.keys.shapes import CommandLine
from ordain.transforms.document.text.node import (
    Node,
    Number,
    ReadLimits,
    Unreadable,
    mapping,
    pointer_below,
    sequence,
    unescape_key,
)
from ordain.transforms.errors import NOWHERE, Problem
from ordain.transforms.importing.draft.document_draft import DocumentDraft, Plain
from ordain.transforms.model import Kind

COMMANDS = {key for key, shape in SERVICE.keys.items() if isinstance(shape, CommandLine)}
"""Keys of a service with a command line."""
_MAX_SHOWN = 200
"""The characters of a pointer that a problem shows."""


def remove_invalid(draft: DocumentDraft) -> None:
    """Remove what the reader refuses from ``draft``, each with a problem at the place that it comes from."""
    _remove_excess(draft)
    removed: dict[str, list[int]] = {}
    while problems := _problems(draft.sections):
        shortened: set[str] = set()
        for problem in problems:
            path = [unescape_key(part) for part in problem.where.pointer.split("/")]
            at = _length_to_remove(draft.sections, path)
            if at is None or any(_pointer(path[:part]) in shortened for part in range(at)):
                continue  # it is gone, or the items of its list have other numbers now
            original = _original(path, removed)
            where = draft.place(path[0], path[1] if len(path) > 1 else "", original[2:at])
            pointer = reduce(pointer_below, original, "")[:_MAX_SHOWN]
            draft.not_converted(where, f"{pointer}: {problem.what}", problem.hint)
            if _remove(draft.sections, path[:at]):
                shortened.add(_pointer(path[: at - 1]))
                removed.setdefault(_pointer(path[: at - 1]), []).append(int(path[at - 1]))


def _problems(sections: dict[str, dict[str, Plain]]) -> list[Problem]:
    """Return everything for which the reader would refuse the document, of one kind at a time."""
    return [*_unreadable(sections, "")] or reader.problems_of(document(sections), Kind.LAYER)


def _unreadable(value: Plain | Mapping[str, Plain], pointer: str) -> Iterator[Problem]:
    """Yield a problem for each text that no document may hold."""
    limits = ReadLimits()
    if isinstance(value, Mapping):
        for key, child in value.items():
            below = pointer_below(pointer, key)
            try:
                limits.check_key(key, replace(NOWHERE, pointer=below))
            except Unreadable as error:
                yield error.problem
            else:
                yield from _unreadable(child, below)
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from _unreadable(child, pointer_below(pointer, number))
    elif isinstance(value, str):
        try:
            limits.check_text(value, replace(NOWHERE, pointer=pointer))
        except Unreadable as error:
            yield error.problem


def _pointer(path: list[str]) -> str:
    return "\0".join(path)


def _original(path: list[str], removed: Mapping[str, list[int]]) -> list[str]:
    """Return ``path`` with the numbers that items of lists had before others were removed."""
    original = [*path]
    for at in range(len(path)):
        for number in reversed(removed.get(_pointer(path[:at]), ())):
            original[at] = str(int(original[at]) + (int(original[at]) >= number))
    return original


def _remove_excess(draft: DocumentDraft) -> None:
    """Remove the largest entries until one document can hold the rest."""
    while True:
        try:
            document(draft.sections)
        except Unreadable as error:
            sizes = ((_size(e), s, n) for s, entries in draft.sections.items() for n, e in entries.items())
            size, section, name = max(sizes, key=lambda entry: entry[0])
            del draft.sections[section][name]
            where = draft.place(section, name, ())
            what = f"{section}/{name} has {size:,} values; with it the document {error.problem.what}"
            draft.not_converted(where, what)
        else:
            return


def _size(value: Plain) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inner))


def _length_to_remove(sections: dict[str, dict[str, Plain]], path: list[str]) -> int | None:
    """Return the length of the part of ``path`` to remove, None if nothing is there any more.

    It is the whole path, but a command that lost a word would be another command.
    """
    tree: Plain = {**sections}
    for at, key in enumerate(path):
        if isinstance(tree, dict) and key in tree:
            tree = tree[key]
        elif isinstance(tree, list) and is_decimal(key) and int(key) < len(tree):
            tree = tree[int(key)]
        else:
            return None
        if key in COMMANDS and path[0] == "services" and at > 1:
            return at + 1
    return len(path)


def _remove(sections: dict[str, dict[str, Plain]], path: list[str]) -> bool:
    """Remove the value at ``path``, and a list that would be empty. Return whether a list is shorter now."""
    tree: Plain = {**sections}
    for key in path[:-1]:
        tree = tree[key] if isinstance(tree, dict) else tree[int(key)] if isinstance(tree, list) else None
    if isinstance(tree, list) and len(tree) > 1:
        del tree[int(path[-1])]
        return True
    if isinstance(tree, list):
        return _remove(sections, path[:-1])
    if len(path) == 1:
        del sections[path[0]]
    elif isinstance(tree, dict):
        del tree[path[-1]]
    return False


def document(sections: dict[str, dict[str, Plain]]) -> Node:
    """Return a Layer with ``sections``, for the schema."""
    entries = {name: {**section} for name, section in sections.items()}
    return node({"ordain": "v1", "kind": "Layer", "name": "x", **entries})


def node(value: Plain) -> Node:
    """Return a value as a node without a place. Raises `node.Unreadable` if a document cannot be so large."""
    if isinstance(value, dict):
        return mapping({key: node(inner) for key, inner in value.items()}, dict.fromkeys(value, NOWHERE), NOWHERE)
    if isinstance(value, list):
        return sequence([node(inner) for inner in value], NOWHERE)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Node(value=Number(value), where=NOWHERE)
    return Node(value=value, where=NOWHERE)
