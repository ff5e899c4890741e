"""The manual page ordain-agent.yaml(5), made from the table of keys by `make pages`.

Its output is docs/man/ordain-agent.yaml.5.rst; a test compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from textwrap import fill, indent

from ordain.agent.cli.machine.default_agent_yaml import DEFAULTS
from ordain.agent.cli.manual.ordainctl_page import from_markdown
from ordain.agent.cli.parse import VERSION
from ordain.transforms.document.keys.agent_keys import SERVER_KEYS, SETTINGS, SOURCE
from ordain.transforms.document.keys.shapes import Choice, Record, Schema, Shape

INDENT = "    "
EXAMPLES = (
    """\
source:
  type: http
  url: "https://boot.example:8443/{machine-id}.yaml"
  ca: /etc/ordain/tls/ca.pem
  cert: /etc/ordain/tls/node.pem
  key: node-key                       # /etc/credstore/node-key
labels: {role: web, rack: r12}
""",
    """\
source:
  type: etcd
  endpoints: ["https://a:2379", "https://b:2379", "https://c:2379"]
  user: node
  credential: etcd-password           # /etc/credstore.encrypted/etcd-password
trust: required
windows: ["Sat,Sun 02:00-05:00"]
""",
    """\
source: {type: couchdb, url: "https://db:6984", user: node, credential: couchdb-password}
trust: open
network: {reach: [source, "db:6984"], within: 1min}
""",
)
_HEAD = f"""\
.. Made by `python3 -m ordain.agent.cli.manual.agent_yaml_page`: do not edit.

=================
ordain-agent.yaml
=================

------------------------------------
settings of the agent on one machine
------------------------------------

:Manual section: 5
:Manual group: Ordain {VERSION}

.. raw:: manpage

   .nh

SYNOPSIS
========

*/etc/ordain/agent.yaml*

DESCRIPTION
===========

A YAML file with the settings of **ordain-agent**\\(8). All keys are optional. Without the file, these are the values::

{indent(DEFAULTS, INDENT)}
**ordainctl validate /etc/ordain/agent.yaml** checks the file, and **ordainctl schema agent** prints its JSON Schema.

The agent watches the file. A change takes effect immediately, and also when the agent is reloaded. It interrupts no
service and no running apply. A change of *source* to a place without documents removes nothing.

If the new text has an error, the agent ignores all of it: the previous settings stay in force, and a condition
[Settings] names the line. If the file is deleted or emptied, the previous settings stay in force as well;
**systemctl restart ordain-agent** returns to the defaults. The settings in force are in */run/ordain/agent.yaml* while
the agent runs; if other users may not read the file, they may not read these either.

If the agent starts with a file that has an error, each wrong key has its default, with two exceptions: *trust* is
*required*, and where *source* or *labels* is wrong, no documents are fetched. In a file that is not YAML, every key
counts as wrong.
"""
_TAIL = """\
SEE ALSO
========

**ordain-agent**\\(8), **ordain-source**\\(8), **ordainctl**\\(1), **ordain**\\(7), **systemd.time**\\(7)
"""


def page() -> str:
    """Return the whole page."""
    lines = [_HEAD, *_section("KEYS")]
    for name, shape in SETTINGS.keys.items():
        lines += _key(name, shape)
        if shape is SOURCE:
            lines += [indent(line, INDENT) for line in _key(SOURCE.tag, Choice(tuple(SOURCE.cases), SOURCE.about_tag))]
        if isinstance(shape, Record):
            lines += (indent(line, INDENT) for below, inner in shape.keys.items() for line in _key(below, inner))
    for type, case in SOURCE.cases.items():
        own = {name: shape for name, shape in case.keys.items() if name not in SERVER_KEYS}
        also = " It has the keys of all servers as well." if SERVER_KEYS.keys() <= case.keys.keys() else ""
        lines += [*_section(f"KEYS OF SOURCE: TYPE {type.upper()}"), f"{from_markdown(case.about)}{also}\n"]
        for name, shape in own.items():
            lines += _key(name, shape, required=name in SOURCE.required.get(type, ()))
    lines += _section("KEYS OF SOURCE: ALL SERVERS")
    for name, text in SERVER_KEYS.items():
        lines += _key(name, text)
    lines += _section("EXAMPLES")
    lines += (f"::\n\n{indent(example, INDENT)}" for example in EXAMPLES)
    return "\n".join([*lines, _TAIL])


def _section(title: str) -> Iterator[str]:
    yield f"{title}\n{'=' * len(title)}\n"


def _key(name: str, shape: Shape, *, required: bool = False) -> Iterator[str]:
    """Yield the entry of one key: its value, its meaning and an example."""
    schema: Schema = shape.schema()
    yield f"**{name}**: {from_markdown(schema['title'])}" + (" (required)" if required else "")
    yield fill(from_markdown(schema["description"]), 116, initial_indent=INDENT, subsequent_indent=INDENT) + "\n"
    for example in schema.get("examples", ()):
        yield f"{INDENT}Example: ``{name}: {example}``\n"


if __name__ == "__main__":
    sys.stdout.write(page())
