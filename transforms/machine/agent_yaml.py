"""agent.yaml, as far as documents depend on it: which text of it counts, and the labels in that.

An agent that runs keeps the text it goes by at `IN_FORCE`, since the file may be wrong, half written or gone at any
moment: whoever asks what this machine is (the agent, its worker, ordain-source, ordainctl) is told the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ordain.transforms.document.conditions import FACTS
from ordain.transforms.document.node import Node
from ordain.transforms.errors import Problem, Severity, Where
from ordain.transforms.machine import rootfs

PATH = "etc/ordain/agent.yaml"
IN_FORCE = "run/ordain/agent.yaml"

Labels = dict[str, tuple[str, ...]]


def in_force(root: Path) -> bytes | None:
    """The text that counts on the machine ``root``; None: there is none. Raises `OSError` if it cannot be read."""
    kept = rootfs.read(root, IN_FORCE)
    return rootfs.read(root, PATH) if kept is None else kept


def read_labels(settings: Node | None) -> tuple[Labels, tuple[Problem, ...]]:
    """``labels:`` of the settings, a map of scalars or lists of them, and what is wrong with it.

    The name of a fact is left out with a warning; what else is wrong is an error.
    """
    value = settings.value.get("labels") if settings and isinstance(settings.value, Mapping) else None
    if value is None or value.value is None:
        return {}, ()
    if not isinstance(value.value, Mapping):
        return {}, (_problem(value.where, "labels is no map", "labels: {role: web}"),)
    labels: Labels = {}
    problems: list[Problem] = []
    for name, node in value.value.items():
        values = tuple(dict.fromkeys(_values(name, node, problems)))
        if name in FACTS:
            what = f"a label may not have the name of a fact: {name}"
            problems.append(replace(_problem(value.keys[name], what), severity=Severity.WARNING))
        elif values:
            labels[name] = values
    return labels, tuple(problems)


def _values(name: str, node: Node, problems: list[Problem]) -> Iterator[str]:
    for item in node.value if isinstance(node.value, tuple) else (node,):
        match item.value:
            case bool():
                yield "true" if item.value else "false"
            case str() if item.value:
                yield str(item.value)
            case _:
                problems.append(_problem(item.where, f"the label {name} is no text"))


def _problem(where: Where, what: str, hint: str = "") -> Problem:
    return Problem(where=where, what=what, hint=hint, code="Settings")
