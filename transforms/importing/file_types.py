"""The types of file that can be imported: how to recognize each, and the function that converts it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from ordain.transforms.catalog.names import Names
from ordain.transforms.errors import Where
from ordain.transforms.importing import cloud_config, fstab, ignition, kernel_files, network_config
from ordain.transforms.importing.containers import compose, quadlet
from ordain.transforms.importing.draft.document_draft import DocumentDraft, InputFile
from ordain.transforms.importing.units import unit_files
from ordain.transforms.lazy_patterns import lazy_pattern


class FileType(StrEnum):
    """The types of file; the values are those of the option --from."""

    UNITS = "units"
    CLOUD = "cloud-config"
    NETPLAN = "netplan"
    QUADLET = "quadlet"
    COMPOSE = "compose"
    FSTAB = "fstab"
    SYSCTL = "sysctl"
    MODULES = "modules"
    IGNITION = "ignition"


CLOUD_NAMES = frozenset({"user-data", "vendor-data", "network-config", "cloud.cfg"})
COMPOSE_NAME = lazy_pattern(r"(docker-)?compose([.-][\w.-]+)?\.ya?ml")
QUADLET_SECTIONS = frozenset({"Network", "Unit", "Install", "Service", "Quadlet"})
"""Sections of a quadlet called NAME.network; those of systemd-networkd have others, too."""

_DEVICES = "write its devices under `network`; docs/howto/network-changes.md has the safe way to apply them"
_FILES = "write the file under `files`"
OTHERS = (
    (r"(.*/)?cron\.(hourly|daily|weekly|monthly)/.*", "a script of cron", "write a service with `schedule`"),
    (r".*\.(network|netdev|link)(\.d/.*\.conf)?", "a file of systemd-networkd", _DEVICES),
    (r".*\.nmconnection|(.*/)?system-connections/.*", "a profile of NetworkManager", _DEVICES),
    (r"(.*/)?(network/)?interfaces(\.d/.*)?", "a file of ifupdown", _DEVICES),
    (r"(.*/)?tmpfiles\.d/.*\.conf", "a file of systemd-tmpfiles", "write `files`, or `directories` of a service"),
    (r"(.*/)?sysusers\.d/.*\.conf", "a file of systemd-sysusers", "write `users` and `groups`"),
    (r"(.*/)?modprobe\.d/.*\.conf", "a file of modprobe", "write `modules: {NAME: {options: …}}`, or `blacklist`"),
    (r"(.*/)?(binfmt|environment|systemd/[a-z]+\.conf)\.d/.*\.conf", "a file of systemd", _FILES),
    (
        r".*\.artifact",
        "the quadlet of an artifact",
        "write a service that runs `podman artifact pull`",
    ),
    (r".*\.preset", "a preset of systemd", "write `state` of each service"),
    (r".*\.rules", "rules of udev or polkit", _FILES),
    (
        r"(.*/)?(anacrontab|crontab|cron(\.d|tabs)/.*)",
        "a table of cron",
        "write a service with `schedule` for each line",
    ),
    (r"(.*/)?(hosts|resolv\.conf|sudoers(\.d/.*)?|logrotate\.d/.*)", "a file of the distribution", _FILES),
    (r"(.*/)?meta-data", "the metadata of an instance", "write the host name under `host`"),
)
"""Patterns of paths of files that no converter reads, their description, and the remedy."""
CONTENTS = (
    (rb"(?m)^apiVersion:", "a resource of Kubernetes", "keep it for `podman kube play`, in a service with `command`"),
)
"""Patterns of the beginning of files that no converter reads, their description, and the remedy."""


def type_of(file: InputFile) -> FileType | None:
    """Return the type of ``file`` by its name, or else by its content; None if neither tells."""
    head = file.data[:65536]
    if unit_files.unit_of(file):
        return FileType.UNITS
    if quadlet.quadlet_of(file) and not is_of_networkd(file):
        return FileType.QUADLET
    if file.name == "fstab" or file.name.endswith(".fstab"):
        return FileType.FSTAB
    if file.name == "sysctl.conf" or file.folder == "sysctl.d":
        return FileType.SYSCTL
    if file.path.endswith("/etc/modules") or file.folder == "modules-load.d":
        return FileType.MODULES
    if file.name in CLOUD_NAMES or file.folder == "cloud.cfg.d" or file.data.lstrip().startswith(b"#cloud-config"):
        return FileType.CLOUD
    if other_file(file) or b"ordain:" in head:
        return None
    if ignition.is_ignition(head):
        return FileType.IGNITION
    if COMPOSE_NAME.fullmatch(file.name) or re.search(rb"(?m)^services:", head):
        return FileType.COMPOSE
    return FileType.NETPLAN if re.search(rb"(?m)^network:", head) else None


def is_of_networkd(file: InputFile) -> bool:
    """Return whether a file called NAME.network, or a drop-in of one, is of systemd-networkd, and not a quadlet."""
    sections = re.findall(r"(?m)^\s*\[([A-Za-z0-9-]+)\]", file.data[:65536].decode(errors="replace"))
    folder = "/network/" if quadlet.is_drop_in(file) else f"/{file.folder}/"
    in_folder = folder == "/network/" and folder in f"/{file.path}"
    return quadlet.quadlet_of(file).endswith(".network") and (in_folder or not QUADLET_SECTIONS.issuperset(sections))


def other_file(file: InputFile) -> tuple[str, str] | None:
    """Return the description of a file that no converter reads, and the remedy; None for an unknown file."""
    for pattern, what, hint in OTHERS:
        if re.fullmatch(pattern, file.path):
            return what, hint
    for content, what, hint in CONTENTS:
        if re.search(content, file.data[:65536]):
            return what, hint
    return None


def convert(files: Iterable[InputFile], names: Names, draft: DocumentDraft, file_type: FileType | None = None) -> None:
    """Add the content of ``files`` to ``draft``; without a ``file_type``, find out that of each."""
    by_type: dict[FileType, list[InputFile]] = {}
    for file in files:
        if (its_type := file_type or type_of(file)) is None:
            unknown = (
                "neither name nor content tells the type of the file",
                f"set it with --from: {', '.join(FileType)}",
            )
            draft.not_converted(Where(path=file.path), *(other_file(file) or unknown))
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
    FileType.SYSCTL: kernel_files.convert_sysctl,
    FileType.MODULES: kernel_files.convert_modules,
    FileType.IGNITION: ignition.convert,
}
