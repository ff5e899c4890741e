"""The preview of a change of documents: the machines that it affects, and the values that change on them.

The documents are resolved for the facts that the machines reported. Only the machine itself can tell the effect of a
value there (units, jobs, programs that are not installed): see `ordainctl plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from ordain.agent.delivery.fleet.report import MachineReport
from ordain.transforms.document.text.plain_data import plain
from ordain.transforms.errors import Problem, Refused
from ordain.transforms.model import Document, Facts, Kind
from ordain.transforms.netboot.boot_target import SECTION, merge_netboot, netboot_documents
from ordain.transforms.resolve.machine_index import MachineIndex, machine_index
from ordain.transforms.resolve.resolve import resolve

Values = Mapping[str, object]
ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueChange:
    """A value of the resolved document that changes; `ABSENT` means that there is no value."""

    pointer: str
    before: object
    after: object


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewGroup:
    """Machines on which a change has the same effect. With ``problems``, these machines would refuse it."""

    machines: tuple[str, ...]
    values: tuple[ValueChange, ...]
    problems: tuple[Problem, ...] = ()


def preview_change(
    changes: Iterable[tuple[Sequence[Document], Iterable[MachineReport]]],
    after: Sequence[Document],
    shared: Mapping[str, str],
) -> tuple[PreviewGroup, ...]:
    """Return the machines that a change affects, grouped by its effect, the largest group first.

    ``changes`` are the documents that machines have now, with the reports of these machines.
    """
    of_after = _Documents.of(after)
    groups: dict[tuple[tuple[ValueChange, ...], tuple[Problem, ...]], list[str]] = {}
    compared = (
        (of_before, report)
        for before, reports in changes
        for of_before in (_Documents.of(before),)
        for report in reports
    )
    for of_before, report in compared:
        if report.facts is None:
            continue
        old_values, old_problems = _resolved(of_before, report.facts, shared)
        new_values, new_problems = _resolved(of_after, report.facts, shared)
        problems = tuple(problem for problem in new_problems if problem not in old_problems)
        values = () if new_problems else tuple(_differences(old_values, new_values))
        if values or problems:
            groups.setdefault((values, problems), []).append(report.hostname or report.machine)
    affected = [
        PreviewGroup(machines=tuple(sorted(machines)), values=values, problems=problems)
        for (values, problems), machines in groups.items()
    ]
    return tuple(sorted(affected, key=lambda group: (-len(group.machines), group.machines)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Documents:
    """The documents of many machines, and those that count before their systems run: layers, and Nodes."""

    running: MachineIndex
    layers_at_netboot: Sequence[Document]
    nodes_at_netboot: MachineIndex

    @classmethod
    def of(cls, documents: Sequence[Document]) -> Self:
        at_netboot = netboot_documents(documents)
        return cls(
            running=machine_index(documents),
            layers_at_netboot=[document for document in at_netboot if document.kind is not Kind.NODE],
            nodes_at_netboot=machine_index(document for document in at_netboot if document.kind is Kind.NODE),
        )

    def at_netboot(self, facts: Facts) -> list[Document]:
        """Return the documents that could count for a machine whose host name is not known yet."""
        return [*self.layers_at_netboot, *self.nodes_at_netboot.for_machine(replace(facts, hostname=""))]


def _resolved(documents: _Documents, facts: Facts, shared: Mapping[str, str]) -> tuple[Values, tuple[Problem, ...]]:
    """Return the values of a machine: those of its next boot from the network follow from fewer facts."""
    try:
        running, _ = resolve(documents.running.for_machine(facts), facts, shared)
        booting, _ = merge_netboot(documents.at_netboot(facts), facts)
    except Refused as refused:
        return {}, refused.problems
    values = {name: tree for name, tree in running.tree.children.items() if name != SECTION}
    values |= {name: tree for name, tree in booting.tree.children.items() if name == SECTION}
    return dict(_leaves(plain(replace(running.tree, children=values)), "")), ()


def _leaves(value: object, pointer: str) -> Iterator[tuple[str, object]]:
    """Yield pointer and value of each leaf of JSON data; a template counts as a leaf."""
    if isinstance(value, dict) and value and set(value) != {"template"}:
        for name, child in value.items():
            yield from _leaves(child, f"{pointer}/{name}".lstrip("/"))
    elif pointer:
        yield pointer, _hashable(value)


def _hashable(value: object) -> object:
    if isinstance(value, list):
        return tuple(_hashable(item) for item in value)
    if isinstance(value, dict):
        return tuple((name, _hashable(child)) for name, child in sorted(value.items()))
    return value


def _differences(old: Values, new: Values) -> Iterator[ValueChange]:
    for pointer in sorted(old.keys() | new.keys()):
        before, after = old.get(pointer, ABSENT), new.get(pointer, ABSENT)
        if before != after:
            yield ValueChange(pointer=pointer, before=before, after=after)
