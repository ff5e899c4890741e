"""The keys of a Test: machines, and what they must get from the documents in the folder above.

    TEST ─▶ the JSON Schema ─▶ `document_tests.read_tests`

A Test is not one of the kinds in `model.Kind`: no machine, release or store ever takes it, so that agents of every
version can be given a folder that has Tests below it.
"""

from __future__ import annotations

from functools import cache

from ordain.transforms.document.formats.conditions import ARCHITECTURES, FIRMWARES, ROOTS
from ordain.transforms.document.formats.fact_table import FACT_TABLE, FactRow
from ordain.transforms.document.keys.schema import DIALECT, LABELS, NAME, VERSION
from ordain.transforms.document.keys.shapes import (
    Choice,
    Flag,
    Integer,
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
PACKAGE = Record(
    {
        "state": Choice(STATES, "absent: the documents must not install it. Default: present."),
        "version": _text("The version that the documents must ask for.", "a version"),
        "hold": Flag("true: the documents must keep its version."),
    },
    title="the expectations of a package",
    shorthand="state",
)


def _further(row: FactRow) -> Shape:
    return Set(row.about, row.kind) if row.many else _text(row.about, "a value")


FACTS = Record(
    {
        "systemd": Integer("The major version of systemd. Default: that of the system.", 1, 9999),
        "arch": Choice(tuple(sorted(ARCHITECTURES)), "The architecture, in systemd's words. Default: x86-64."),
        "virtualization": _text("A word of systemd-detect-virt(1). Default: none.", "a word"),
        "machine-id": _text("The machine id.", "32 hexadecimal digits"),
        "mac": Set("The MAC addresses of its network devices.", "a MAC address"),
        "root": Choice(tuple(sorted(ROOTS)), "The root file system. Default: disk."),
        "system-firmware": Choice(tuple(sorted(FIRMWARES)), "The firmware."),
        "system-uuid": _text("The UUID of the hardware.", "a UUID"),
        "system-serial-number": _text("The serial number of the hardware."),
        "system-manufacturer": _text("The manufacturer of the hardware."),
        "system-product-name": _text("The product name of the hardware."),
        **{name: _further(row) for name, row in FACT_TABLE.items()},
    },
    "Other facts of the machine, as `match` names them.",
    "facts",
)
TEST: dict[str, Shape] = {
    "description": String("A description for people.", template=False),
    "systems": Sequence(_text("", "a system"), "The systems to test on, by the names of --os.", template=False),
    "hostname": _text("The host name of the machine."),
    "node": _text("The Node document of the machine.", "a name"),
    "labels": Map(LabelValues(), "The labels of the machine.", "a label"),
    "facts": FACTS,
    "site-facts": Map(LabelValues(), "The facts of the site, which facts.d gives, without `facts.`.", "a name"),
    "layers": Set("Layers that must match the machine.", "a layer"),
    "other-layers": Set("Layers that must not match the machine.", "a layer"),
    "units": Map(PLACED, "Units by name, with all their drop-ins.", "a unit"),
    "files": Map(PLACED, "Files by path.", "a path"),
    "packages": Set(
        "Packages that the documents must install, by their names on the system or in `packages`.",
        "a package",
        of=PACKAGE,
    ),
    "golden": Flag(
        "The files must be as a whole as in tests/golden/NAME/SYSTEM.txt, which `ordainctl test --update` writes."
    ),
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
            "ordain": {"enum": [VERSION], "title": VERSION, "description": "The version of the language."},
            "kind": {"enum": [KIND], "title": KIND, "description": "The kind of the document."},
            "name": {**NAME.schema(), "type": "string"},
            **{name: shape.schema() for name, shape in TEST.items()},
            "labels": LABELS,
        },
        "additionalProperties": False,
    }
