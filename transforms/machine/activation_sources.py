"""The units that D-Bus starts for a name, and those that udev starts for a device.

    root/usr/share/dbus-1/system-services, root/usr/lib/udev/rules.d ──▶ unit → ActivationSource

No link starts these units, so to hold back a link does not prevent their start. Sources: dbus-daemon(1),
"SystemdService"; systemd.device(5), "SYSTEMD_WANTS=".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine import rootfs
from ordain.transforms.model import ActivationSource

SERVICES = (
    "etc/dbus-1/system-services",
    "usr/local/share/dbus-1/system-services",
    "usr/share/dbus-1/system-services",
    "lib/dbus-1/system-services",
)
RULES = ("etc/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d", "lib/udev/rules.d")
"""The directories in their order: of two files with one name, the first counts."""
_NAME = lazy_pattern(r"^Name\s*=\s*(\S+)", re.MULTILINE)
_UNIT = lazy_pattern(r"^SystemdService\s*=\s*(\S+)", re.MULTILINE)
_WANTS = lazy_pattern(r'^[^#\n]*ENV\{SYSTEMD_WANTS\}\s*\+?=\s*"([^"\n]*)"', re.MULTILINE)
_INSTANCE = lazy_pattern(r"@.*(?=\.)")


def read_activation_sources(root: Path) -> Mapping[str, tuple[ActivationSource, ...]]:
    """Return the sources by unit; instances count under the name of their template."""
    by_unit: dict[str, list[ActivationSource]] = {}
    for unit, source in (*_by_bus(root), *_by_devices(root)):
        by_unit.setdefault(unit, []).append(source)
    return {unit: tuple(dict.fromkeys(sources)) for unit, sources in sorted(by_unit.items())}


def _by_bus(root: Path) -> Iterator[tuple[str, ActivationSource]]:
    for path, text in _files(root, SERVICES, ".service"):
        if (unit := _UNIT.search(text)) and (name := _NAME.search(text)):
            yield unit[1], ActivationSource(bus_name=name[1], path=path)


def _by_devices(root: Path) -> Iterator[tuple[str, ActivationSource]]:
    for path, text in _files(root, RULES, ".rules"):
        for match in _WANTS.finditer(text):
            for word in match[1].split():
                yield _INSTANCE.sub("@", word), ActivationSource(path=path)


def _files(root: Path, directories: Sequence[str], suffix: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of the files that count; a link to /dev/null masks files of its name, and has no text."""
    seen: set[str] = set()
    for directory in directories:
        for name in rootfs.names(root, directory):
            if not name.endswith(suffix) or name in seen:
                continue
            seen.add(name)
            try:
                data = rootfs.read(root, f"{directory}/{name}") or b""
            except OSError:
                continue
            yield f"/{directory}/{name}", data.decode("utf-8", "replace")
