"""Renders one set of documents for many systems, groups systems with the same output, and compares the groups."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ordain.transforms.artifact_text import as_text
from ordain.transforms.artifacts import Artifact
from ordain.transforms.compile import compile
from ordain.transforms.errors import Problem, Refused, sorted_problems
from ordain.transforms.model import Document, Facts
from ordain.transforms.package_set import NO_PACKAGES, PackageSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Systems with the same output. If the documents are refused, there are no artifacts."""

    systems: tuple[str, ...]
    artifacts: tuple[Artifact, ...]
    packages: PackageSet
    problems: tuple[Problem, ...]

    def text(self) -> str:
        """Return the output for a machine of the group: its artifacts and problems."""
        return as_text(self.artifacts, self.packages) + "".join(f"! {problem}\n" for problem in self.problems)


def group_systems(
    documents: tuple[Document, ...], systems: Mapping[str, Facts], shipped: tuple[Document, ...]
) -> tuple[Group, ...]:
    """Return the groups, the largest first; systems, and groups of equal size, keep the order of ``systems``.

    Raises `Refused` if the documents are refused on all systems.
    """
    alike: dict[str, Group] = {}
    refused = []
    for name, facts in systems.items():
        try:
            compiled = compile(documents, facts, None, shipped=shipped)
            group = Group(
                systems=(name,),
                artifacts=compiled.artifacts,
                packages=compiled.packages,
                problems=sorted_problems(compiled.problems),
            )
        except Refused as refusal:
            refused.append(refusal)
            group = Group(
                systems=(name,), artifacts=(), packages=NO_PACKAGES, problems=sorted_problems(refusal.problems)
            )
        same = alike.get(group.text())
        alike[group.text()] = _joined(same, group) if same else group
    if refused and len(refused) == len(systems):
        raise refused[0]
    return tuple(sorted(alike.values(), key=lambda group: -len(group.systems)))


def _joined(group: Group, other: Group) -> Group:
    return replace(group, systems=group.systems + other.systems)


def difference(group: Group, other: Group) -> str:
    """Return a unified diff from the output of ``group`` to that of ``other``, each named by its first system."""
    lines: Iterable[str] = difflib.unified_diff(
        group.text().splitlines(keepends=True),
        other.text().splitlines(keepends=True),
        group.systems[0],
        other.systems[0],
    )
    return "".join(lines)
