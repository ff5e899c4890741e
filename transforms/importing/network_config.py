"""Network configuration of netplan, whose vocabulary is that of the section ``network``, and of cloud-init.

netplan reads the text of a scalar, quoted or not, by the type that a key wants: `dhcp4: yes` is true, and `mtu: "9000"`
a number. The schema has the types.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ordain.transforms.catalog.names import Names
from ordain.transforms.document.keys.network_keys import NETWORK
from ordain.transforms.document.keys.network_shapes import FlagOr, Rows
from ordain.transforms.document.keys.shapes import Flag, Integer, Map, Record, Shape
from ordain.transforms.document.text.node import Node, Number, mapping, sequence
from ordain.transforms.importing import network_v1
from ordain.transforms.importing.draft import yaml_values
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.draft.foreign_yaml import UnusableNode
from ordain.transforms.importing.draft.yaml_values import UnusableValue, items, text
from ordain.transforms.lazy_patterns import lazy_pattern


def convert(files: Iterable[InputFile], names: Names, draft: DocumentDraft) -> None:
    """Add netplan's ``files`` to ``draft``. They are merged in the order of their names, as netplan merges them."""
    roots = [root for file in sorted(files, key=lambda file: file.name) if (root := yaml_values.read(file, draft))]
    merged: Node | None = None
    for root in roots:
        for key, node in items(root).items():
            if key == "network" and isinstance(node.value, Mapping):
                merged = _merged(merged, node) if merged else node
            else:
                what = f"netplan has no key {key}" if key != "network" else "network: the value is not a map"
                draft.not_converted(node.where, what, "remove it")
    if merged:
        yaml_values.each([merged], lambda node: add(node, draft), draft, "network")


def add(node: Node, draft: DocumentDraft) -> None:
    """Add a network configuration of any version. Raises `UnusableValue`."""
    keys = items(node)
    if "config" in keys and not isinstance(keys["config"].value, (tuple, Mapping)):
        if text(keys["config"]) == "disabled":
            hint = "remove it: without `network` Ordain does not touch the network"
            draft.not_converted(keys["config"].where, "network: cloud-init leaves the network alone", hint)
            return
        raise UnusableValue(keys["config"], "network: config is not a list", "write the devices of version 1")
    version = text(keys["version"]) if "version" in keys else "1" if "config" in keys else "2"
    if version not in {"1", "2"} or (version == "1" and "config" not in keys):
        raise UnusableValue(keys["version"], f"this is version {version}", "write version 2")
    if version == "1":
        node = network_v1.converted(node, draft)
    for key, child in items(_typed(node, NETWORK, draft)).items():
        if key != "version":
            draft.add("network", key, yaml_values.plain(child), child.where)
            draft.nodes.setdefault(("network", key), child)


def _merged(first: Node, second: Node) -> Node:
    """Return two files as one: maps are merged, lists are joined, of scalars the later is used."""
    if isinstance(first.value, Mapping) and isinstance(second.value, Mapping):
        keys = dict(first.value)
        for key, node in second.value.items():
            keys[key] = _merged(keys[key], node) if key in keys else node
        return mapping(keys, {**first.keys, **second.keys}, first.where)
    if isinstance(first.value, tuple) and isinstance(second.value, tuple):
        return sequence([*first.value, *second.value], second.where)
    return second


def _typed(node: Node, shape: Shape | None, draft: DocumentDraft) -> Node:
    """Return a value with booleans and numbers where the shape wants them.

    A text that netplan takes for neither stays one, which the schema reports. Values that no document can hold are
    problems.
    """
    if isinstance(node.value, Mapping):
        below = {key: _shape_below(shape, key) for key in node.value}
        keys = {
            key: _typed(child, below[key], draft)
            for key, child in node.value.items()
            if not _is_unusable(child, key, draft)
        }
        return mapping(keys, {**node.keys}, node.where)
    if isinstance(node.value, tuple):
        of = shape.of if isinstance(shape, Rows) else None
        children = [_typed(child, of, draft) for child in node.value if not _is_unusable(child, "", draft)]
        return sequence(children, node.where)
    if isinstance(shape, (Flag, FlagOr)) and isinstance(node.value, str):
        word = _BOOLEANS.get(node.value.lower(), str(node.value) if isinstance(shape, Flag) else node.value)
        return Node(value=word, where=node.where)
    if isinstance(shape, Integer) and isinstance(node.value, str):
        number = str(int(node.value)) if _WHOLE.fullmatch(node.value) else ""
        return Node(value=Number(number) if number else str(node.value), where=node.where)
    return node


_BOOLEANS = {word: True for word in ("true", "on", "yes", "y")} | {word: False for word in ("false", "off", "no", "n")}
"""The booleans of netplan (handle_generic_bool() in src/parse.c)."""
_WHOLE = lazy_pattern(r"[0-9]{1,20}")
"""The numbers of netplan: decimal, whatever zeros precede them (handle_netdef_guint() in src/parse.c)."""


def _shape_below(shape: Shape | None, key: str) -> Shape | None:
    if isinstance(shape, Record):
        return shape.keys.get(key)
    return shape.of if isinstance(shape, Map) else None


def _is_unusable(node: Node, key: str, draft: DocumentDraft) -> bool:
    if isinstance(node, UnusableNode):
        draft.not_converted(node.where, f"network: {key}: {node.what}", node.hint)
    return isinstance(node, UnusableNode)
