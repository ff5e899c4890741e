"""The reference of the document language as Markdown, made from its JSON Schema.

`python3 -m ordain.transforms.document.reference` prints docs/reference/documents.md; a test compares the two.
`ordain.transforms.section_pages` writes the page of each section.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

from ordain.transforms.document.reader import HEADER
from ordain.transforms.document.schema import schema
from ordain.transforms.document.shapes import Schema
from ordain.transforms.model import Kind

_HEAD = """\
<!-- Made by `python3 -m ordain.transforms.document.reference`: do not edit. -->
# The document language

A document is YAML (1.2, core schema) or JSON; a file may hold several, with `---` between them or as a JSON array.

    ordain: v1
    kind: Layer
    name: web
    tier: role
    match: {role: web, os: [debian, fedora]}
    services:
      web:
        command: [/usr/bin/python3, -m, http.server, "8080"]
        dynamic-user: true
        limits: {memory: 256M}

**Reading.** Only `true`, `false`, `null`, decimal and 0x/0o numbers are not strings: `yes`, `0644`, `12:30`
and a date are strings. Duplicate keys, tags and merge keys are errors; anchors work. `ordainctl validate`
prints every problem with its place and a hint. A problem of a document refuses the whole set; a problem of
this machine with one item blocks that item, which keeps its last good form.

**Matching.** A layer applies when every entry of `match` holds. A value is a scalar, a list (any of them), or
`{not: …}`; `null` means "not set". `id`, `os`, `version`, `systemd`, `arch`, `virtualization`, `hostname`,
`machine-id`, `mac` and `root` are facts (`ordainctl facts`); every other name is a label. `version` and
`systemd` take ranges such as `">=9 <10"`, `hostname` takes globs, `os` is the ID or any ID_LIKE of
os-release.

**Merging.** All layers that match are folded into one document, lowest first: by tier (default, os, role,
site, pool, node), then weight, then closeness of the OS match. What is still equal and differs is a conflict,
and refused. Maps merge key by key. A **set** is a map `NAME: true`; a list is its shorthand; layers add to
it, and `NAME: null` takes one out. A **sequence** is replaced as a whole. Setting one of a group of keys that
exclude each other takes the others away. `null` takes back what lower layers said; to forbid a thing, say
`state`.

**Values.** A string is used byte for byte: no shell, no specifiers, no expansion. Where a string may stand,
`{template: TEXT}` may stand: jinja2 over `facts`, `labels`, `values`, `instance`, `credential('NAME')` and
`path('NAME')`; a name that is not set is an error. Time spans, sizes and calendars are systemd's
(systemd.time(7)). A command is a string, which is split as a shell would split it, without expansion; or a
list of words; or, for several in order, a list of such lists.

