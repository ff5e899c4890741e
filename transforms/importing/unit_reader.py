"""Unit files → assignments with their places; what systemd would skip in silence is said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ordain.transforms.errors import Where
from ordain.transforms.importing.draft import Imported, Source
from ordain.transforms.systemd import directives, encode, unit_file, unit_name

_KEY = re.compile(r"[A-Za-z0-9-]+")
DEPENDENCIES = frozenset(
    "After Before Requires Requisite Wants BindsTo PartOf Upholds Conflicts OnFailure OnSuccess".split()
)
"""Keys that an empty assignment does not reset (systemd.unit(5))."""
EMPTY_IS_A_VALUE = frozenset({"CapabilityBoundingSet", "Delegate"})
"""Keys whose empty assignment is not the default: no capabilities, delegation of no controllers (systemd.exec(5))."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """``value`` is text in systemd's syntax; "" resets."""

    where: Where
    section: str
    key: str
    value: str


Settings = Mapping[tuple[str, str], tuple[Assignment, ...]]
"""The assignments of each (section, key), in order."""


def read(unit: str, source: Source, imported: Imported) -> tuple[Assignment, ...]:
    """The assignments of a unit file or drop-in of ``unit`` that a document can hold."""
    return tuple(one for one in assignments(source, imported) if holds(unit, one, imported))


def assignments(source: Source, imported: Imported) -> Iterator[Assignment]:
    """Every assignment of a file in the syntax of unit files, whatever it means."""
    section = ""
    for line, content in unit_file.logical_lines(imported.text(source) or ""):
        where = Where(path=source.path, line=line)
        if content.startswith("["):
            if not content.endswith("]") or len(content) < 2:
                imported.lost(where, f"{_shown(content)} is no section header; systemd reads no further", "close it: ]")
                return
            section = content[1:-1]
            continue
        key, equals, value = (part.strip(unit_file.BLANKS) for part in content.partition("="))
        if not equals or not key:
            imported.lost(where, f"{_shown(content)} is no assignment", "remove the line; systemd skips it")
        elif not section:
            imported.lost(
                where, f"{_shown(content)} stands before any section", "put a section such as [Service] above"
            )
        else:
            yield Assignment(where=where, section=section, key=key, value=value)


def holds(unit: str, one: Assignment, imported: Imported) -> bool:
    """Whether a document can hold ``one`` for ``unit``; says so if not."""
    fault = _fault(unit, one.section, one.key, one.value)
    if fault:
        imported.lost(one.where, *fault)
    return fault is None


def _shown(content: str) -> str:
    return repr(content if len(content) <= 40 else f"{content[:40]}…")


def _fault(unit: str, section: str, key: str, value: str) -> tuple[str, str] | None:
    """Why an assignment cannot stand in a document: what, and what to do."""
    if not _KEY.fullmatch(key) or not _KEY.fullmatch(section):
        return f"[{_shown(section)[1:-1]}] {_shown(key)[1:-1]}= is no name of a setting", "remove the line"
    if directives.is_private(section, key):
        return None if "\\" not in value[-1:] else (f"{key}= ends in a backslash", "remove it")
    kind = unit_name.unit_type(unit)
    if section not in directives.SECTIONS[kind]:
        known = ", ".join(directives.SECTIONS[kind])
        return f"a {kind} has no section [{section}], so systemd ignores {key}=", f"its sections are {known}"
    if directives.lookup(section, key) is None:
        finding = directives.check(section, key, 999)
        return f"no systemd knows [{section}] {key}=", finding.hint if finding else ""
    if section == "Install":
        return None
    try:
        encode.encode_raw(section, key, value)
    except encode.EncodeError as error:
        return f"{key}=: {error.what}", error.hint or "systemd ignores it, too"
    return None


def effective(assignments: Iterable[Assignment]) -> Settings:
    """What is in force of the assignments of a whole unit: an empty one takes back those before it.

    An empty Condition…= takes back every condition, an empty Assert…= every assertion (systemd.unit(5)).
    """
    found: dict[tuple[str, str], list[Assignment]] = {}
    for one in assignments:
        if one.value:
            found.setdefault((one.section, one.key), []).append(one)
        elif one.key not in DEPENDENCIES:
            family = next((f for f in ("Condition", "Assert") if one.section == "Unit" and one.key.startswith(f)), "")
            for place in list(found):
                if place == (one.section, one.key) or (family and place[0] == "Unit" and place[1].startswith(family)):
                    del found[place]
            if one.key in EMPTY_IS_A_VALUE:
                found[one.section, one.key] = [one]
    return {place: tuple(those) for place, those in found.items()}


def grouped(assignments: Iterable[Assignment]) -> Settings:
    """The assignments of drop-ins for somebody else's unit, resets included."""
    found: dict[tuple[str, str], list[Assignment]] = {}
    for one in assignments:
        found.setdefault((one.section, one.key), []).append(one)
    return {place: tuple(those) for place, those in found.items()}
