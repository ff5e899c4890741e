"""What a change of documents would do on machines that report: which of them it touches, and which values; pure.

It resolves for the facts that the machines reported. What becomes of a value there (units, jobs, what is not
installed) only the machine itself can tell: `ordainctl plan`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ordain.agent.delivery.fleet.report import MachineReport
from ordain.transforms.document.plain_data import plain
from ordain.transforms.errors import Problem, Refused
from ordain.transforms.model import Document, Facts
from ordain.transforms.resolve.resolve import resolve

Values = Mapping[str, object]
ABSENT = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueChange:
    """A value of the resolved document that would be another; `ABSENT`: there is none."""

    pointer: str
    before: object
    after: object


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewGroup:
    """What machines would see of a change; all of ``machines`` the same. ``problems`` refuse the change there."""

    machines: tuple[str, ...]
    values: tuple[ValueChange, ...]
    problems: tuple[Problem, ...] = ()


def preview_change(
    before: Sequence[Document], after: Sequence[Document], reports: Iterable[MachineReport], shared: Mapping[str, str]
) -> tuple[PreviewGroup, ...]:
    """The machines that a change touches, those with the same effect together, the largest group first."""
    groups: dict[tuple[tuple[ValueChange, ...], tuple[Problem, ...]], list[str]] = {}
    for report in reports:
        if report.facts is None:
            continue
        old, known = _resolved(before, report.facts, shared)
        new, found = _resolved(after, report.facts, shared)
        problems = tuple(problem for problem in found if problem not in known)
        values = () if found else tuple(_differences(old, new))
        if values or problems:
            groups.setdefault((values, problems), []).append(report.hostname or report.machine)
    touched = [
        PreviewGroup(machines=tuple(sorted(machines)), values=values, problems=problems)
        for (values, problems), machines in groups.items()
    ]
    return tuple(sorted(touched, key=lambda effect: (-len(effect.machines), effect.machines)))


def _resolved(
    documents: Sequence[Document], facts: Facts, shared: Mapping[str, str]
) -> tuple[Values, tuple[Problem, ...]]:
    try:
        resolved, _ = resolve(documents, facts, shared)
    except Refused as refused:
        return {}, refused.problems
    return dict(_flat(plain(resolved.tree), "")), ()


def _flat(value: object, pointer: str) -> Iterator[tuple[str, object]]:
    """The leaves of JSON data. A template stands for itself."""
    if isinstance(value, dict) and value and set(value) != {"template"}:
        for name, child in value.items():
            yield from _flat(child, f"{pointer}/{name}".lstrip("/"))
    elif pointer:
        yield pointer, _frozen(value)


def _frozen(value: object) -> object:
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return tuple((name, _frozen(child)) for name, child in sorted(value.items()))
    return value


def _differences(old: Values, new: Values) -> Iterator[ValueChange]:
    for pointer in sorted(old.keys() | new.keys()):
        before, after = old.get(pointer, ABSENT), new.get(pointer, ABSENT)
        if before != after:
            yield ValueChange(pointer=pointer, before=before, after=after)
