"""The preview of a change of documents: the machines that it affects, and the values that change on them.

The documents are resolved for the facts that the machines reported. Only the machine itself can tell the effect of a
value there (units, jobs, programs that are not installed): see `ordainctl plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ordain.agent.delivery.fleet.report import MachineReport
from ordain.transforms.document.text.plain_data import plain
from ordain.transforms.errors import Problem, Refused
from ordain.transforms.model import Document, Facts
from ordain.transforms.netboot.boot_target import SECTION, merge_netboot, netboot_documents
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
    after_at_netboot = netboot_documents(after)
    groups: dict[tuple[tuple[ValueChange, ...], tuple[Problem, ...]], list[str]] = {}
    compared = (
        (before, before_at_netboot, report)
        for before, reports in changes
        for before_at_netboot in (netboot_documents(before),)
        for report in reports
    )
    for before, before_at_netboot, report in compared:
        if report.facts is None:
            continue
        old_values, old_problems = _resolved(before, before_at_netboot, report.facts, shared)
        new_values, new_problems = _resolved(after, after_at_netboot, report.facts, shared)
        problems = tuple(problem for problem in new_problems if problem not in old_problems)
        values = () if new_problems else tuple(_differences(old_values, new_values))
        if values or problems:
            groups.setdefault((values, problems), []).append(report.hostname or report.machine)
    affected = [
        PreviewGroup(machines=tuple(sorted(machines)), values=values, problems=problems)
        for (values, problems), machines in groups.items()
    ]
    return tuple(sorted(affected, key=lambda group: (-len(group.machines), group.machines)))


def _resolved(
    documents: Sequence[Document], at_netboot: Sequence[Document], facts: Facts, shared: Mapping[str, str]
) -> tuple[Values, tuple[Problem, ...]]:
    """Return the values of a machine: those of its next boot from the network follow from fewer facts."""
    try:
        running, _ = resolve(documents, facts, shared)
        booting, _ = merge_netboot(at_netboot, facts)
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
