"""The XML form of Runs: the same keys as in YAML, both ways, without loss.

    <run xmlns="https://ordain.invalid/v1/run">        `ordain: v1` and `kind: Run` are implied
      <name>lattice</name>
      <command><item>./solve</item><item>input.nml</item></command>
      <environment><entry name="OMP_NUM_THREADS">4</entry></environment>
    </run>

An element is a key; ``entry`` is a key with any name; ``item`` is an item of a list. Its text is a scalar as in YAML:
``true``, ``null`` and numbers are what they look like unless ``type="string"`` says otherwise. A text with characters
that XML cannot hold is a JSON string, with ``encoding="json"``. Several Runs are in one ``runs`` element.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from xml.sax.saxutils import escape

from ordain.transforms.document.keys.run_keys import RUN
from ordain.transforms.document.keys.shapes import FreeForm, Map, Record, Set, Shape
from ordain.transforms.document.reader import HEADER, read, read_node
from ordain.transforms.document.text.node import SUFFIXES, Node, Number, Unreadable, mapping, scalar, sequence
from ordain.transforms.errors import Problem, Where, sorted_problems
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Document
from ordain.transforms.runs.xml_elements import XmlElement, read_elements

NAMESPACE = "https://ordain.invalid/v1/run"
SUFFIX = ".xml"
_ROOTS = ("run", "runs")
_HEAD = ("ordain", "kind")
_KEY = lazy_pattern(r"[a-z][a-z0-9-]*")
_TYPES = ("string", "map", "list")
_UNWRITABLE = lazy_pattern("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def is_xml(path: str, data: bytes) -> bool:
    """Return whether a file is XML, by its name or else by its first character."""
    if path.endswith(SUFFIXES):
        return False
    return path.endswith(SUFFIX) or data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def read_runs(path: str, data: bytes) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """Return the documents of one file in YAML, JSON or, if they are Runs, XML; and its problems."""
    return read_xml(path, data) if is_xml(path, data) else read(path, data)


def read_xml(path: str, data: bytes) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """Return the Runs of an XML text and its problems; a Run with a problem is left out."""
    documents: list[Document] = []
    problems: list[Problem] = []
    try:
        for node in read_xml_nodes(path, data):
            document, wrong = read_node(node)
            problems += wrong
            documents += [document] if document else []
    except Unreadable as error:
        problems.append(error.problem)
    return tuple(documents), sorted_problems(problems)


def read_xml_nodes(path: str, data: bytes) -> Iterator[Node]:
    """Yield the Runs of an XML text as they were written. Raises `Unreadable`."""
    root = read_elements(path, data)
    if root.namespace != NAMESPACE or root.name not in _ROOTS:
        hint = f'the root must be <run xmlns="{NAMESPACE}">, or <runs …>; import JSDL with `ordainctl run import`'
        raise Unreadable(f"the root element <{root.name}> is not a Run", root.where, hint)
    for element in [root] if root.name == "run" else root.children:
        if element.name != "run":
            raise Unreadable(f"<{element.name}> is not a run", element.where, "write <run> in <runs>")
        node = _node(element)
        if not isinstance(node.value, Mapping):
            raise Unreadable("a run without keys", element.where, "write <name> and <command>")
        head = {key: Node(value=value, where=element.where) for key, value in (("ordain", "v1"), ("kind", "Run"))}
        yield mapping({**head, **node.value}, {**dict.fromkeys(head, element.where), **node.keys}, element.where)


def _node(element: XmlElement) -> Node:
    unknown = set(element.attributes) - {"name", "type", "encoding"}
    kind, where = element.attributes.get("type", ""), element.where
    if unknown or (kind and kind not in _TYPES):
        name = min(unknown) if unknown else f'type="{kind}"'
        raise Unreadable(f"unknown attribute {name}", where, f"known: name, encoding, type ({', '.join(_TYPES)})")
    if element.namespace != NAMESPACE:
        raise Unreadable(f"<{element.name}> is not in the namespace {NAMESPACE}", where)
    if not element.children and kind in ("", "string"):
        return Node(value=_scalar(element, kind), where=where)
    if element.words:
        raise Unreadable("text beside elements", where, "put the text into an element of its own")
    items = [child.name == "item" and "name" not in child.attributes for child in element.children]
    if kind == "list" or (items and all(items) and kind != "map"):
        if not all(items):
            raise Unreadable("a list holds only <item>", where)
        return sequence([_node(child) for child in element.children], where)
    if any(items):
        raise Unreadable("<item> beside keys", where, 'a key called item is <entry name="item">')
    keys: dict[str, Node] = {}
    places: dict[str, Where] = {}
    for child in element.children:
        key = _key_of(child)
        if key in keys:
            raise Unreadable(
                f"duplicate key {key!r}", child.where, f"it is also in line {places[key].line}; remove one"
            )
        keys[key], places[key] = _node(child), child.where
    return mapping(keys, places, where)


def _key_of(element: XmlElement) -> str:
    if element.name != "entry":
        return element.name
    if "name" not in element.attributes:
        raise Unreadable("<entry> without a name", element.where, 'write <entry name="KEY">')
    return element.attributes["name"]


def _scalar(element: XmlElement, kind: str) -> str | bool | None:
    text = element.text
    if "encoding" in element.attributes:
        try:
            value = json.loads(text) if element.attributes["encoding"] == "json" else None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, str) or "\0" in value or not _encodable(value):
            raise Unreadable("the text is not a JSON string", element.where, 'write encoding="json" and "…" in quotes')
        return value
    return text if kind == "string" else scalar(text)


def _encodable(text: str) -> bool:
    return not re.search("[\ud800-\udfff]", text)


# Writing


def write_xml(nodes: Iterable[Node]) -> str:
    """Return the XML form of Runs, with known keys in the order of the language.

    `read_xml_nodes` reads the same values back, which are written as the same bytes again, also by way of YAML.
    """
    documents = list(nodes)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    if len(documents) == 1:
        lines += _element(f'run xmlns="{NAMESPACE}"', _without_head(documents[0]), Record(RUN), "")
    else:
        lines.append(f'<runs xmlns="{NAMESPACE}">')
        for node in documents:
            lines += _element("run", _without_head(node), Record(RUN), "  ")
        lines.append("</runs>")
    return "\n".join(lines) + "\n"


def _without_head(node: Node) -> Node:
    assert isinstance(node.value, Mapping)
    head = [key for key in HEADER if key in node.value and key not in _HEAD]
    keys = [*head, *(key for key in node.value if key not in HEADER)]
    return Node(value={key: node.value[key] for key in keys}, where=node.where)


def _element(tag: str, node: Node, shape: Shape | None, indent: str, *, typed: bool = False) -> Iterator[str]:
    """Yield the lines of an element. ``typed``: a text that looks like a number needs its type, as in ``values``."""
    typed = typed or isinstance(shape, FreeForm)
    name = tag.partition(" ")[0]
    value = node.value
    if isinstance(value, (Mapping, tuple)):
        if not value:
            yield f'{indent}<{tag} type="{"map" if isinstance(value, Mapping) else "list"}"/>'
            return
        yield f"{indent}<{tag}>"
        if isinstance(value, tuple):
            for item in value:
                yield from _element("item", item, None, indent + "  ", typed=typed)
        else:
            for key, child in _in_order(value, shape):
                yield from _element(_tag(key, shape), child, _below(shape, key), indent + "  ", typed=typed)
        yield f"{indent}</{name}>"
        return
    attributes, text = _written(value, typed)
    yield f"{indent}<{tag}{attributes}>{text}</{name}>" if text else f"{indent}<{tag}{attributes}/>"


def _in_order(value: Mapping[str, Node], shape: Shape | None) -> Iterator[tuple[str, Node]]:
    """Yield the keys of a map, those of a record in the order of the language; the keys of the head come first."""
    rank = {key: at for at, key in enumerate((*HEADER, *shape.keys))} if isinstance(shape, Record) else {}
    yield from sorted(value.items(), key=lambda item: rank.get(item[0], len(rank)))


def _written(value: str | bool | None, typed: bool) -> tuple[str, str]:
    """Return the attributes and the text of a scalar."""
    if value is None:
        return "", ""
    if isinstance(value, bool):
        return "", str(value).lower()
    if isinstance(value, Number):
        return "", str(value)
    if _UNWRITABLE.search(value):
        return ' encoding="json"', escape(json.dumps(value))
    read = scalar(value)
    kind = ' type="string"' if not isinstance(read, str) or (typed and isinstance(read, Number)) else ""
    return kind, escape(value, {"\r": "&#13;"})


def _tag(key: str, shape: Shape | None) -> str:
    """Return the element of a key: its own name if the language knows it, else an ``entry``."""
    known = isinstance(shape, Record) and (key in shape.keys or shape.keys.keys() == RUN.keys())
    if (known or key == "template") and _KEY.fullmatch(key) and key not in {"item", "entry"}:
        return key
    if _UNWRITABLE.search(key):
        raise ValueError(f"XML cannot hold the key {key!r}")
    return f'entry name="{escape(key, {chr(34): "&quot;", chr(9): "&#9;", chr(10): "&#10;", chr(13): "&#13;"})}"'


def _below(shape: Shape | None, key: str) -> Shape | None:
    if isinstance(shape, Record):
        return shape.keys.get(key)
    return shape.of if isinstance(shape, (Map, Set)) else None
