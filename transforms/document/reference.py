"""The reference of the document language as Markdown, made from its JSON Schema.

`python3 -m ordain.transforms.document.reference` prints docs/reference/documents.md; a test compares the two.
`ordain.transforms.section_pages` writes the page of each section.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from textwrap import indent

from ordain.transforms.document.formats.fact_table import FACT_TABLE
from ordain.transforms.document.key_tables import KeyRow, key_rows, key_tables
from ordain.transforms.document.keys import expectation_keys
from ordain.transforms.document.keys.schema import schema
from ordain.transforms.document.keys.shapes import Schema
from ordain.transforms.document.reader import HEADER
from ordain.transforms.model import Kind

EXAMPLE = """\
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
"""
RULES = {
    "Reading": """\
A document is YAML (1.2, core schema) or JSON in UTF-8, at most 4 MiB. A file may contain several documents: in YAML
with `---` between them, in JSON as an array.

Only `true`, `false`, `null`, decimal and 0x/0o numbers are not strings: `yes`, `0644`, `12:30` and dates are
strings. Duplicate keys, tags and merge keys are errors; anchors work. `ordainctl validate` prints every problem
with its place and a hint. An error in a document refuses all documents. A problem of this machine with one item
blocks only that item, which keeps its last valid form.""",
    "Matching": """\
A layer matches a machine if every entry of `match` holds. A value is a scalar, a list (any of them), or `{not: …}`,
which also holds for a label that is not set; `null` means "not set". `id`, `os`, `version`, `systemd`, `arch`,
`virtualization`, `hostname`, `machine-id`, `mac`, `root`, and of the hardware `system-firmware`, `system-uuid`,
`system-serial-number`, `system-manufacturer` and `system-product-name` are facts (`ordainctl facts` prints them);
every other name is a label, or one of the further facts below. `id` is the ID of os-release, and `os` is that ID or
any of ID_LIKE. `version` and `systemd` accept ranges such as `">=9 <10"`, `hostname` accepts globs.

The further facts are about hardware, network and packages, and the facts of the site (`/etc/ordain/facts.d`) are
`facts.NAME`. They are read
only if a document uses them, and a template has them as `facts.NAME`, with `_` for `-`: a number, a text, or a list. A
label of the same name overrides the fact.""",
    "Merging": """\
All layers that match are merged into one document, lowest first: by tier (default, os, role, site, pool, node),
then by weight, then by closeness of the OS match. If two layers are still equal and set one value differently, that
is a conflict, and the documents are refused.

Maps are merged key by key. A **set** is a map `NAME: true`; a list, or a single name, is its short form. Layers add
to a set, and `NAME: null` removes a member. A **sequence** is replaced as a whole. Setting one of a group of keys
that exclude each other removes the others. `null` removes a value that lower layers set; to forbid something, use
`state`.""",
    "Values": """\
A string is used byte for byte: no shell, no specifiers, no expansion. Instead of a string, but not instead of a
whole command, `{template: TEXT}` may be used: jinja2 with `facts`, `labels`, `values`, `instance`,
`credential('NAME')`, `path('NAME')` and `service('NAME').log`, or another key of a service in Transforms; a name that
is not defined is an error. Time spans, sizes and calendar times are those of systemd (systemd.time(7)). A command is a
string, which is split as a shell splits it, but without expansion; or a list of words; or, for several commands in
order, a list of such lists.""",
}
"""The rules of the language in Markdown, by title."""
_HEAD = """\
<!-- Made by `python3 -m ordain.transforms.document.reference`: do not edit. -->
# The document language
"""
_TABLES = "In the tables, a word in capitals is a name that you choose.\n"
KINDS: Mapping[str, str] = {
    Kind.LAYER: "A `Layer` configures every machine that its `match` holds for.",
    Kind.NODE: """\
A `Node` describes one machine. Its `match` is on `machine-id`, `mac` or `hostname`; without `match`, the hostname
is its name. It has the sections of a Layer, at tier node. Nodes are resolved before layers, because their labels
are what layers match on.""",
    Kind.TRANSFORM: """\
A `Transform` defines the meaning of neutral names on an operating system. Transforms are merged as layers are.""",
    Kind.RELEASE: """\
A `Release` is a signed list of documents, made by `ordainctl release`. A machine applies all of them or none. See
[Signed releases](../howto/signed-releases.md).""",
    Kind.RUN: """\
