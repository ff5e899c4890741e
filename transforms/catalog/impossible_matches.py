"""Warnings about conditions of a `match` that no machine fulfils, as far as that is certain without one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from ordain.transforms.catalog.known_systems import known_systems
from ordain.transforms.document.formats import fact_table
from ordain.transforms.document.formats.conditions import ARCHITECTURES, FACTS, FIRMWARES, RANGES, ROOTS, is_empty_range
from ordain.transforms.errors import Problem, Severity, did_you_mean
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.model import Document, Kind, MatchCondition
from ordain.transforms.systemd.machine_words import ALIKE, VIRTUAL, VIRTUAL_ALIKE, VIRTUALIZATIONS

CLOSE = 0.8
"""The similarity of a misspelt name; `archarm` and `ubuntu-core` are systems of their own."""


def impossible_conditions(documents: Iterable[Document]) -> Iterator[Problem]:
    """Yield a warning for each value in a ``match`` that no machine has, as far as that is certain without one.

    Architectures, types of virtualization and of root are closed lists, and addresses have a form. Systems and labels
    are not, so only a name that nearly is that of a known system, a fact, or a label that a Node among ``documents``
    sets, is taken for a misspelling.
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
            elif name not in labels and fact_table.is_further_fact(name):
                for value in condition.values:
                    if value and (fault := fact_table.value_error(name, value)):
                        hint = f"write {name}: {fact_table.FACT_TABLE[name].example!r}, or set a label {name}"
                        yield _problem(condition, f"{fault}, and no Node sets a label {name}", hint)
            elif wrong := _wrong_label(name, condition, labels):
                yield _problem(condition, *wrong)
        if document.kind is not Kind.RUN and (excluded := _excluded_system(document.match)):
            yield _problem(*excluded)


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
    if name == "virtualization" and value not in VIRTUALIZATIONS:
        hint = "" if value in VIRTUAL else did_you_mean(value, VIRTUALIZATIONS)
        hint = f"write {name}: {VIRTUAL_ALIKE[value]}" if value in VIRTUAL_ALIKE else hint
        what = f'"{value}" is not a word of systemd-detect-virt'
        return what, hint or "`systemd-detect-virt --list` shows the known ones"
    if name in RANGES and is_empty_range(value):
        return (
            f'no version is in the range "{value}"',
            "all terms of a range have to hold: write a list for either of two",
        )
    return _wrong_form(name, value)


def _wrong_form(name: str, value: str) -> tuple[str, str] | None:
    """Return the fault of a value that does not have the form of its fact, and the remedy."""
    for of_fact, form, kind, hint in _FORMS:
        if name == of_fact and not form.fullmatch(value):
            return f'"{value}" is not {kind}', hint
    return None


_FORMS = (
    ("hostname", lazy_pattern(r"[A-Za-z0-9.*?\[\]!-]+"), "a host name",
     "write letters, digits, - and .; * matches any"),
    ("machine-id", lazy_pattern(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"), "a machine ID",
     "write the 32 digits of /etc/machine-id"),
    ("mac", lazy_pattern(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5,}"), "a MAC address",
     "write all six bytes, such as 52:54:00:12:34:56"),
)  # fmt: skip
"""Fact, form of its values, the word for it, and the remedy. `resolve.match` compares without regard to some of it."""


def _excluded_system(match: Mapping[str, MatchCondition]) -> tuple[MatchCondition, str, str] | None:
    """Return the condition ``id`` that no system of ``os`` fulfils, with the fault and the remedy."""
    if not {"id", "os"} <= match.keys() or match["id"].negated or match["os"].negated:
        return None
    ids, names = set(match["id"].values), set(match["os"].values)
    if not ids <= _system_ids() or not names <= _system_names():
        return None  # a system that Ordain does not know may be like any other
    rows = [row for row in known_systems().values() if row["id"] in ids]
    if any({row["id"], *row["like"]} & names for row in rows):
        return None
    one, other = (" or ".join(sorted(map(str, words))) for words in (ids, names))
    return match["id"], f"no system with the ID {one} is {other}, or like it", "remove one of the two"


def _wrong_label(name: str, condition: MatchCondition, labels: Mapping[str, Collection[str]]) -> tuple[str, str] | None:
    """Return the fault of a label, and the remedy, if it is surely misspelt."""
    if name not in labels:
        hint = did_you_mean(name, {*FACTS, *fact_table.FACT_TABLE, *labels}, CLOSE)
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
