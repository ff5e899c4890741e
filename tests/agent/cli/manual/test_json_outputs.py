"""The declared shapes of the output with --json: complete, and held against values."""

from __future__ import annotations

from typing import Any

import pytest

from ordain.agent.cli.commands.all_commands import COMMANDS
from ordain.agent.cli.manual.json_outputs import OUTPUTS
from ordain.agent.model import Hold, Outcome, Plan, to_json
from ordain.agent.status import Status
from support.outputs.json_differences import differences

WITHOUT_JSON = {
    "import": "it prints a document in YAML",
    "init": "it writes files",
    "confirm": "",
    "resume": "",
    "documents edit": "it opens an editor",
    "store init": "it asks, and makes changes",
    "store backup": "it writes files",
    "store restore": "it asks, and makes changes",
    "release keygen": "it writes files",
    "release create": "it prints a release, which is JSON",
    "release sign": "it writes a file",
    "release publish": "",
    "release promote": "",
    "release forget": "",
    "fleet follow": "",
    "fleet boot": "",
    "netboot token": "it prints a token",
    "fleet forget": "",
    "fleet token": "it prints a token",
    "fleet prepare": "it prints a key",
    "fleet enroll": "",
    "fleet revoke": "",
    "secret seal": "it prints a document in YAML",
    "secret reseal": "",
    "secret open": "it prints a secret",
    "secret key": "it prints a key",
    "secret recovery": "it writes a file",
    "serve": "it runs until it is interrupted",
    "run cancel": "",
    "run log": "it prints the output of a job",
    "run import": "it prints a document in YAML",
    "run export": "it prints another format",
}
"""The commands without --json: one line says that they are done, or there is a reason."""


def test_every_command_with_json_has_a_declared_shape_and_the_others_have_a_reason() -> None:
    with_json = {name for name, row in COMMANDS.items() if any(a.flag == "--json" for a in row.arguments)}

    assert set(OUTPUTS) == with_json
    assert set(WITHOUT_JSON) == COMMANDS.keys() - with_json


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ("plan", to_json(Plan())),
        ("apply", to_json(Outcome(generation=1, hash="a", plan=Plan(), back=Plan()))),
        ("status", to_json(Status())),
        ("unhold", None),
        ("fleet allow", ["a"]),
    ],
)
def test_a_value_fits_its_shape(command: str, value: Any) -> None:
    assert [differences(value, output) for output in OUTPUTS[command]] == [[]]


HOLD = {**to_json(Hold(since="2026-11-28T21:00:00+00:00")), "unit": "web.service"}


@pytest.mark.parametrize(
    ("command", "value", "difference"),
    [
        ("hold", {key: value for key, value in HOLD.items() if key != "unit"}, "/unit: is missing"),
        ("hold", HOLD | {"extra": 1}, "/extra: is not declared"),
        ("hold", HOLD | {"stopped": "yes"}, "/stopped: 'yes' is not <class 'bool'>"),
        ("status", to_json(Status()) | {"state": "fine"}, "/state: 'fine' is not a AgentState"),
        ("status", to_json(Status()) | {"units": [{}]}, "/units/0/unit: is missing"),
        ("history", {}, "{} is not a list"),
        ("fleet allow", [1], "/0: 1 is not <class 'str'>"),
    ],
)
def test_a_value_that_differs_from_its_shape_is_named(command: str, value: Any, difference: str) -> None:
    assert difference in differences(value, OUTPUTS[command][0])