In the tables, a capital word stands for a name of yours.
"""

_KINDS = {
    Kind.LAYER: "A `Layer` configures every machine that its `match` holds for.",
    Kind.NODE: (
        "A `Node` is one machine: `match` on `machine-id`, `mac` or `hostname`, which is its name where `match` is\n"
        "absent. It has the sections of a Layer, at tier node, and is resolved first: its labels are what Layers\n"
        "match on."
    ),
    Kind.TRANSFORM: "A `Transform` says what neutral names mean on an operating system. It merges as layers do.",
    Kind.RELEASE: (
        "A `Release` is a signed list of documents, made by `ordainctl release`: machines take all of them or none.\n"
        "See [Signed releases](../howto/signed-releases.md)."
    ),
}


def markdown() -> str:
    """The index: what heads the documents of each kind, with a link to the page of each section."""
    lines = [_HEAD]
    layer = schema(Kind.LAYER)["properties"]
    for kind, about in _KINDS.items():
        lines.append(f"## {kind}\n\n{about}\n")
        keys = schema(kind)["properties"]
        if kind is Kind.NODE:
            keys = {name: shape for name, shape in keys.items() if name not in layer or name == "name"}
        lines += _table(f"{kind} " if kind is Kind.TRANSFORM else "", keys, pages=kind in PAGED)
        if kind not in PAGED:
            printed: _Printed = []
            for name, shape in keys.items():
                lines += _deeper(name, shape, printed)
    return "\n".join(lines).rstrip("\n") + "\n"


def printed_keys(section: str, shape: Schema) -> Iterator[str]:
    """Yield the tables of one section, for a page of its own, whose title is one level above them."""
    for text in _deeper(section, shape, []):
        yield text.replace("### ", "## ", 1) if text.startswith("### ") else text


PAGED = frozenset((Kind.LAYER, Kind.TRANSFORM))
"""The kinds whose sections have a page each, in docs/reference/sections/; those of Transforms share one."""
_Printed = list[tuple[str, Mapping[str, Schema]]]
"""The records that have a table: pointer and keys."""
SHARED = 8
"""A record with so many keys of an earlier one points there instead of printing them again."""


def _deeper(pointer: str, shape: Schema, printed: _Printed) -> Iterator[str]:
    """The tables of what stands below ``pointer``."""
    pointer, keys = _record(pointer, shape)
    if keys:
        yield f"### {pointer}\n"
        other, shared = _shared(keys, printed)
        if shared:
            yield f"{', '.join(f'`{key}`' for key in shared)}: as in [{other}](#{_anchor(other)}).\n"
        keys = {name: below for name, below in keys.items() if name not in shared}
        printed.append((pointer, keys))
        if keys:
            yield from _table(f"{pointer}/", keys)
        for group in shape.get("x-one-of", ()):
            yield f"At most one of {', '.join(f'`{key}`' for key in group)}.\n"
        for name, below in keys.items():
            yield from _deeper(f"{pointer}/{name}", below, printed)


def _shared(keys: Mapping[str, Schema], printed: _Printed) -> tuple[str, tuple[str, ...]]:
    """The earlier record that shares the most keys with this one, and those keys."""
    common = [(other, tuple(k for k in keys if earlier.get(k) == keys[k])) for other, earlier in printed]
    best = max(common, key=lambda item: len(item[1]), default=("", ()))
    return best if len(best[1]) >= SHARED else ("", ())


def _record(pointer: str, shape: Schema) -> tuple[str, Mapping[str, Schema]]:
    """The known keys at ``pointer``, or below it in a map of yours. A set's have no table of their own."""
    inner = shape.get("additionalProperties")
    if isinstance(inner, Mapping) and shape.get("x-merge") != "set":
        return _record(f"{pointer}/NAME", dict(inner))
    if isinstance(rows := shape.get("items"), Mapping) and rows.get("additionalProperties") is False:
        return _record(f"{pointer}/N", dict(rows))
    keys: Mapping[str, Schema] = shape.get("properties", {})
    # {template: TEXT} may stand for any string, {not: …} for any condition: the text above says so once.
    return pointer, {} if set(keys) <= {"template", "not"} else keys


def _table(prefix: str, rows: Mapping[str, Schema], *, pages: bool = False) -> Iterator[str]:
    """A row for each key; ``prefix`` and the key are the pointer. ``pages``: what is below stands on pages."""
    yield "| key | value | meaning |\n|---|---|---|"
    for name, shape in rows.items():
        about = shape.get("description", "")
        for example in shape.get("examples", ()):
            about += f" Example: `{example}`"
        below, keys = _record(f"{prefix}{name}", shape)
        value = _value(shape)
        if pages and name not in HEADER:
            page = "transforms" if prefix == f"{Kind.TRANSFORM} " else name
            value = f"[{value}](sections/{page}.md)"
        elif keys:
            value = f"[{value}](#{_anchor(below)})"
        yield f"| `{name}` | {_cell(value)} | {_cell(about.strip())} |"
    yield ""


def _value(shape: Schema) -> str:
    if shape.get("x-merge") == "set":
        return f"set: {shape['propertyNames']['title']}"
    if shape.get("format") == "command":
        return "a command"
    title: str = shape.get("title", "")
    return title


def _anchor(heading: str) -> str:
    """The anchor that Markdown renderers give a heading.

    >>> _anchor("services/NAME/on-failure")
    'servicesnameon-failure'
    """
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(markdown())
