"""Makes the JSON Schema of each kind of document from the table in `language`."""

from __future__ import annotations

from functools import cache

from ordain.transforms.document.keys import language, release_keys, run_keys
from ordain.transforms.document.keys.shapes import Integer, Record, Schema, Shape, String
from ordain.transforms.model import RUN_TIERS, TIERS, Kind

VERSION = "v1"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

CONDITION: Schema = {
    "type": ["string", "boolean", "array", "object", "null"],
    "title": "a value, a list of values, or {not: …}",
    "items": {"type": ["string", "boolean", "null"], "title": "a value"},
    "minItems": 1,
    "properties": {
        "not": {
            "type": ["string", "boolean", "array"],
            "title": "a value or a list of values",
            "items": {"type": ["string", "boolean"], "title": "a value"},
        }
    },
    "required": ["not"],
    "additionalProperties": False,
}

LABELS: Schema = {
    "type": ["object", "null"],
    "title": "a map from labels to values",
    "description": "The labels of this machine, which Layers match on. A label may have several values.",
    "propertyNames": {"type": "string", "title": "the name of a label", "format": "label"},
    "additionalProperties": {
        "type": ["string", "array", "boolean", "null"],
        "title": "a value or a list of values",
        "items": {"type": ["string", "boolean"], "title": "a value"},
    },
}

NAME = String(
    "The name of the document. It is unique among the documents of its kind.",
    "a name of letters, digits, - _ and .",
    "name",
    template=False,
)
PIN = Integer("The number of the release that this machine stays on, independent of its channel.", 1, 2**53 - 1)
WEIGHT = Integer("The order within a tier; the layer with the higher weight wins.", -1_000_000, 1_000_000)


def _kind(kind: Kind, about: str, sections: dict[str, Shape], extra: Schema) -> Schema:
    properties: Schema = {
        "ordain": {"enum": [VERSION], "title": VERSION, "description": "The version of the language."},
        "kind": {"enum": [str(kind)], "title": str(kind), "description": "The kind of the document."},
        "name": {**NAME.schema(), "type": "string"},
        "match": {
            "type": ["object", "null"],
            "title": "a map from facts and labels to values",
            "description": "The machines that it is for: every entry must hold. Default: every machine.",
            "propertyNames": {"type": "string", "title": "the name of a fact or of a label", "format": "label-or-fact"},
            "additionalProperties": CONDITION,
        },
        **extra,
        **{name: shape.schema() for name, shape in sections.items()},
    }
    return {
        "title": "a document",
        "description": about,
        "type": "object",
        "required": ["ordain", "kind", "name"],
        "properties": properties,
        "additionalProperties": False,
    }


_ORDER: Schema = {
    "tier": {
        "enum": [tier for tier in TIERS if tier != "node"],
        "title": "one of " + ", ".join(TIERS[:-1]),
        "description": "Its tier in the order of layers, lowest first. Default: default.",
    },
    "weight": WEIGHT.schema(),
}
_RUN_HEAD: Schema = {
    "tier": {
        "enum": list(RUN_TIERS),
        "title": "one of " + ", ".join(RUN_TIERS),
        "description": "Its tier in the order of layers, lowest first. Default: run; with a `match` that does not name "
        "`run`, default.",
    },
    "weight": WEIGHT.schema(),
    "labels": {**LABELS, "description": "The labels of this run, which other Runs match on, such as project."},
}


@cache
def schema(kind: Kind) -> Schema:
    """Return the published JSON Schema of ``kind``.

    Our own keywords in it are ``x-merge`` and ``x-one-of``; the values of ``format`` are in `formats`.
    """
    if kind is Kind.LAYER:
        body = _kind(kind, "The configuration of every machine that matches.", language.SECTIONS, _ORDER)
    elif kind is Kind.NODE:
        body = _kind(
            kind, "The configuration of one machine.", language.SECTIONS, {"labels": LABELS, "pin": PIN.schema()}
        )
    elif kind is Kind.TRANSFORM:
        body = _kind(kind, "The meaning of neutral names on a system.", language.TRANSFORM_SECTIONS, _ORDER)
    elif kind is Kind.RUN:
        body = _kind(kind, "A job for a batch system, or defaults of all runs that match.", run_keys.RUN, _RUN_HEAD)
        match = {
            "title": "a map from run, system, scheduler, user and labels to values",
            "description": "The runs that it has defaults for: every entry must hold. Default: it is a run itself.",
            "propertyNames": {
                "type": "string",
                "title": "run, system, scheduler, user or a label",
                "format": "run-match",
            },
        }
        body["properties"]["match"] |= match
        body["x-one-of"] = [list(group) for group in run_keys.ONE_OF]
    else:
        body = _kind(kind, "A signed list of documents.", release_keys.RELEASE, {})
        del body["properties"]["match"]
        body["required"] += release_keys.REQUIRED
    return {"$schema": DIALECT, "$id": f"https://ordain.invalid/{VERSION}/{str(kind).lower()}.json", **body}


def sections(kind: Kind) -> Record:
    """Return the sections of ``kind`` as one shape."""
    if kind is Kind.RELEASE:
        return Record(release_keys.RELEASE)
    if kind is Kind.RUN:
        return Record(run_keys.RUN, one_of=run_keys.ONE_OF)
    return Record(language.TRANSFORM_SECTIONS if kind is Kind.TRANSFORM else language.SECTIONS)


_NAMED_SCHEMAS = frozenset({"properties", "patternProperties"})
_SCHEMAS = frozenset({"items", "additionalProperties", "not", "if", "then", "else"})
_LISTED_SCHEMAS = frozenset({"allOf", "anyOf", "oneOf"})


def for_editors(schema: Schema) -> Schema:
    """Return a schema for programs that read `80` as a number: where a text may stand, a number may, too.

    Our reader takes plain scalars as they are written (docs/design/documents.md), so for it such a value is a text.
    """
    shown: Schema = {}
    for keyword, value in schema.items():
        if keyword == "type":
            types = [value] if isinstance(value, str) else list(value)
            shown[keyword] = [*types, "number"] if "string" in types else value
        elif keyword == "enum":
            shown[keyword] = [*value, *(int(word) for word in value if isinstance(word, str) and word.isdecimal())]
        elif keyword in _NAMED_SCHEMAS:
            shown[keyword] = {name: for_editors(child) for name, child in value.items()}
        elif keyword in _SCHEMAS and isinstance(value, dict):
            shown[keyword] = for_editors(value)
        elif keyword in _LISTED_SCHEMAS:
            shown[keyword] = [for_editors(child) for child in value]
        else:
            shown[keyword] = value
    return shown
