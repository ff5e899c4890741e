"""Held against the schema of the language: an import prints nothing that `ordainctl validate` refuses."""

from __future__ import annotations

from ordain.transforms.document import validate
from ordain.transforms.document.node import Node, Number, Unreadable, mapping, sequence, unescape_key
from ordain.transforms.errors import NOWHERE
from ordain.transforms.importing.draft import Imported, Plain
from ordain.transforms.model import Kind


def settle(imported: Imported) -> None:
    """Takes out of ``imported`` what the schema refuses, and says so where it came from."""
    _bound(imported)
    while wrong := validate.problems(document(imported.sections), Kind.LAYER):
        for problem in wrong:
            section, _, rest = problem.where.pointer.partition("/")
            name = unescape_key(rest.partition("/")[0])
            if _take_out(imported.sections, problem.where.pointer):
                where = imported.wheres.get((section, name), NOWHERE)
                imported.lost(where, f"{problem.where.pointer}: {problem.what}", problem.hint)


def _bound(imported: Imported) -> None:
    """Takes out the largest entries while there is more than one document may hold."""
    while True:
        try:
            document(imported.sections)
        except Unreadable as error:
            sizes = ((_size(e), s, n) for s, entries in imported.sections.items() for n, e in entries.items())
            size, section, name = max(sizes, key=lambda entry: entry[0])
            del imported.sections[section][name]
            where = imported.wheres.get((section, name), NOWHERE)
            imported.lost(where, f"{section}/{name}: {size:,} values; with it the document {error.problem.what}")
        else:
            return


def _size(value: Plain) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inner))


def _take_out(sections: dict[str, dict[str, Plain]], pointer: str) -> bool:
    """Removes what ``pointer`` leads to; of a list, the whole list. False if that is gone already."""
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
    """A Layer with ``sections`` as the schema sees it."""
    return node({"ordain": "v1", "kind": "Layer", "name": "x", **{name: {**those} for name, those in sections.items()}})


def node(value: Plain) -> Node:
    """A value without a place. Raises `node.Unreadable` where it is larger than a document may be."""
    if isinstance(value, dict):
        return mapping({key: node(inner) for key, inner in value.items()}, dict.fromkeys(value, NOWHERE), NOWHERE)
    if isinstance(value, list):
        return sequence([node(inner) for inner in value], NOWHERE)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Node(value=Number(value), where=NOWHERE)
    return Node(value=value, where=NOWHERE)