A `Run` describes a job for a batch system, and `ordainctl run` renders it as the script that this system takes. A
`Run` with `match` is a layer: it has defaults for every run that matches. The agent of a machine ignores Runs. See
[Runs](../howto/runs.md), and the [systems](runs.md).""",
    expectation_keys.KIND: """\
A `Test` says what machines must get from the documents in the folder above; `ordainctl test` compares. No machine reads
it. See [Test documents](../howto/test-documents.md).""",
}
"""By kind of document, a sentence about it in Markdown."""


def markdown() -> str:
    """Return the page docs/reference/documents.md: the rules, and the keys of each kind of document."""
    lines = [_HEAD, indent(EXAMPLE, "    ")]
    lines += [f"## {title}\n\n{text}\n" for title, text in RULES.items()]
    lines += ["## Facts\n", *_fact_table(), _TABLES]
    for kind, about in KINDS.items():
        lines.append(f"## {kind}\n\n{about}\n")
        keys = keys_of(kind)
        page = "transforms" if kind is Kind.TRANSFORM else ""
        lines += _table(key_rows("", keys), pages=kind in PAGED, page=page)
        if kind not in PAGED:
            for name, shape in keys.items():
                lines += _tables(name, shape, level="###")
    return "\n".join(lines).rstrip("\n") + "\n"


def _fact_table() -> Iterator[str]:
    """Yield a row for each further fact."""
    yield "The further facts, each with an example of a value in `match`:\n"
    yield "| fact | value | meaning | known |\n|---|---|---|---|"
    for name, row in FACT_TABLE.items():
        value = f"{'several: ' if row.many else ''}{row.kind}"
        meaning = f"{row.about} Example: `{name}: {json.dumps(row.example)}`"
        yield f"| `{name}` | {_cell(value)} | {_cell(meaning)} | {row.known} |"
    yield ""


def keys_of(kind: str) -> Mapping[str, Schema]:
    """Return the keys of a kind of document; for a Node, only those that a Layer does not have, and the name."""
    whole = expectation_keys.schema() if kind == expectation_keys.KIND else schema(Kind(kind))
    keys: Mapping[str, Schema] = whole["properties"]
    if kind is Kind.NODE:
        layer = schema(Kind.LAYER)["properties"]
        return {name: shape for name, shape in keys.items() if name not in layer or name == "name"}
    return keys


def section_tables(section: str, shape: Schema) -> Iterator[str]:
    """Yield the tables of one section, for a page of its own, whose title is one level above them."""
    yield from _tables(section, shape, level="##")


PAGED = frozenset((Kind.LAYER, Kind.TRANSFORM))
"""The kinds whose sections have a page each, in docs/reference/sections/; those of Transforms share one."""


def _tables(pointer: str, shape: Schema, *, level: str) -> Iterator[str]:
    for table in key_tables(pointer, shape):
        yield f"{level} {table.pointer}\n"
        if table.shared_keys:
            names = ", ".join(f"`{key}`" for key in table.shared_keys)
            yield f"{names}: as in [{table.shared_with}](#{_anchor(table.shared_with)}).\n"
        if table.rows:
            yield from _table(table.rows)
        for group in table.one_of:
            yield f"At most one of {', '.join(f'`{key}`' for key in group)}.\n"


def _table(rows: Iterable[KeyRow], *, pages: bool = False, page: str = "") -> Iterator[str]:
    """Yield a row for each key. ``pages``: the keys below a section are on its page, or all on ``page``."""
    yield "| key | value | meaning |\n|---|---|---|"
    for row in rows:
        meaning = " ".join([row.meaning, *(f"Example: `{example}`" for example in row.examples)])
        value = row.value
        if pages and row.name not in HEADER:
            value = f"[{value}](sections/{page or row.name}.md)"
        elif row.below:
            value = f"[{value}](#{_anchor(row.below)})"
        yield f"| `{row.name}` | {_cell(value)} | {_cell(meaning.strip())} |"
    yield ""


def _anchor(heading: str) -> str:
    """Return the anchor that Markdown renderers give a heading.

    >>> _anchor("services/NAME/on-failure")
    'servicesnameon-failure'
    """
    return "".join(c for c in heading.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(markdown())
