"""Files of sysctl.d(5) and modules-load.d(5) as the sections ``sysctl`` and ``modules``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Where
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile


def convert_sysctl(files: Iterable[InputFile], names: Names, draft: DocumentDraft) -> None:
    """Add every parameter of ``files``. Of several values the last one is used, in the order of the files' names."""
    for where, line in _lines(files, draft):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            what = f"{name}: systemd-sysctl leaves the parameter out of globs" if name.startswith("-") else repr(line)
            draft.not_converted(where, what, "write PARAMETER = VALUE")
            continue
        if name.startswith("-"):
            name = name.removeprefix("-")
            hint = "match the layer on the machines that have it"
            draft.not_converted(where, f"the - of {name}, with which an error does not count", hint)
        # A slash separates the parts if it comes first, and dots are then those of an interface (sysctl.d(5)).
        first = next((char for char in name if char in "./"), ".")
        known = name if first == "." or "." in name else name.replace("/", ".")
        draft.add("sysctl", known, value, where, last_wins=True)


def convert_modules(files: Iterable[InputFile], names: Names, draft: DocumentDraft) -> None:
    """Add every module of ``files``."""
    for where, line in _lines(files, draft):
        name, *options = line.split()
        if options:  # of /etc/modules before Debian 8
            draft.not_converted(where, f"options of {name}, which systemd-modules-load does not read", "remove them")
        if name not in draft.entries("modules"):
            draft.add("modules", name, {}, where)


def _lines(files: Iterable[InputFile], draft: DocumentDraft) -> Iterator[tuple[Where, str]]:
    for file in sorted(files, key=lambda file: file.name):
        for number, line in enumerate((draft.text(file) or "").split("\n"), 1):
            if line.strip() and line.strip()[0] not in "#;":
                yield Where(path=file.path, line=number), line.strip()
