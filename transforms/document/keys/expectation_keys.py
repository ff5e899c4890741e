"""The keys of a Test: machines, and what they must get from the documents in the folder above.

    TEST ─▶ the JSON Schema ─▶ `document_tests.read_tests`

A Test is not one of the kinds in `model.Kind`: no machine, release or store ever takes it, so that agents of every
version can be given a folder that has Tests below it.
"""

from __future__ import annotations

from functools import cache

from ordain.transforms.document.keys.schema import DIALECT, LABELS, NAME, VERSION
from ordain.transforms.document.keys.shapes import (
    Choice,
    LabelValues,
    Map,
    Record,
    Schema,
    Sequence,
    Set,
    Shape,
    String,
)

KIND = "Test"
STATES = ("present", "absent")


def _text(about: str, title: str = "a text") -> String:
    return String(about, title, "line", template=False)


PLACED = Record(
    {
        "state": Choice(STATES, "absent: the documents must not place it. Default: present."),
        "contains": Set("Lines that it must have. Spaces around a line do not count.", "a line"),
        "lacks": Set("Lines that it must not have.", "a line"),
    },
    title="the expectations of a file",
)
TEST: dict[str, Shape] = {
    "description": String("A description for people.", template=False),
    "systems": Sequence(_text("", "a system"), "The systems to test on, by the names of --os.", template=False),
    "hostname": _text("The host name of the machine."),
    "node": _text("The Node document of the machine.", "a name"),
    "labels": Map(LabelValues(), "The labels of the machine.", "a label"),
    "layers": Set("Layers that must match the machine.", "a layer"),
    "other-layers": Set("Layers that must not match the machine.", "a layer"),
    "units": Map(PLACED, "Units by name, with all their drop-ins.", "a unit"),
    "files": Map(PLACED, "Files by path.", "a path"),
    "problems": Set("Codes of the problems that the machine must have. Any other error or block fails.", "a code"),
}


@cache
def schema() -> Schema:
    """Return the JSON Schema of a Test."""
    return {
        "$schema": DIALECT,
        "$id": f"https://ordain.invalid/{VERSION}/test.json",
        "title": "a test",
        "description": "Expectations of the documents in the folder above.",
        "type": "object",
        "required": ["ordain", "kind", "name", "systems"],
        "properties": {
            "ordain": {"enum": [VERSION], "title": VERSION},
            "kind": {"enum": [KIND], "title": KIND},
            "name": {**NAME.schema(), "type": "string"},
            **{name: shape.schema() for name, shape in TEST.items()},
            "labels": LABELS,
        },
        "additionalProperties": False,
    }
