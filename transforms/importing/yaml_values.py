"""Values of other people's YAML as the text, number, list or flag that a key wants.

`document.yaml_reader` reads the YAML. Documents of ours get their types from the schema; these files have none, and
spell values as YAML 1.1 allows, such as `on` for true and numbers with or without quotes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from ordain.transforms.document import yaml_reader
from ordain.transforms.document.node import Node, Number, Unreadable
from ordain.transforms.errors import Where
from ordain.transforms.importing.document_draft import DocumentDraft, InputFile, Plain
from ordain.transforms.systemd import values


class UnusableValue(Exception):
    """A value that a key cannot have; ``node`` has its place."""

    def __init__(self, node: Node, what: str, hint: str = "") -> None:
        self.node, self.what, self.hint = node, what, hint
        super().__init__(what)


def read(file: InputFile, draft: DocumentDraft, *, hint: str = "") -> Node | None:
    """Return the first document of a YAML file, None and a problem if it is not a map.

    ``hint`` is the remedy for YAML that we do not accept.
    """
    text = draft.text(file)
    if text is None:
        return None
    try:
        root = next(iter(yaml_reader.read(file.path, text)), None)
    except Unreadable as error:
        draft.not_converted(error.problem.where, error.problem.what, hint or error.problem.hint)
        return None
    if root is None or not isinstance(root.value, Mapping):
        draft.not_converted(root.where if root else Where(path=file.path), "the file is not a map", hint)
        return None
    return root


def items(node: Node) -> Mapping[str, Node]:
    """Return a map; null is an empty one. Raises `UnusableValue`."""
    if node.value is None:
        return {}
    return node.value if isinstance(node.value, Mapping) else _unusable(node, "a map")


def listed(node: Node) -> tuple[Node, ...]:
    """Return a list; null is an empty one, a scalar a list of one. Raises `UnusableValue` for a map."""
    if node.value is None:
        return ()
    if isinstance(node.value, Mapping):
        _unusable(node, "a list")
    return node.value if isinstance(node.value, tuple) else (node,)


def text(node: Node) -> str:
    """Return a scalar as it was written. Raises `UnusableValue`."""
    if isinstance(node.value, bool):
        return str(node.value).lower()
    return str(node.value) if isinstance(node.value, str) else _unusable(node, "a text")


def texts(node: Node) -> list[str]:
    """Return a list of scalars. Raises `UnusableValue`."""
    return [text(item) for item in listed(node)]


def flag(node: Node) -> bool:
    """Return a boolean in any spelling that YAML 1.1 and systemd know. Raises `UnusableValue`."""
    try:
        return values.boolean(text(node))
    except ValueError:
        _unusable(node, "true or false")


def whole(node: Node) -> int:
    """Return a whole number, quoted or not. Raises `UnusableValue`."""
    try:
        return int(text(node), 10)
    except ValueError:
        _unusable(node, "a whole number")


def plain(node: Node) -> Plain:
    """Return a value as a document of ours writes it."""
    if isinstance(node.value, Mapping):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(child) for child in node.value]
    return node.value.number if isinstance(node.value, Number) else node.value


def _unusable(node: Node, wanted: str) -> NoReturn:
    raise UnusableValue(node, f"the value is not {wanted}")
