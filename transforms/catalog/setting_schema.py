"""The JSON Schema of the settings that Transforms define, so that an editor completes their values.

    Transforms ──▶ definitions, by name ──▶ the schema of the section `settings`

It is for editors only. A machine checks a value against the definition that its own system has, when it is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ordain.transforms.document.formats.setting_types import FLAG, INTEGERS, RECORD, SCALARS, SettingType, parse_type
from ordain.transforms.document.keys.setting_keys import SETTINGS
from ordain.transforms.document.keys.shapes import TEMPLATE, Schema
from ordain.transforms.model import Branch, Document, Kind, strings


def settings_schema(documents: Iterable[Document]) -> Schema:
    """Return the schema of ``settings`` with the definitions in ``documents``; other settings may have any value.

    No key of a record is required in it, since a lower layer may have the others.
    """
    return {**SETTINGS.schema(), "properties": {name: _value(row) for name, row in _definitions(documents).items()}}


def _definitions(documents: Iterable[Document]) -> Mapping[str, Branch]:
    """Return the first definition of each setting; others of the same name add the writes of a system."""
    definitions: dict[str, Branch] = {}
    for document in documents:
        if document.kind is Kind.TRANSFORM:
            for name, row in document.sections.branch("settings").branches():
                if "type" in row or "words" in row:
                    definitions.setdefault(name, row)
    return dict(sorted(definitions.items()))


def _value(row: Branch) -> Schema:
    shape = _of_type(parse_type(str(row.value("type", "text"))), row)
    about = " ".join(str(row.value("about", "")).split())
    default = row.value("default")
    told = (about, "It is required." if row.value("required") else "", f"Default: {default}." if default else "")
    return {**shape, "description": " ".join(filter(None, told))}


def _of_type(kind: SettingType, row: Branch) -> Schema:
    if kind.outer[:1] == ("map",):
        title = f"a map from {SCALARS[str(row.value('names', 'name'))][0]}"
        return {"type": ["object", "null"], "title": title, "additionalProperties": _of_type(kind.below, row)}
    if kind.inner == RECORD:
        keys = {name: _value(key) for name, key in row.branch("keys").branches()}
        return {"type": ["object", "null"], "title": "a map", "properties": keys, "additionalProperties": False}
    scalar = _scalar(kind.inner, row)
    if kind.outer:
        lists = {"type": ["array", "string", "object", "null"], "items": scalar, **TEMPLATE}
        return {**lists, "title": f"a list of values, each of them {SCALARS[kind.inner][0]}"}
    return scalar


def _scalar(name: str, row: Branch) -> Schema:
    if words := strings(row.value("words", ())):
        template = {"type": ["object", "null"], "title": "a template", **TEMPLATE}
        return {"anyOf": [{"enum": [*words], "title": f"one of {', '.join(words)}"}, template]}
    own = "boolean" if name == FLAG else "integer" if name in INTEGERS else ""
    bounds = {"minimum": row.value("least"), "maximum": row.value("most")}
    return {
        "type": [*([own] if own else []), "string", "object", "null"],
        "title": SCALARS[name][0],
        **{key: bound for key, bound in bounds.items() if bound is not None},
        **TEMPLATE,
    }
