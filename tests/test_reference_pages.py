"""Pages of the reference that people write: complete, and of nothing that does not exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ordain.agent.cli.commands import COMMANDS
from ordain.agent.delivery.protocol import SourceFault
from ordain.agent.status import State
from ordain.transforms.document.agent_keys import NETWORK, SETTINGS, SOURCE

TREE = Path(__file__).parents[1]
REFERENCE = TREE / "docs/reference"
CODE = re.compile(r"[A-Z][a-z]+(?:[A-Z][a-z]+)*")
pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason="needs the source tree")


def rows(page: str) -> set[str]:
    """Return the first cell of each row of each table of a page, without marks; several names are several."""
    cells = re.findall(r"^\| ([^|]+) \|", (REFERENCE / page).read_text(), re.MULTILINE)
    return {name.strip("`") for cell in cells for name in re.split(r", ", cell)}


def strings(*folders: str) -> Iterator[tuple[str, bool]]:
    """Yield each string of the code, and whether it is the ``code`` of a problem or condition."""
    for folder in folders:
        for path in (TREE / folder).rglob("*.py"):
            tree = ast.parse(path.read_bytes())
            codes = {
                id(keyword.value)
                for call in ast.walk(tree)
                if isinstance(call, ast.Call)
                for keyword in call.keywords
                if keyword.arg == "code"
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value, id(node) in codes


def test_every_code_is_explained() -> None:
    codes = {text for text, is_code in strings("agent", "transforms", "generator") if is_code and text}

    assert codes | set(SourceFault) <= rows("codes.md")


def test_every_code_and_state_that_is_explained_exists() -> None:
    known = {text for text, _ in strings("agent", "transforms", "generator")}

    assert {name for name in rows("codes.md") if CODE.fullmatch(name)} <= known
    assert set(State) <= rows("codes.md")


def test_every_command_is_listed() -> None:
    text = (REFERENCE / "commands.md").read_text()
    listed: set[str] = set()
    for cell in re.findall(r"^\| (`ordainctl [^|]+) \|", text, re.MULTILINE):
        names = re.findall(r"`([^`]+)`", cell)
        group = names[0].split()[1]
        listed |= {name.removeprefix("ordainctl ") if " " in name else f"{group} {name}" for name in names}

    assert listed == set(COMMANDS)


def test_every_setting_of_agent_yaml_is_listed() -> None:
    keys = {SOURCE.tag, *SETTINGS.keys, *NETWORK.keys, *(key for case in SOURCE.cases.values() for key in case.keys)}

    assert keys <= rows("agent-yaml.md")


def test_every_unit_is_listed() -> None:
    assert {path.name for path in (TREE / "units").iterdir()} <= rows("files.md")


def test_every_method_property_and_signal_is_listed() -> None:
    kinds = {"method", "dbus_property", "signal"}
    found = {
        function.name
        for function in ast.walk(ast.parse((TREE / "agent/daemon/dbus_service.py").read_bytes()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for mark in function.decorator_list
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id in kinds
    }

    assert len(found) > 20
    assert found <= rows("dbus.md")
