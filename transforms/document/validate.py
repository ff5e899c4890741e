"""Holds a document against its JSON Schema; what does not fit becomes a `Problem` at its place."""

from __future__ import annotations

from ordain.transforms.document.fast_validate import fits
from ordain.transforms.document.node import Node
from ordain.transforms.document.schema import schema
from ordain.transforms.document.shapes import Schema
from ordain.transforms.errors import Problem
from ordain.transforms.model import Kind


def problems(node: Node, kind: Kind) -> list[Problem]:
    """Return what is wrong with a document of ``kind``, unsorted."""
    return misfits(node, schema(kind))


def misfits(node: Node, wanted: Schema) -> list[Problem]:
    """Return every place where ``node`` does not fit the schema ``wanted``, unsorted."""
    if fits(node.plain(), wanted):
        return []
    from ordain.transforms.document.schema_errors import violations

    return violations(node, wanted)
