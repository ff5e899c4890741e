"""The assignments of unit files with their places. Lines that systemd would skip are problems, not skipped silently.

`systemd.unit_file` reads the lines. This module adds what only an import needs: places, and a check that a document
can hold the assignment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ordain.transforms.errors import Where
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.render.unit_draft import ADD_ONLY
from ordain.transforms.systemd import directives, encode, unit_file, unit_name
from ordain.transforms.systemd.unit_file import Skipped

Place = tuple[str, str]
"""Section and key."""

EMPTY_IS_A_VALUE = frozenset({"CapabilityBoundingSet", "Delegate"})
"""Keys whose empty value is not their default: no capabilities, no controllers (systemd.exec(5))."""
_FAMILIES: tuple[Place, ...] = (
    ("Unit", "Condition.*"),
    ("Unit", "Assert.*"),
    ("Socket", "Listen.*"),
    ("Timer", "On(Active|Boot|Startup|UnitActive|UnitInactive)Sec|OnCalendar"),
    ("Path", "Path.*|DirectoryNotEmpty"),
)
"""Sections and patterns of keys that are one list: an empty one resets all (systemd.unit(5), .socket(5), .timer(5))."""
_KEY = lazy_pattern(r"[A-Za-z0-9-]+")
_NEWEST = 999
_SKIPPED = {
    Skipped.OPEN_SECTION: ("is not a section header, and systemd does not read the lines below it", "add the ]"),
    Skipped.NO_ASSIGNMENT: ("is not an assignment, and systemd skips it", "remove the line"),
    Skipped.NO_SECTION: ("is above the first section, and systemd skips it", "add a section such as [Service] above"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One assignment; ``value`` is in systemd's syntax, and ``""`` resets the key."""

    where: Where
    section: str
    key: str
    value: str

    @property
    def place(self) -> Place:
        """Return section and key."""
        return self.section, self.key


Settings = Mapping[Place, tuple[Assignment, ...]]
"""The assignments of each (section, key), in order."""


def read(unit: str, file: InputFile, draft: DocumentDraft) -> tuple[Assignment, ...]:
    """Return the assignments of a unit file or drop-in of ``unit`` that a document can hold."""
    return tuple(assignment for assignment in assignments(file, draft) if is_convertible(unit, assignment, draft))


def assignments(file: InputFile, draft: DocumentDraft) -> Iterator[Assignment]:
    """Yield every assignment of a file in the syntax of unit files, whether systemd knows its key or not."""
    for line, content, text in unit_file.read_lines(draft.text(file) or ""):
        where = Where(path=file.path, line=line)
        if isinstance(content, Skipped):
            what, hint = _SKIPPED[content]
            draft.not_converted(where, f"{_short(text)} {what}", hint)
        else:
            section, key, value = content
            yield Assignment(where=where, section=section, key=key, value=value)


def is_convertible(unit: str, assignment: Assignment, draft: DocumentDraft) -> bool:
    """Return whether a document can hold ``one`` for ``unit``; else add the problem."""
    if problem := _problem(unit, assignment.section, assignment.key, assignment.value):
        draft.not_converted(assignment.where, *problem)
    return problem is None


def _short(content: str) -> str:
    return repr(content if len(content) <= 40 else f"{content[:40]}…")


def _problem(unit: str, section: str, key: str, value: str) -> tuple[str, str] | None:
    """Return why a document cannot hold an assignment, and the remedy; None if it can."""
    if not _KEY.fullmatch(key) or not _KEY.fullmatch(section):
        return f"[{_short(section)[1:-1]}] {_short(key)[1:-1]}= is not the name of a setting", "remove the line"
    if directives.is_private(section, key):
        return None if "\\" not in value[-1:] else (f"{key}= ends in a backslash", "remove it")
    kind = unit_name.unit_type(unit)
    if section not in directives.SECTIONS[kind]:
        known = ", ".join(directives.SECTIONS[kind])
        return f"a {kind} has no section [{section}], so that systemd ignores {key}=", f"its sections are {known}"
    if directives.lookup(section, key) is None:
        finding = directives.check(section, key, _NEWEST)
        return f"no version of systemd knows {key}= in [{section}]", finding.hint if finding else ""
    if section == "Install":
        return None
    try:
        encode.encode_raw(section, key, value)
    except encode.EncodeError as error:
        return f"{key}=: {error.what}", error.hint or "systemd ignores it, too"
    return None


def effective_settings(assignments: Iterable[Assignment]) -> Settings:
    """Return the assignments of a whole unit without those that an empty one resets."""
    settings: dict[Place, list[Assignment]] = {}
    for assignment in assignments:
        if assignment.value:
            settings.setdefault(assignment.place, []).append(assignment)
        elif assignment.key not in ADD_ONLY:
            for place in [place for place in settings if _resets(assignment.place, place)]:
                del settings[place]
            if assignment.key in EMPTY_IS_A_VALUE:
                settings[assignment.place] = [assignment]
    return {place: tuple(of_place) for place, of_place in settings.items()}


def _resets(empty: Place, place: Place) -> bool:
    """Return whether the empty assignment resets ``place``: it is of the same key, or of the same family of keys."""
    return empty == place or any(_is_in(empty, family) and _is_in(place, family) for family in _FAMILIES)


def _is_in(place: Place, family: Place) -> bool:
    return place[0] == family[0] and re.fullmatch(family[1], place[1]) is not None


def all_settings(assignments: Iterable[Assignment]) -> Settings:
    """Return the assignments of drop-ins for a unit of the distribution, with those that reset."""
    settings: dict[Place, list[Assignment]] = {}
    for assignment in assignments:
        settings.setdefault(assignment.place, []).append(assignment)
    return {place: tuple(of_place) for place, of_place in settings.items()}
