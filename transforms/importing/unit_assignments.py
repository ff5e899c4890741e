"""The assignments of unit files with their places. Lines that systemd would skip are problems, not skipped silently.

`systemd.unit_file` reads the lines. This module adds what only an import needs: places, and a check that a document
can hold the assignment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ordain.transforms.errors import Where
from ordain.transforms.importing.document_draft import DocumentDraft, InputFile
from ordain.transforms.render.unit_draft import ADD_ONLY
from ordain.transforms.systemd import directives, encode, unit_file, unit_name
from ordain.transforms.systemd.unit_file import Skipped

EMPTY_IS_A_VALUE = frozenset({"CapabilityBoundingSet", "Delegate"})
"""Keys whose empty value is not their default: no capabilities, no controllers (systemd.exec(5))."""
_KEY = re.compile(r"[A-Za-z0-9-]+")
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


Settings = Mapping[tuple[str, str], tuple[Assignment, ...]]
"""The assignments of each (section, key), in order."""


def read(unit: str, file: InputFile, draft: DocumentDraft) -> tuple[Assignment, ...]:
    """Return the assignments of a unit file or drop-in of ``unit`` that a document can hold."""
    return tuple(one for one in assignments(file, draft) if is_convertible(unit, one, draft))


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


def is_convertible(unit: str, one: Assignment, draft: DocumentDraft) -> bool:
    """Return whether a document can hold ``one`` for ``unit``; else add the problem."""
    if problem := _problem(unit, one.section, one.key, one.value):
        draft.not_converted(one.where, *problem)
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
    """Return the assignments of a whole unit without those that an empty one resets.

    An empty Condition…= resets all conditions, an empty Assert…= all assertions (systemd.unit(5)).
    """
    settings: dict[tuple[str, str], list[Assignment]] = {}
    for one in assignments:
        if one.value:
            settings.setdefault((one.section, one.key), []).append(one)
        elif one.key not in ADD_ONLY:
            family = next((f for f in ("Condition", "Assert") if one.section == "Unit" and one.key.startswith(f)), "")
            for place in list(settings):
                if place == (one.section, one.key) or (family and place[0] == "Unit" and place[1].startswith(family)):
                    del settings[place]
            if one.key in EMPTY_IS_A_VALUE:
                settings[one.section, one.key] = [one]
    return {place: tuple(ones) for place, ones in settings.items()}


def all_settings(assignments: Iterable[Assignment]) -> Settings:
    """Return the assignments of drop-ins for a unit of the distribution, with those that reset."""
    settings: dict[tuple[str, str], list[Assignment]] = {}
    for one in assignments:
        settings.setdefault((one.section, one.key), []).append(one)
    return {place: tuple(ones) for place, ones in settings.items()}
