"""Values of other people's YAML as the text, number, list or flag that a key wants.

`foreign_yaml` has the rules for the YAML. Documents of ours get their types from the schema; these files have none, and
spell values as YAML 1.1 allows, such as `on` for true and numbers with or without quotes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NoReturn

from ordain.transforms.document.text import yaml_reader
from ordain.transforms.document.text.node import Node, Number, Unreadable
from ordain.transforms.errors import Where
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile, Plain
from ordain.transforms.importing.draft.foreign_yaml import ForeignRules, UnusableNode, python_value
from ordain.transforms.systemd import values


class UnusableValue(Exception):
    """A value that a key cannot have; ``node`` has its place."""

    def __init__(self, node: Node, what: str, hint: str = "") -> None:
        self.node, self.what, self.hint = node, what, hint
        super().__init__(what)

    def described(self, lost: Node) -> str:
        """Return the description for a problem at ``lost``, the value that is not converted because of it."""
        line = self.node.where.line
        return self.what if line == lost.where.line else f"{self.what} (line {line})"


def read(file: InputFile, draft: DocumentDraft, *, hint: str = "") -> Node | None:
    """Return the first document of a YAML file, None and a problem if it is not a map.

    ``hint`` is the remedy for YAML that we do not accept.
    """
    text = draft.text(file)
    if text is None:
        return None
    try:
        root, *others = (*yaml_reader.read(file.path, text, ForeignRules(draft)),) or (None,)
    except Unreadable as error:
        draft.not_converted(error.problem.where, error.problem.what, hint or error.problem.hint)
        return None
    for other in others:
        draft.not_converted(other.where, "the file has a second YAML document", "import it as a file of its own")
    if root is None or not isinstance(root.value, Mapping):
        draft.not_converted(root.where if root else Where(path=file.path), "the file is not a map", hint)
        return None
    return root


def each(nodes: Iterable[Node], convert: Callable[[Node], None], draft: DocumentDraft, what: str) -> None:
    """Convert every node. One with a problem, which begins with ``what``, does not keep the others from it.

    The place of the problem is the node that is lost.
    """
    for node in nodes:
        try:
            convert(node)
        except UnusableValue as error:
            draft.not_converted(node.where, f"{what}: {error.described(node)}", error.hint)


def items(node: Node) -> Mapping[str, Node]:
    """Return a map; null is an empty one. Raises `UnusableValue`."""
    if node.value is None:
        return {}
    return node.value if isinstance(node.value, Mapping) else _unusable(node, "a map")


def set_items(node: Node) -> Mapping[str, Node]:
    """Return the keys of a map that are not null, which counts as not set. Raises `UnusableValue`."""
    return {key: child for key, child in items(node).items() if child.value is not None}


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
    if isinstance(node, UnusableNode) or not isinstance(node.value, str):
        _unusable(node, "a text")
    return str(node.value)


def python_text(node: Node) -> str:
    """Return the text that a Python program makes of a scalar in YAML 1.1: `True`, or 420 for 0644.

    Raises `UnusableValue`.
    """
    if isinstance(node, UnusableNode) or isinstance(node.value, (Mapping, tuple)):
        _unusable(node, "a text")
    try:
        return str(python_value(node))
    except ValueError as error:
        raise UnusableValue(node, f"{node.value!r} is not a value in YAML 1.1: {error}", "write it in quotes") from None


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
    """Return a whole number, quoted or not; one without quotes is read by YAML 1.1. Raises `UnusableValue`."""
    try:
        return int(python_text(node), 10)
    except ValueError:
        _unusable(node, "a whole number")


def plain(node: Node) -> Plain:
    """Return a value as a document of ours writes it. Raises `UnusableValue`."""
    if isinstance(node.value, Mapping):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(child) for child in node.value]
    if isinstance(node.value, Number):
        return node.value.number
    return text(node) if isinstance(node.value, str) else node.value


def _unusable(node: Node, wanted: str) -> NoReturn:
    if isinstance(node, UnusableNode):
        raise UnusableValue(node, node.what, node.hint)
    raise UnusableValue(node, f"the value is not {wanted}")
