"""The shapes of settings: a value in a document, a definition in a Transform, and the writes of a system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ordain.transforms.document.formats.setting_types import SCALARS
from ordain.transforms.document.keys.shapes import (
    CommandLine,
    Flag,
    Integer,
    Map,
    Position,
    Record,
    Schema,
    Sequence,
    Shape,
    String,
)
from ordain.transforms.document.text.node import Node
from ordain.transforms.errors import Problem
from ordain.transforms.model import Template, Tree, Value


@dataclass(frozen=True, slots=True)
class SettingValue:
    """A value of a setting: its definition, which depends on the machine, says what it may be.

    Numbers keep their text. A map merges with those of other layers, a list is one leaf.
    """

    about: str = ""

    def schema(self) -> Schema:
        """Return the JSON Schema."""
        types = ["string", "number", "boolean", "array", "object", "null"]
        title = "a text, a number, true or false, a list or a map, by the type of the setting"
        return {"type": types, "title": title}

    def canonical(self, node: Node, at: Position) -> Tree:
        """Return branches for maps, and leaves of texts, templates, booleans and tuples of them."""
        if isinstance(node.value, Mapping) and not _is_template(node):
            return at.branch({k: self.canonical(v, at.below(k)) for k, v in node.value.items()}, node.where)
        if not isinstance(node.value, tuple):
            return at.leaf(_scalar(node), node)
        for number, item in enumerate(node.value):
            if item.value is None or isinstance(item.value, tuple) or (_is_map(item) and not _is_template(item)):
                place = at.below(number).where(item.where)
                what = "a list of a setting holds texts only"
                at.problems.append(Problem(where=place, what=what, hint="write a map with a name for each entry"))
        return at.leaf(tuple(map(_scalar, node.value)), node)


def _is_map(node: Node) -> bool:
    return isinstance(node.value, Mapping)


def _is_template(node: Node) -> bool:
    return isinstance(node.value, Mapping) and node.value.keys() == {"template"}


def _scalar(node: Node) -> Value:
    if isinstance(node.value, Mapping):
        return Template(str(node.value["template"].value)) if _is_template(node) else ""
    return node.value if isinstance(node.value, bool) or node.value is None else str(node.value)


SETTINGS = Map(
    SettingValue(),
    "Settings by their neutral names, which Transforms define and write in the way of each system.",
    "a setting",
    "name",
)
"""The section of a Layer and of a Node."""


def _text(about: str, title: str = "a text", form: str = "", example: str = "") -> String:
    return String(about, title, form, example, template=False)


_BOUNDS: dict[str, Shape] = {
    "about": _text("The meaning, for people."),
    "words": Sequence(String(title="a word", template=False), "The only values that it may have.", template=False),
    "least": Integer("The least number.", -(2**53), 2**53),
    "most": Integer("The greatest number.", -(2**53), 2**53),
    "default": String("The value where no document sets one, for templates."),
}
_TYPE = (
    f"Its type: `record`, or a scalar ({', '.join(SCALARS)}); `list of` before a scalar, `map of` before any type. "
    "Default: text."
)

WRITE = Record(
    {
        "file": _text("The path of a file, a template.", "a path"),
        "drop-in": _text(
            "The name of a file in the `config` directory of the service that `reload`, `restart` or `reader` names.",
            "a file name",
        ),
        "content": _text("The content of the file, a template. If only blanks come out, there is no file."),
        "comment": _text("The sign before a comment in the file, for the header. Default: #; `none`: no header."),
        "mode": _text("The mode of the file. Default: 0644.", "an octal mode", "mode"),
        "sysctl": Map(
            _text("", "a template"),
            "Kernel parameters, each with a template; an empty result is left out.",
            "a parameter",
        ),
        "unit": Map(
            Map(
                Map(Sequence(_text("", "a template"), template=False), key="a directive", format="directive"),
                "Directives with their templates; empty results are left out.",
                "a section",
                "section",
            ),
            "Drop-ins for units, as in the section `units`, with templates.",
            "a unit name with .d",
            "unit-or-drop-in",
        ),
        "services": Map(
            Record(
                {
                    "state": _text("Its state, a template. If it is empty, the state is not set.", "a template"),
                    "phase": _text("Its phase, a template.", "a template"),
                },
                title="the keys of a service",
            ),
            "Services that the setting needs, with the values of their keys.",
            "a service name",
        ),
        "each": Flag("Write one file for each entry of a map: then `name` and `value` are those of the entry."),
        "reload": _text(
            "The service that reads it, by its neutral name: it is reloaded after a change.", "a service name"
        ),
        "restart": _text("The same for a service that has to restart.", "a service name"),
        "reader": _text("The same for a service that reads it at its next start or run.", "a service name"),
        "run": CommandLine("The command by which the files take effect; it runs after each change and at each boot."),
        "fallback": Flag("Write it only where its service is installed, and none of the other writes is."),
        "optional": Flag("Leave it out, without a warning, where its service is not installed."),
        "known": _text("The evidence for it: a manual page, a package."),
    },
    title="the keys of a write",
    one_of=(("file", "drop-in", "sysctl", "unit", "services"), ("reload", "restart", "reader")),
)

SETTING = Record(
    {
        **_BOUNDS,
        "type": _text(_TYPE, "a type", "setting-type", "list of host"),
        "names": _text("The type of the names of a map. Default: name.", "a type", "setting-type"),
        "keys": Map(
            Record(
                {
                    **_BOUNDS,
                    "type": _text("Its type, as for a setting, but not a record.", "a type", "setting-type"),
                    "required": Flag("A value must have it."),
                },
                title="a key of a record",
            ),
            "The keys of a record.",
            "a key",
            "name",
        ),
        "instead": _text("The remedy on a system that cannot have it."),
        "writes": Map(WRITE, "The writes of a system for it, by any name.", "a name", "name"),
    },
    title="the definition of a setting",
)
