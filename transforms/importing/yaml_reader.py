"""Other people's YAML → nodes with places, and what a value says where a text, a list or a flag is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from ordain.transforms.document import yaml_reader
from ordain.transforms.document.node import Node, Number, Unreadable
from ordain.transforms.errors import Where
from ordain.transforms.importing.draft import Imported, Plain, Source
from ordain.transforms.systemd import values


class Unfit(Exception):
    """A value that is not what its key wants; ``node`` says where."""

    def __init__(self, node: Node, what: str, hint: str = "") -> None:
        self.node, self.what, self.hint = node, what, hint
        super().__init__(what)


def read(source: Source, imported: Imported, *, hint: str = "") -> Node | None:
    """The first document of a YAML file; what is none is a problem. ``hint``: what to do about YAML we do not take."""
    text = imported.text(source)
    if text is None:
        return None
    try:
        found = next(iter(yaml_reader.read(source.path, text)), None)
    except Unreadable as error:
        imported.lost(error.problem.where, error.problem.what, hint or error.problem.hint)
        return None
    if found is None or not isinstance(found.value, Mapping):
        where = found.where if found else Where(path=source.path)
        imported.lost(where, "a map is wanted here", hint)
        return None
    return found


def items(node: Node) -> Mapping[str, Node]:
    """A map; nothing is an empty one. Raises `Unfit`."""
    if node.value is None:
        return {}
    return node.value if isinstance(node.value, Mapping) else _unfit(node, "a map")


def listed(node: Node) -> tuple[Node, ...]:
    """A list; nothing is an empty one, a scalar a list of one. Raises `Unfit` for a map."""
    if node.value is None:
        return ()
    if isinstance(node.value, Mapping):
        _unfit(node, "a list")
    return node.value if isinstance(node.value, tuple) else (node,)


def text(node: Node) -> str:
    """A scalar as it was written. Raises `Unfit`."""
    if isinstance(node.value, bool):
        return str(node.value).lower()
    return str(node.value) if isinstance(node.value, str) else _unfit(node, "a text")


def texts(node: Node) -> list[str]:
    """A list of scalars. Raises `Unfit`."""
    return [text(item) for item in listed(node)]


def flag(node: Node) -> bool:
    """A boolean in any spelling that YAML 1.1 and systemd know. Raises `Unfit`."""
    try:
        return values.boolean(text(node))
    except ValueError:
        _unfit(node, "true or false")


def whole(node: Node) -> int:
    """A whole number, quoted or not. Raises `Unfit`."""
    try:
        return int(text(node), 10)
    except ValueError:
        _unfit(node, "a whole number")


def plain(node: Node) -> Plain:
    """A value as a document of ours writes it."""
    if isinstance(node.value, Mapping):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, tuple):
        return [plain(child) for child in node.value]
    return node.value.number if isinstance(node.value, Number) else node.value


def _unfit(node: Node, wanted: str) -> NoReturn:
    raise Unfit(node, f"{wanted} is wanted here")
