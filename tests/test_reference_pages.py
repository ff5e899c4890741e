"""Pages of the reference that people write: complete, and of nothing that does not exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ordain.transforms.document.keys.agent_keys import NETWORK, SETTINGS, SOURCE

TREE = Path(__file__).parents[1]
REFERENCE = TREE / "docs/reference"
pytestmark = pytest.mark.skipif(not REFERENCE.exists(), reason="needs the source tree")


def rows(page: str) -> set[str]:
    """Return the first cell of each row of each table of a page, without marks; several names are several."""
    cells = re.findall(r"^\| ([^|]+) \|", (REFERENCE / page).read_text(), re.MULTILINE)
    return {name.strip("`") for cell in cells for name in re.split(r", ", cell)}


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
