"""Writes a draft as YAML that is easy to read: keys in the order of the language, quotes only where they are needed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache

from ordain.transforms.document.keys.language import SECTIONS
from ordain.transforms.document.keys.shapes import FreeForm, Map, Record, Set, Shape
from ordain.transforms.document.text import yaml_reader
from ordain.transforms.document.text.node import Number, Unreadable, scalar
from ordain.transforms.importing.draft.document_draft import DocumentDraft, Plain

WIDTH = 100
"""The width from which values are split over several lines, if YAML allows that."""
_END = "\n"
MAX_KEY = 1000
"""Longer keys need a ? in front (YAML 1.2, 7.4.2, allows 1024 characters without)."""
FLOW_ENTRIES = 3
"""The most entries of a map that is on one line."""


def write(draft: DocumentDraft, name: str, *, header: str) -> str:
    """Return the Layer called ``name``, with ``header`` as the comment at its top."""
    lines = [*_comment(header, ""), "ordain: v1", "kind: Layer", f"name: {_scalar(name, flow=False, typed=False)}"]
    for section, shape in SECTIONS.items():
        entries = draft.entries(section)
        if not entries:
            continue
        lines += ["", f"{section}:"]
        for entry, value in _ordered(dict(entries), shape).items():
            lines += _comment(draft.comments.get((section, entry), ""), "  ")
            lines += _pair(entry, value, "  ", isinstance(shape, FreeForm))
    return "\n".join(lines) + "\n"


def write_keys(head: dict[str, Plain], keys: dict[str, Plain], shape: Record, *, header: str) -> str:
    """Return a document with the keys of ``shape`` directly below those of ``head``, and ``header`` as a comment."""
    lines = list(_comment(header, "")) if header else []
    for key, value in head.items():
        lines += _pair(key, value, "", typed=False)
    for key, value in _ordered(keys, shape).items():
        lines += _pair(key, value, "", isinstance(shape.keys.get(key), FreeForm))
    return "\n".join(lines) + "\n"


def _ordered(value: dict[str, Plain], shape: Shape | None) -> dict[str, Plain]:
    """Return ``value``, with all maps in it in the order of the language."""
    rank = {key: at for at, key in enumerate(shape.keys)} if isinstance(shape, Record) else {}
    ordered: dict[str, Plain] = {}
    for key in sorted(value, key=lambda key: rank.get(key, len(rank))):
        inner = value[key]
        ordered[key] = _ordered(inner, _below(shape, key)) if isinstance(inner, dict) else inner
    return ordered


def _below(shape: Shape | None, key: str) -> Shape | None:
    if isinstance(shape, Record):
        return shape.keys.get(key)
    if isinstance(shape, Map):
        return shape.below(key)
    return shape.of if isinstance(shape, Set) else None


def _pair(key: str, value: Plain, indent: str, typed: bool) -> Iterator[str]:
    """Yield ``key: value`` in block style. ``typed``: a string that looks like a number needs quotes."""
    head = f"{indent}{_scalar(key, flow=False, typed=False)}:"
    if len(head) > MAX_KEY:
        yield f"{indent}? {_scalar(key, flow=False, typed=False)}"
        head = f"{indent}:"
    flow = _flow(value, typed)
    if flow and (not value or len(head) + 1 + len(flow) <= WIDTH):
        yield f"{head} {flow}"
    elif isinstance(value, dict):
        yield head
        for name, inner in value.items():
            yield from _pair(name, inner, f"{indent}  ", typed)
    elif isinstance(value, list):
        yield head
        for item in value:
            yield from _item(item, f"{indent}  ", typed)
    elif isinstance(value, str) and _literal(value):
        chomp = "" if value.endswith("\n") else "-"
        yield f"{head} |{chomp}"
        yield from (f"{indent}  {line}" if line else "" for line in value.removesuffix("\n").split("\n"))
    else:
        yield f"{head} {_scalar(value, flow=False, typed=typed)}"


def _item(value: Plain, indent: str, typed: bool) -> Iterator[str]:
    if isinstance(value, str) and _literal(value):
        yield f"{indent}- |{'' if value.endswith(_END) else '-'}"
        yield from (f"{indent}  {line}" if line else "" for line in value.removesuffix(_END).split(_END))
    elif isinstance(value, dict) and value and len(_flow(value, typed) or " " * WIDTH) >= WIDTH:
        lines = [line for name, inner in value.items() for line in _pair(name, inner, f"{indent}  ", typed)]
        yield f"{indent}- {lines[0][len(indent) + 2 :]}"
        yield from lines[1:]
    else:
        flow = isinstance(value, (dict, list))
        yield f"{indent}- {_inline(value, typed) if flow else _scalar(value, flow=False, typed=typed)}"


def _flow(value: Plain, typed: bool) -> str:
    """Return ``value`` on one line, ``""`` if that would be hard to read."""
    if isinstance(value, dict):
        if len(value) > FLOW_ENTRIES or any((isinstance(v, dict) and v) or _long(v) for v in value.values()):
            return ""
        return "{" + ", ".join(f"{_key(k)}: {_inline(v, typed)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        if any(isinstance(v, dict) or _long(v) for v in value):
            return ""
        return _inline(value, typed)
    return "" if _long(value) else _scalar(value, flow=False, typed=typed)


def _long(value: Plain) -> bool:
    return isinstance(value, str) and "\n" in value


def _inline(value: Plain, typed: bool) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_inline(item, typed) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)}: {_inline(v, typed)}" for k, v in value.items()) + "}"
    return _scalar(value, flow=True, typed=typed)


def _key(text: str) -> str:
    written = _scalar(text, flow=True, typed=False)
    return f"? {written} " if len(written) > MAX_KEY else written


def _scalar(value: Plain, *, flow: bool, typed: bool) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float, Number)):
        return str(value)
    assert isinstance(value, str)
    if not (typed and isinstance(scalar(value), Number)) and _reads_back(value, value, flow):
        return value
    single = "'" + value.replace("'", "''") + "'"
    if value.isprintable() and _reads_back(single, value, flow):
        double = json.dumps(value, ensure_ascii=False)
        return double if "\\" not in double else single
    return _escaped(value)


def _escaped(value: str) -> str:
    """Return ``value`` in double quotes, with escapes for the characters that YAML allows only so."""
    quoted = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[^ -~]", lambda m: m[0] if m[0].isprintable() else _escape(ord(m[0])), quoted)


def _escape(code: int) -> str:
    if code < 256:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


@lru_cache(maxsize=4096)
def _reads_back(written: str, meant: str, flow: bool) -> bool:
    """Return whether our reader reads ``written`` as the string ``meant``, both as a value and as a key."""
    if "\n" in written or not written:
        return False
    key = written if len(written) < MAX_KEY else "key"
    text = f"{{{key}: [{written}, {written}]}}" if flow else f"{key}: {written}"
    try:
        (node,) = yaml_reader.read("", text)
    except (Unreadable, ValueError):
        return False
    return node.plain() == {key if key == "key" else meant: [meant, meant] if flow else meant}


def _literal(text: str) -> bool:
    """Return whether a literal block keeps every byte of ``text``."""
    body = text.removesuffix("\n")
    return (
        "\n" in text
        and body.strip() != ""
        and not body.endswith("\n")
        and not body.startswith((" ", "\n", "\t"))
        and all(line.isprintable() for line in body.replace("\t", "").split("\n"))
    )


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in text.split("\n") if text else ():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
        yield f"{indent}# {shown}"
