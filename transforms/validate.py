"""Holds a document against its JSON Schema; what does not fit becomes a `Problem` at its place."""

from __future__ import annotations

from ordain.transforms.errors import Problem
from ordain.transforms.fitting import fits
from ordain.transforms.model import Kind
from ordain.transforms.node import Node
from ordain.transforms.schema import schema


def problems(node: Node, kind: Kind) -> list[Problem]:
    """What is wrong with a document of ``kind``, unsorted."""
    if fits(node.plain(), schema(kind)):
        return []
    from ordain.transforms.violations import violations  # loads jsonschema

    return violations(node, kind)
