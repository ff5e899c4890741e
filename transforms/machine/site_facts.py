"""Reads the text of an entry of facts.d: YAML, JSON, or lines NAME=VALUE.

rack: r12          facts.NAME-rack     a map gives a fact for each of its keys
r12                facts.NAME          one text, number or list is the fact of the entry itself
"""

from __future__ import annotations

from collections.abc import Mapping

from ordain.transforms.document.formats.fact_table import MAX_TEXT, SITE, SITE_NAME
from ordain.transforms.document.text import json_reader, yaml_reader
from ordain.transforms.document.text.node import Node, Unreadable
from ordain.transforms.lazy_patterns import lazy_pattern

MAX_FACTS = 256
MAX_LISTED = 1000
_ASSIGNMENT = lazy_pattern(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}=.*")


def read_site_facts(name: str, data: bytes, path: str) -> dict[str, tuple[str, ...]]:
    """Return the facts in the text of the entry ``name``, by their names in `match`.

    The suffix of ``path`` tells JSON from YAML. Raises ValueError with the fault.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 at byte {error.start}") from None
    facts: dict[str, tuple[str, ...]] = {}
    for key, values in _entries(text, path).items():
        fact = f"{SITE}{name}-{key}" if key else f"{SITE}{name}"
        if key and not SITE_NAME.fullmatch(key):
            raise ValueError(f"{key[:40]!r} is not a name of letters, digits, - and _")
        if len(values) > MAX_LISTED or any(len(v) > MAX_TEXT or not v.isprintable() for v in values):
            what = f"more than {MAX_LISTED:,} values, or one that is too long or not printable"
            raise ValueError(f"{key or name}: {what}")
        facts[fact.replace("_", "-")] = values
    if len(facts) > MAX_FACTS:
        raise ValueError(f"it has {len(facts):,} facts; at most {MAX_FACTS} are possible")
    return facts


def facts_or_fault(name: str, data: bytes, path: str) -> tuple[dict[str, tuple[str, ...]], str]:
    """Return the facts of `read_site_facts`, and the fault if there is one: the worker returns values only."""
    try:
        return read_site_facts(name, data, path), ""
    except ValueError as error:
        return {}, str(error)


def _entries(text: str, path: str) -> Mapping[str, tuple[str, ...]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if lines and all(map(_ASSIGNMENT.fullmatch, lines)):
        return {key: (value.strip(),) for key, _, value in (line.partition("=") for line in lines)}
    try:
        nodes = [json_reader.read(path, text)] if path.endswith(".json") else list(yaml_reader.read(path, text))
    except Unreadable as error:
        raise ValueError(f"line {error.problem.where.line}: {error.problem.what}") from None
    if len(nodes) != 1:
        raise ValueError("it holds no value" if not nodes else "it holds more than one document")
    value = nodes[0].value
    if isinstance(value, Mapping):
        return {key: _values(child, key) for key, child in value.items()}
    return {"": _values(nodes[0], "")}


def _values(node: Node, key: str) -> tuple[str, ...]:
    items = node.value if isinstance(node.value, tuple) else (node,)
    values = []
    for item in items:
        if isinstance(item.value, (Mapping, tuple)):
            raise ValueError(f"{key or 'the value'}: write a text, a number, true or false, or a list of these")
        if item.value is not None:
            values.append(str(item.value).lower() if isinstance(item.value, bool) else str(item.value))
    return tuple(dict.fromkeys(values))
