"""Removes from a draft what the schema refuses, so that an import prints only valid documents."""

from __future__ import annotations

from ordain.transforms.document import validate
from ordain.transforms.document.node import Node, Number, Unreadable, mapping, sequence, unescape_key
from ordain.transforms.errors import NOWHERE
from ordain.transforms.importing.document_draft import DocumentDraft, Plain
from ordain.transforms.model import Kind


def remove_invalid(draft: DocumentDraft) -> None:
    """Remove what the schema refuses from ``draft``, each with a problem at the place that it comes from."""
    _remove_excess(draft)
    while problems := validate.problems(document(draft.sections), Kind.LAYER):
        for problem in problems:
            section, _, rest = problem.where.pointer.partition("/")
            name = unescape_key(rest.partition("/")[0])
            if _remove(draft.sections, problem.where.pointer):
                where = draft.places.get((section, name), NOWHERE)
                draft.not_converted(where, f"{problem.where.pointer}: {problem.what}", problem.hint)


def _remove_excess(draft: DocumentDraft) -> None:
    """Remove the largest entries until one document can hold the rest."""
    while True:
        try:
            document(draft.sections)
        except Unreadable as error:
            sizes = ((_size(e), s, n) for s, entries in draft.sections.items() for n, e in entries.items())
            size, section, name = max(sizes, key=lambda entry: entry[0])
            del draft.sections[section][name]
            where = draft.places.get((section, name), NOWHERE)
            what = f"{section}/{name} has {size:,} values; with it the document {error.problem.what}"
            draft.not_converted(where, what)
        else:
            return


def _size(value: Plain) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inner))


def _remove(sections: dict[str, dict[str, Plain]], pointer: str) -> bool:
    """Remove the value at ``pointer``, or the list that holds it. Return False if it was removed before."""
    path = [unescape_key(part) for part in pointer.split("/")]
    tree: Plain = {**sections}
    if len(path) < 2:
        return sections.pop(path[0], None) is not None
    for at, key in enumerate(path):
        if not isinstance(tree, dict) or key not in tree:
            return False
        if at == len(path) - 1 or isinstance(tree[key], list):
            del tree[key]
            return True
        tree = tree[key]
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
