"""The manual pages: complete, current, and without a mistake that rst2man would print."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ordain.agent.cli.commands.all_commands import COMMANDS
from ordain.agent.cli.machine import default_agent_yaml
from ordain.agent.cli.manual import agent_yaml_page as manual_agent_yaml
from ordain.agent.cli.manual import (
    agent_yaml_reference,
    api_reference,
    codes_reference,
    commands_reference,
    json_reference,
)
from ordain.agent.cli.manual import document_page as manual_document
from ordain.agent.cli.manual import ordainctl_page as manual
from ordain.agent.settings import Settings, parse_settings
from ordain.transforms.document.formats.conditions import FACTS
from ordain.transforms.document.keys.language import SECTIONS
from ordain.transforms.document.keys.schema import schema
from ordain.transforms.document.keys.shapes import Schema
from ordain.transforms.model import Kind

DOCS = Path(__file__).parents[4] / "docs"
PAGES = sorted((DOCS / "man").glob("*.rst"))
pytestmark = pytest.mark.skipif(not PAGES, reason="no source tree here")


def plain(page: str) -> str:
    """Return the text of a page without its markup."""
    return re.sub(r"[*\\]", "", (DOCS / "man" / page).read_text())


GENERATED: dict[str, tuple[str, Callable[[], str]]] = {
    "man/ordainctl.1.rst": ("manual", manual.page),
    "man/ordain-document.5.rst": ("manual_document", manual_document.page),
    "man/ordain-agent.yaml.5.rst": ("manual_agent_yaml", manual_agent_yaml.page),
    "man/ordain-codes.7.rst": ("codes_reference man", codes_reference.man_page),
    "reference/codes.md": ("codes_reference markdown", codes_reference.markdown),
    "reference/commands.md": ("commands_reference", commands_reference.markdown),
    "reference/json.md": ("json_reference", json_reference.markdown),
    "reference/boot-server-api.md": ("api_reference", api_reference.markdown),
}
"""By page, the module that prints it."""


@pytest.mark.parametrize("page", GENERATED)
def test_a_generated_page_is_current(page: str) -> None:
    module, made = GENERATED[page]

    assert (DOCS / page).read_text() == made(), f"run python3 -m ordain.agent.cli.{module} >docs/{page}"


def test_the_committed_reference_of_agent_yaml_is_current() -> None:
    made_by = "python3 -m ordain.agent.cli.manual.agent_yaml_reference >docs/reference/agent-yaml.md"
    assert (DOCS / "reference/agent-yaml.md").read_text() == agent_yaml_reference.markdown(), made_by


def test_the_defaults_in_the_page_of_agent_yaml_are_the_defaults(tmp_path: Path) -> None:
    assert parse_settings(default_agent_yaml.DEFAULTS.encode(), tmp_path) == (Settings(), ())


@pytest.mark.parametrize("example", manual_agent_yaml.EXAMPLES)
def test_the_examples_in_the_page_of_agent_yaml_are_valid(example: str, tmp_path: Path) -> None:
    assert parse_settings(example.encode(), tmp_path)[1] == ()


def test_every_command_and_option_is_in_ordainctl_1() -> None:
    text = plain("ordainctl.1.rst")

    for command in COMMANDS.values():
        section = text.partition(f"\nordainctl {command.name}")[2].partition("\nExit status")[0]
        for argument in command.arguments:
            assert f"\n{argument.flag or argument.metavar}" in section


def test_every_section_and_fact_is_in_ordain_document_5() -> None:
    words = set(re.findall(r"[a-z-]+", plain("ordain-document.5.rst")))

    assert set(SECTIONS) | set(FACTS) <= words


def keys_of(shape: Schema) -> Iterator[str]:
    """Yield the names of all keys in the schema of a kind of document."""
    for name, below in shape.get("properties", {}).items():
        yield name
        yield from keys_of(below)
    for inner in (shape.get("additionalProperties"), shape.get("items")):
        if isinstance(inner, dict):
            yield from keys_of(inner)


@pytest.mark.parametrize("kind", Kind)
def test_every_key_of_every_kind_is_in_ordain_document_5(kind: Kind) -> None:
    described = set(re.findall(r"\*\*([a-z0-9-]+)\*\*", (DOCS / "man/ordain-document.5.rst").read_text()))

    assert set(keys_of(schema(kind))) - {"template", "not"} <= described


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("run `ordainctl plan`", "run **ordainctl plan**"),
        ("all `*.yaml` files, and a * b", "all **\\*.yaml** files, and a \\* b"),
        ("see [the page](../x.md), a **set**", "see the page, a **set**"),
        ("`NAME`s in ordain-document(5)", "**NAME**\\ s in **ordain-document**\\(5)"),
        ("a|b and NAME_ and back\\slash", "a\\|b and NAME\\_ and back\\\\slash"),
    ],
)
def test_markdown_becomes_restructuredtext(text: str, written: str) -> None:
    assert manual.from_markdown(text) == written


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
@pytest.mark.thorough
def test_a_page_is_well_formed(page: Path) -> None:
    program = shutil.which("rst2man") or shutil.which("rst2man.py")
    if program is None:
        pytest.skip("no rst2man here (python3-docutils)")
    made = subprocess.run([program, "--strict", page], capture_output=True, text=True, check=False)

    assert made.stderr == ""
    name, _, section = page.stem.rpartition(".")
    assert re.search(f'^.TH "?{name.upper()}"? "?{section}"? ', made.stdout, re.MULTILINE)


def test_pages_refer_to_existing_pages() -> None:
    ours = {tuple(page.stem.rsplit(".", 1)) for page in PAGES}

    for page in PAGES:
        named = re.findall(r"\*\*(ordain[a-z-]*)\*\*\\\((\d)\)", page.read_text())
        assert set(named) <= ours
