"""The document in the making: sections as plain values, a comment for each entry, and what could not be carried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ordain.transforms.errors import Problem, Severity, Where

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]
"""A value of a document as it is written: strings mean strings, whatever they look like."""

MAX_BYTES = 4 << 20
"""No more than a file of documents may have: it would have to come back as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file to import. ``path`` is how it is named in problems and comments."""

    path: str
    data: bytes

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The name of the directory it lies in."""
        return self.path.rpartition("/")[0].rpartition("/")[2]

    @property
    def stem(self) -> str:
        """Its name without the suffix."""
        return self.name.rpartition(".")[0] or self.name


@dataclass(slots=True)
class Imported:
    """``sections[SECTION][NAME]`` is an entry from ``wheres[SECTION, NAME]``; ``comments`` stand above it."""

    sections: dict[str, dict[str, Plain]] = field(default_factory=dict)
    comments: dict[tuple[str, str], str] = field(default_factory=dict)
    wheres: dict[tuple[str, str], Where] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def put(self, section: str, name: str, entry: Plain, where: Where, *, comment: str = "") -> None:
        """One more entry. A second one of a name is not carried."""
        entries = self.sections.setdefault(section, {})
        if name in entries:
            self.lost(where, f"{section}/{name} is there already, from {self.wheres[section, name]}", "import it alone")
            return
        entries[name] = entry
        self.comments[section, name] = comment or str(where)
        self.wheres[section, name] = where

    def lost(self, where: Where, what: str, hint: str = "") -> None:
        """Something is not carried: ``hint`` says what to do instead."""
        self.problems.append(Problem(where=where, what=what, hint=hint, code="NotCarried", severity=Severity.WARNING))

    def text(self, source: Source) -> str | None:
        """The text of ``source``; what is none is a problem."""
        if len(source.data) > MAX_BYTES:
            what = f"{len(source.data):,} bytes; {MAX_BYTES:,} at most are read"
            self.lost(Where(path=source.path), what, "split it")
            return None
        try:
            return source.data.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            where = Where(path=source.path, line=source.data.count(b"\n", 0, error.start) + 1)
            what = f"the byte 0x{source.data[error.start]:02x} is no UTF-8"
            self.lost(where, what, "save the file as UTF-8")
            return None

    def mapping(self, section: str) -> Mapping[str, Plain]:
        """The entries of a section."""
        return self.sections.get(section, {})
