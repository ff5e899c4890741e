"""Makes one page of Markdown for each section: its keys, and an example with its files on three systems, side by side.

`python3 -m ordain.transforms.section_pages docs/reference/sections` writes them; a test compares them with the schema
and the database.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ordain.transforms.artifact_text import as_text
from ordain.transforms.catalog.data_tables import read_table
from ordain.transforms.catalog.known_systems import facts_for
from ordain.transforms.catalog.names import Names, names_for, shared_versions
from ordain.transforms.catalog.row_evidence import How, evidence
from ordain.transforms.catalog.setting_systems import systems_without_setting
from ordain.transforms.catalog.shipped import shipped
from ordain.transforms.compile import compile
from ordain.transforms.document.keys.schema import schema
from ordain.transforms.document.reader import read
from ordain.transforms.document.reference import section_tables
from ordain.transforms.errors import Severity
from ordain.transforms.model import Branch, Kind, strings

SYSTEMS = ("debian-13", "rocky-9", "opensuse-leap-16.0")
TABLE = Path(__file__).parent / "data" / "pages.yaml"
HEAD = "ordain: v1\nkind: Layer\nname: example\n"
MARKS = {How.ARCHIVE: "✓", How.PACKAGING: "○", How.DOCUMENTATION: "▪"}
"""The marks of names by the way in which they are known (`row_evidence`)."""
MADE = "<!-- Made by `python3 -m ordain.transforms.section_pages docs/reference/sections`: do not edit. -->"


@cache
def page_texts() -> Mapping[str, Mapping[str, str]]:
    """Return for each section the texts that are not generated: ``about`` and ``example``."""
    rows: dict[str, dict[str, Any]] = read_table(TABLE)
    return rows


def page(section: str) -> str:
    """Return the page of one section, or of ``transforms``."""
    texts = page_texts()[section]
    title = "Transforms" if section == "transforms" else f"Section `{section}`"
    lines = [MADE, f"# {title}\n", texts["about"]]
    if section == "transforms":
        for name, shape in schema(Kind.TRANSFORM)["properties"].items():
            lines += section_tables(name, shape)
    else:
        lines += section_tables(section, schema(Kind.LAYER)["properties"][section])
    if section == "settings":
        lines += _settings()
    lines += ["## Example\n", f"```yaml\n{texts['example']}```\n", *_side_by_side(texts["example"])]
    if section in ("services", "users"):
        lines += _names((section,))
    elif section == "transforms":
        lines += _names(("milestones", "paths"))
    return "\n".join(lines).rstrip("\n") + "\n"


def _side_by_side(example: str) -> Iterator[str]:
    documents, problems = read("example.yaml", f"{HEAD}{example}".encode())
    assert not problems, problems
    cells, messages = [], []
    for system in SYSTEMS:
        compiled = compile(documents, facts_for(system), shipped=shipped())
        # The comments name the document of each line; here there is only one.
        lines = (
            line
            for line in as_text(compiled.artifacts, compiled.packages).split("\n")
            if not line.startswith(("# ", "#\n"))
        )
        cells.append(html.escape("\n".join(lines).strip("\n"), quote=False))
        messages += [f"* {system}: {p.what}" for p in compiled.problems if p.severity is not Severity.WARNING]
    if not any(cells):
        yield "The example places no file.\n"
    elif len(set(cells)) == 1:
        yield f"The same files on {', '.join(SYSTEMS[:-1])} and {SYSTEMS[-1]}:\n\n```\n{html.unescape(cells[0])}\n```\n"
    else:
        yield "<table>\n<tr>" + "".join(f"<th>{system}</th>" for system in SYSTEMS) + "</tr>\n<tr>"
        yield from (f'<td valign="top"><pre>\n{cell}\n</pre></td>' for cell in cells)
        yield "</tr>\n</table>\n"
    if messages:
        yield "\n".join(messages) + "\n"


@cache
def _known(system: str) -> Names:
    transforms = shipped()
    return names_for(transforms, facts_for(system), shared_versions(transforms))[0]


def _names(sections: tuple[str, ...]) -> Iterator[str]:
    """Yield tables of the neutral names on the three systems, with a mark that says how each is known."""
    for section in sections:
        yield f"## Neutral names: {section}\n"
        if section == "services":
            yield f"{', '.join(f'{mark}: {how}' for how, mark in MARKS.items())}; unmarked: from memory.\n"
        yield "| name | " + " | ".join(SYSTEMS) + " |\n|---|" + "---|" * len(SYSTEMS)
        for name in sorted({name for system in SYSTEMS for name in _known(system).tree.branch(section)}):
            yield f"| `{name}` | " + " | ".join(_meaning(system, section, name) for system in SYSTEMS) + " |"
        yield ""


def _settings() -> Iterator[str]:
    """Yield the table of the shipped settings, with the systems that cannot have each."""
    yield "## The settings\n\n| name | value | meaning | not on |\n|---|---|---|---|"
    named = names_for(shipped(), facts_for(SYSTEMS[0]), shared_versions(shipped()))[0]
    for name in sorted(named.settings()):
        row = named.setting(name)
        without = ", ".join(systems_without_setting(name, shipped()))
        yield f"| `{name}` | {_type(row)} | {row.value('about')} | {without} |"
        for key, own in row.branch("keys").branches():
            yield f"| … `{key}` | {_type(own)} | {own.value('about')} | |"
    yield ""


def _type(row: Branch) -> str:
    words = ", ".join(strings(row.value("words", ())))
    return words or str(row.value("type", "text"))


def _meaning(system: str, section: str, name: str) -> str:
    row = f"{section}/{name}"
    key = {"users": "name", "paths": "path"}.get(section, "unit")
    values = {leaf.where.pointer.removeprefix(f"{row}/"): str(leaf.value) for leaf in _known(system).row(row)}
    if section == "services" and key not in values:
        key = "instance"
    value = values.get(key) or values.get(row, "")
    if not value:
        return "–"
    mark = MARKS.get(evidence(system, row, key, value).how, "")
    return f"{value} {mark}" if mark else value


def main() -> None:
    """Write every page into the directory that the argument names."""
    directory = Path(sys.argv[1])
    directory.mkdir(exist_ok=True)
    for section in page_texts():
        (directory / f"{section}.md").write_text(page(section), encoding="utf-8")


if __name__ == "__main__":
    main()
