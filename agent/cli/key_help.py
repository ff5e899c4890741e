"""`ordainctl help KEY`: a key of the documents or of agent.yaml, from the schema: meaning, value, the keys below.

A key is named by its place, with dots or slashes: ``services.limits.memory``, ``services/web/limits``. The name of a
service, file, … may be left out, and so may the beginning of a place that is unique.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from ordain.agent.cli.help_text import aligned, columns
from ordain.transforms.document.keys.schema import schema
from ordain.transforms.errors import did_you_mean
from ordain.transforms.model import Kind

Schema = Mapping[str, Any]
ROOTS = {"document": Kind.LAYER, "node": Kind.NODE, "transform": Kind.TRANSFORM}
"""The words for a whole kind of document."""
AGENT = "agent"
MAX_FOUND = 12


def key_help(word: str) -> str:
    """Return the help of the key that ``word`` names; of several keys with one name, a list. "" if there is none."""
    if word.lower() in ROOTS:
        return _described(word.lower(), schema(ROOTS[word.lower()]))
    if word == AGENT or word.startswith((f"{AGENT}.", f"{AGENT}/")):
        from ordain.transforms.document.keys import agent_keys

        agent = agent_keys.schema()
        places = list(_at(re.split(r"[./]", word)[1:], agent, AGENT))
        return _described(*places[0]) if places else ""
    parts = [part for part in re.split(r"[./]", word) if part]
    root = schema(Kind.LAYER)
    places = list(_at(parts, root, "")) or list(_at(parts, schema(Kind.NODE), ""))
    if not places:
        named = [(at, below) for at, below in _all(root, "") if _ends_with(at, parts) and "/instances/" not in at]
        places = sorted(named, key=lambda pair: pair[0].count("/"))
    if len(places) > 1:
        rows = [(pointer.replace("/", "."), _first_sentence(shape)) for pointer, shape in places[:MAX_FOUND]]
        width = max(len(name) for name, _ in rows)
        head = f"{word} is a key in several places; `ordainctl help PLACE` explains one:"
        return "\n".join([head, "", *aligned(rows, width)]) + "\n"
    return _described(*places[0]) if places else ""


def near_keys(word: str) -> str:
    """Return a hint with keys whose name looks like ``word``, "" if there is none."""
    last = re.split(r"[./]", word)[-1]
    return did_you_mean(last, {pointer.rpartition("/")[2] for pointer, _ in _all(schema(Kind.LAYER), "")})


def _at(parts: list[str], shape: Schema, pointer: str) -> Iterator[tuple[str, Schema]]:
    """Yield the key at ``parts`` below ``shape``: words of the language, and names that users choose or leave out."""
    if not parts:
        yield pointer, shape
        return
    first, *rest = parts
    keys = shape.get("properties", {})
    if first in keys:
        yield from _at(rest, keys[first], f"{pointer}/{first}".lstrip("/"))
        return
    inner = shape.get("additionalProperties")
    if isinstance(inner, Mapping) and "properties" in inner:
        without_name = list(_at(parts, inner, f"{pointer}/NAME")) if first in inner["properties"] else []
        yield from without_name or _at(rest, inner, f"{pointer}/NAME")


def _all(shape: Schema, pointer: str) -> Iterator[tuple[str, Schema]]:
    """Yield every key of the language with its place."""
    for name, below in shape.get("properties", {}).items():
        at = f"{pointer}/{name}".lstrip("/")
        yield at, below
        yield from _all(below, at)
    inner = shape.get("additionalProperties")
    if isinstance(inner, Mapping):
        yield from _all(inner, f"{pointer}/NAME")


def _ends_with(pointer: str, parts: list[str]) -> bool:
    names = [part for part in pointer.split("/") if part != "NAME"]
    return names[-len(parts) :] == parts


def _described(pointer: str, shape: Schema) -> str:
    lines = [pointer.replace("/", "."), ""]
    if about := str(shape.get("description", "")):
        lines += [*textwrap.wrap(about, columns(), break_long_words=False), ""]
    if title := shape.get("title"):
        lines += textwrap.wrap(f"value: {title}", columns(), subsequent_indent="       ")
    lines += [f"example: {example}" for example in shape.get("examples", ())]
    if shape.get("x-merge") == "set":
        lines.append("merge: layers add names to it; NAME: null removes one")
    elif shape.get("x-merge") == "sequence":
        lines.append("merge: a higher layer replaces it as a whole")
    keys = dict(shape.get("properties", {}))
    inner = shape.get("additionalProperties")
    head = "keys:"
    if not keys and isinstance(inner, Mapping) and shape.get("x-merge") != "set":
        keys, head = dict(inner.get("properties", {})), "keys below each name:"
    if keys and not set(keys) <= {"template", "not"}:
        rows = [(name, _first_sentence(below)) for name, below in keys.items()]
        lines += ["", head, *aligned(rows, max(len(name) for name, _ in rows))]
    return "\n".join(lines).rstrip() + "\n"


def _first_sentence(shape: Schema) -> str:
    return str(shape.get("description", "") or shape.get("title", "")).partition(". ")[0].rstrip(".") + "."
