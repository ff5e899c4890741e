"""The reference of agent.yaml as Markdown, made from the table of keys.

`make pages` writes it to docs/reference/agent-yaml.md; a test compares the two. The manual page comes from the same
table, see `agent_yaml_page`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from textwrap import indent

from ordain.agent.cli.machine.default_agent_yaml import DEFAULTS
from ordain.transforms.document.keys.agent_keys import NETWORK, SERVER_KEYS, SETTINGS, SOURCE
from ordain.transforms.document.keys.shapes import Choice, Shape

_HEAD = f"""\
<!-- Made by `python3 -m ordain.agent.cli.manual.agent_yaml_reference`: do not edit. -->
# agent.yaml

`/etc/ordain/agent.yaml` has the settings of one machine: the source of its documents, the documents that it accepts,
and its labels. Without the file, the defaults apply:

{indent(DEFAULTS, "    ")}
Changes take effect immediately. A file with an error is ignored as a whole: the previous settings stay in force, and
the machine is `degraded` by a condition [Settings] that names the line. The same holds if the file is deleted or
emptied; `systemctl restart ordain-agent` returns to the defaults then.

`ordainctl validate /etc/ordain/agent.yaml` and `ordainctl doctor` check the file, `ordainctl schema agent` prints its
JSON Schema. [ordain-agent.yaml(5)](../man/ordain-agent.yaml.5.rst) describes the start of an agent with a wrong file.
There is [an example with every source](../../examples/machine/agent.yaml).

See also [sources](../explanation/sources.md), [trust](../explanation/sources.md#trust) and
[network changes](../howto/network-changes.md).
"""


def markdown() -> str:
    """Return the whole page."""
    lines = [_HEAD, *_table(SETTINGS.keys), "## source\n"]
    lines += _table({SOURCE.tag: Choice(tuple(SOURCE.cases), SOURCE.about_tag)})
    for type, case in SOURCE.cases.items():
        own = {name: shape for name, shape in case.keys.items() if name not in SERVER_KEYS}
        lines += [f"### {type}\n", f"{case.about}\n", *_table(own, required=SOURCE.required.get(type, ()))]
    lines += ["### all servers\n", *_table(SERVER_KEYS), "## network\n", *_table(NETWORK.keys)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _table(keys: Mapping[str, Shape], required: Iterable[str] = ()) -> Iterator[str]:
    yield "| key | value | meaning |\n|---|---|---|"
    for name, shape in keys.items():
        schema = shape.schema()
        meaning = " ".join(
            [schema["description"], *(f"Example: `{example}`" for example in schema.get("examples", ()))]
        )
        value = f"[{schema['title']}](#{name})" if name in ("source", "network") else schema["title"]
        yield f"| `{name}` | {value}{' (required)' if name in required else ''} | {meaning} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(markdown())
