"""The types of file that can be imported: how to recognize each, and the function that converts it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Where
from ordain.transforms.importing import cloud_config, compose, fstab, network_config, quadlet, unit_files
from ordain.transforms.importing.document_draft import DocumentDraft, InputFile


class FileType(StrEnum):
    """The types of file; the values are those of the option --from."""

    UNITS = "units"
    CLOUD = "cloud-config"
    QUADLET = "quadlet"
    COMPOSE = "compose"
    FSTAB = "fstab"
    NETPLAN = "netplan"


CLOUD_NAMES = frozenset({"user-data", "vendor-data", "network-config"})
COMPOSE_NAME = re.compile(r"(docker-)?compose([.-][\w.-]+)?\.ya?ml")


def type_of(file: InputFile) -> FileType | None:
    """Return the type of ``file`` by its name, or else by its content; None if neither tells."""
    if unit_files.unit_of(file):
        return FileType.UNITS
    if quadlet.quadlet_of(file):
        return FileType.QUADLET
    if file.name == "fstab" or file.name.endswith(".fstab"):
        return FileType.FSTAB
    if file.name in CLOUD_NAMES or file.data.lstrip().startswith(b"#cloud-config"):
        return FileType.CLOUD
    head = file.data[:65536]
    if COMPOSE_NAME.fullmatch(file.name) or (re.search(rb"(?m)^services:", head) and b"ordain:" not in head):
        return FileType.COMPOSE
    if re.search(rb"(?m)^network:", head) and b"ordain:" not in head:
        return FileType.NETPLAN
    return None


def convert(files: Iterable[InputFile], names: Names, draft: DocumentDraft, file_type: FileType | None = None) -> None:
    """Add the content of ``files`` to ``draft``; without a ``file_type``, find out that of each."""
    by_type: dict[FileType, list[InputFile]] = {}
    for file in files:
        if (its_type := file_type or type_of(file)) is None:
            what = "neither name nor content tells the type of the file"
            draft.not_converted(Where(path=file.path), what, f"set it with --from: {', '.join(FileType)}")
        else:
            by_type.setdefault(its_type, []).append(file)
    for its_type, of_type in by_type.items():
        CONVERTERS[its_type](of_type, names, draft)


def _convert_units(files: Iterable[InputFile], names: Names, draft: DocumentDraft) -> None:
    named = []
    for file in files:
        if unit_files.unit_of(file):
            named.append(file)
        else:
            what, hint = (
                "the name of the file is not that of a unit",
                "rename it to NAME.service, or NAME.service.d/….conf",
            )
            draft.not_converted(Where(path=file.path), what, hint)
    unit_files.convert(unit_files.read_units(named, draft), names, draft)


CONVERTERS: Mapping[FileType, Callable[[Iterable[InputFile], Names, DocumentDraft], None]] = {
    FileType.UNITS: _convert_units,
    FileType.CLOUD: cloud_config.convert,
    FileType.QUADLET: quadlet.convert,
    FileType.COMPOSE: compose.convert,
    FileType.FSTAB: fstab.convert,
    FileType.NETPLAN: network_config.convert,
}
