"""The draft of the document that an import makes: entries with comments, and problems with the rest of the input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ordain.transforms.decimal_numbers import is_decimal
from ordain.transforms.document.text.node import Node
from ordain.transforms.errors import NOWHERE, Problem, Where, warning

Plain = str | int | float | bool | None | list["Plain"] | dict[str, "Plain"]
"""A value of a document as it is written. A string is a string, even if it looks like a number."""

NOT_CONVERTED = "NotCarried"
"""The code of the problem that a part of the input is not in the document."""
MAX_BYTES = 4 << 20
"""The largest file, which is that of a file of documents: the import of a larger one could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """A file to import; problems and comments name it by ``path``."""

    path: str
    data: bytes

    @property
    def name(self) -> str:
        """Return the last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """Return the name of the directory that holds the file."""
        return self.path.rpartition("/")[0].rpartition("/")[2]

    @property
    def stem(self) -> str:
        """Return the name without the suffix."""
        return self.name.rpartition(".")[0] or self.name


@dataclass(slots=True)
class DocumentDraft:
    """Entries by section and name; ``places`` are where they come from, ``comments`` are printed above them.

    ``nodes`` has the input of entries that keep its keys, with the place of each value.
    """

    sections: dict[str, dict[str, Plain]] = field(default_factory=dict)
    comments: dict[tuple[str, str], str] = field(default_factory=dict)
    places: dict[tuple[str, str], Where] = field(default_factory=dict)
    nodes: dict[tuple[str, str], Node] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(
        self, section: str, name: str, entry: Plain, where: Where, *, comment: str = "", last_wins: bool = False
    ) -> None:
        """Add an entry. A second one of the same name is a problem, or takes its place if the last one wins."""
        entries = self.sections.setdefault(section, {})
        if name in entries and last_wins:
            what = f"{section}/{name} comes from {where}, too, and the last one is used"
            self.not_converted(self.places[section, name], what, "remove one of them")
            del entries[name]
        elif name in entries:
            first = self.places[section, name]
            hint = "remove one of them" if first.path == where.path else "import this file alone"
            self.not_converted(where, f"{section}/{name} comes from {first} already", hint)
            return
        entries[name] = entry
        self.comments[section, name] = comment or str(where)
        self.places[section, name] = where

    def place(self, section: str, name: str, steps: Iterable[str]) -> Where:
        """Return the place of the value that ``steps`` lead to in an entry, as far as it is known."""
        where, node = self.places.get((section, name), NOWHERE), self.nodes.get((section, name))
        for step in steps:
            inner: object = None
            if node and isinstance(node.value, Mapping):
                inner = node.value.get(step)
            elif node and isinstance(node.value, tuple) and is_decimal(step):
                inner = node.value[int(step)]
            if not isinstance(inner, Node):
                break
            node, where = inner, inner.where
        return where

    def not_converted(self, where: Where, what: str, hint: str = "") -> None:
        """Add the problem that something is not converted; ``hint`` says what to do instead."""
        self.problems.append(warning("", where, what, hint, NOT_CONVERTED))

    def text(self, file: InputFile) -> str | None:
        """Return the text of ``file``, None if it is too large or not UTF-8, which is a problem."""
        if len(file.data) > MAX_BYTES:
            what = f"the file has {len(file.data):,} bytes, more than {MAX_BYTES:,}"
            self.not_converted(Where(path=file.path), what, "split it")
            return None
        try:
            return file.data.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            where = Where(path=file.path, line=file.data.count(b"\n", 0, error.start) + 1)
            what = f"the byte 0x{file.data[error.start]:02x} is not UTF-8"
            self.not_converted(where, what, "save the file as UTF-8")
            return None

    def entries(self, section: str) -> Mapping[str, Plain]:
        """Return the entries of a section by name."""
        return self.sections.get(section, {})
