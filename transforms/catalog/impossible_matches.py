"""Warnings about conditions of a `match` that no machine fulfils, as far as that is certain without one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from ordain.transforms.catalog.known_systems import known_systems
from ordain.transforms.document.formats.conditions import ARCHITECTURES, FACTS, FIRMWARES, ROOTS
from ordain.transforms.errors import Problem, Severity, did_you_mean
from ordain.transforms.model import Document, Kind, MatchCondition
from ordain.transforms.systemd.machine_words import ALIKE

CLOSE = 0.8
"""The similarity of a misspelt name; `archarm` and `ubuntu-core` are systems of their own."""


def impossible_conditions(documents: Iterable[Document]) -> Iterator[Problem]:
    """Yield a warning for each value in a ``match`` that no machine has, as far as that is certain without one.

    Architectures and types of root are closed lists. Systems and labels are not, so only a name that nearly is that of
    a known system, a fact, or a label that a Node among ``documents`` sets, is taken for a misspelling.
    """
    documents = tuple(documents)
    labels = _node_labels(documents)
    for document in documents:
        # A Run matches on properties of runs, not of machines.
        for name, condition in document.match.items() if document.kind is not Kind.RUN else ():
            if name in FACTS:
                for value in condition.values:
                    if value and (wrong := _wrong_fact(name, value)):
                        yield _problem(condition, *wrong)
            elif wrong := _wrong_label(name, condition, labels):
                yield _problem(condition, *wrong)


def _wrong_fact(name: str, value: str) -> tuple[str, str] | None:
    """Return the fault of a value of a fact, and the remedy; None if a machine may have it."""
    if name in ("os", "id"):
        known = _system_names() if name == "os" else _system_ids()
        if value in known:
            return None
        if row := known_systems().get(value.lower()):
            version = f', version: "{value.rpartition("-")[2]}"' if row.get("version") else ""
            return f'"{value}" is not the ID of a system in os-release', f"write {name}: {row['id']}{version}"
        if value.lower() in known:
            return f'"{value}" is not the ID of a system in os-release', f"write {name}: {value.lower()}"
        hint = did_you_mean(value.lower(), known, CLOSE)
        return (f'no system that Ordain knows has the ID "{value}"', hint) if hint else None
    if name == "arch" and value not in ARCHITECTURES:
        hint = f"write arch: {ALIKE[value]}" if value in ALIKE else did_you_mean(value, ARCHITECTURES)
        return f'"{value}" is not an architecture of systemd', hint or f"known: {', '.join(sorted(ARCHITECTURES))}"
    if name == "root" and value not in ROOTS:
        return f'"{value}" is not a type of root file system', f"known: {', '.join(sorted(ROOTS))}"
    if name == "system-firmware" and value not in FIRMWARES:
        return f'"{value}" is not a type of firmware', f"known: {', '.join(sorted(FIRMWARES))}"
    return None


def _wrong_label(name: str, condition: MatchCondition, labels: Mapping[str, Collection[str]]) -> tuple[str, str] | None:
    """Return the fault of a label, and the remedy, if it is surely misspelt."""
    if name not in labels:
        hint = did_you_mean(name, {*FACTS, *labels}, CLOSE)
        return (f"{name} is not a fact, and no Node sets a label of that name", hint) if hint else None
    for value in condition.values:
        if value and value not in labels[name] and (hint := did_you_mean(value, labels[name], CLOSE)):
            return f'no Node sets the label {name} to "{value}"', hint
    return None


def _problem(condition: MatchCondition, what: str, hint: str) -> Problem:
    return Problem(where=condition.where, what=what, hint=hint, code="NeverMatches", severity=Severity.WARNING)


def _node_labels(documents: Iterable[Document]) -> Mapping[str, Collection[str]]:
    labels: dict[str, set[str]] = {}
    for document in documents:
        for name, values in document.labels.items() if document.kind is Kind.NODE else ():
            labels.setdefault(name, set()).update(values)
    return labels


def _system_ids() -> frozenset[str]:
    return frozenset(str(row["id"]) for row in known_systems().values())


def _system_names() -> frozenset[str]:
    return _system_ids() | frozenset(str(name) for row in known_systems().values() for name in row["like"])
