"""Holds a document against its JSON Schema; what does not fit becomes a `Problem` at its place."""

from __future__ import annotations

from ordain.transforms.document.fast_validate import fits
from ordain.transforms.document.node import Node
from ordain.transforms.document.schema import schema
from ordain.transforms.errors import Problem
from ordain.transforms.model import Kind


def problems(node: Node, kind: Kind) -> list[Problem]:
    """What is wrong with a document of ``kind``, unsorted."""
    if fits(node.plain(), schema(kind)):
        return []
    from ordain.transforms.document.schema_errors import violations

    return violations(node, kind)
