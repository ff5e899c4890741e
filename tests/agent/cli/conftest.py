"""Every output with --json that a test of a command prints is held against its declared shape."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

import pytest

from ordain.agent.cli import main as cli
from ordain.agent.cli.commands.subcommand import Exit, Subcommand
from ordain.agent.cli.console import Console
from ordain.agent.cli.manual.json_outputs import OUTPUTS, REFUSAL
from support.outputs.json_differences import differences


@pytest.fixture(autouse=True)
def _shapes_are_as_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    load, print_json = cli._load, Console.json
    running: list[str] = []

    def noting_load(command: Subcommand) -> Any:
        run = load(command)

        def noted(request: Namespace, console: Console) -> Exit:
            running[:] = [command.name]
            return run(request, console)

        return noted

    def checked_json(self: Console, value: Any) -> None:
        data = json.loads(json.dumps(value))
        if running:
            by_shape = [differences(data, output) for output in (*OUTPUTS[running[0]], REFUSAL)]
            assert not all(by_shape), f"{running[0]} --json: {min(by_shape, key=len)}"
        print_json(self, value)

    monkeypatch.setattr(cli, "_load", noting_load)
    monkeypatch.setattr(Console, "json", checked_json)
