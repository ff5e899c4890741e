"""Paths of a unit at which PID 1 would remove, hide or give away something that the machine needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ordain.transforms.forbidden_paths import (
    is_link_everywhere,
    real_path,
    through_link,
    why_not_listened,
    why_not_mounted,
    why_not_owned,
)
from ordain.transforms.systemd.checks.unit_rules import UnitSettings

DIRECTORIES = {
    "RuntimeDirectory": "/run",
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
}
"""The directory in which PID 1 makes those of a service (systemd.exec(5)).

ConfigurationDirectory= is not among them: PID 1 leaves a directory in /etc that exists as it is.
"""
LISTEN_PATHS = ("ListenStream", "ListenSequentialPacket", "ListenDatagram", "ListenFIFO", "Symlinks")


@dataclass(frozen=True, slots=True, kw_only=True)
class VitalPath:
    """A path in the value of ``key``; ``certain``: on every system."""

    key: str
    what: str
    hint: str
    code: str = "Vital"
    certain: bool = True


def vital_paths(unit: UnitSettings) -> Iterator[VitalPath]:
    """Yield the vital paths that a unit names, by whichever of their names."""
    yield from _BY_KIND[unit.kind](unit) if unit.kind in _BY_KIND else ()


def _of_mount(unit: UnitSettings) -> Iterator[VitalPath]:
    path = unit.last("Where") or unit.path
    if not path or "%" in path:
        return
    if why := why_not_mounted(path):
        yield VitalPath(key="Where", what=why, hint="choose another mount point")
    else:
        why, hint = through_link(path)
        if why:
            what = f"PID 1 mounts nothing at {path}, because {why} (systemd.mount(5), Where=)"
            certain = is_link_everywhere(path)
            yield VitalPath(key="Where", what=what, hint=hint, code="NotLoadable", certain=certain)


def _of_socket(unit: UnitSettings) -> Iterator[VitalPath]:
    for key in LISTEN_PATHS:
        for value in unit.values(key):
            for path in value.split():
                if path.startswith("/") and "%" not in path and (why := why_not_listened(path)):
                    what = f"no socket can be at {path}: {why}, and PID 1 would replace it"
                    yield VitalPath(key=key, what=what, hint="choose another path, such as /run/NAME.sock")
                elif real_path(path).startswith("/run/user/"):
                    what = f"systemd mounts the directory of a session over {path} when that user logs in"
                    hint = "choose another path, such as /run/NAME.sock"
                    yield VitalPath(key=key, what=what, hint=hint, certain=False)


def _of_service(unit: UnitSettings) -> Iterator[VitalPath]:
    for key, above in DIRECTORIES.items():
        for name in directories(unit, key):
            if why := why_not_owned(f"{above}/{name}"):
                act = "remove it when the service stops" if key == "RuntimeDirectory" else "give it to the service"
                what = f"{why}, and PID 1 would {act}"
                yield VitalPath(key=key, what=what, hint="choose the name of a directory for this service alone")


def directories(unit: UnitSettings, key: str) -> tuple[str, ...]:
    """Return the directories of a service, relative to that of their kind, apart from those with specifiers."""
    words = (word.strip("\"'").partition(":")[0].strip("/") for value in unit.values(key) for word in value.split())
    return tuple(word for word in words if word and "%" not in word)


def _of_swap(unit: UnitSettings) -> Iterator[VitalPath]:
    path = real_path(unit.last("What") or unit.path or "/")
    above = next((tree for tree in _WITHOUT_SWAP if path.startswith(f"{tree}/")), "")
    if above:
        what = f"the kernel takes no swap file in {above}, which is in memory (swapon(8))"
        yield VitalPath(key="What", what=what, hint="choose a path on a disk", certain=False)


_WITHOUT_SWAP = ("/run", "/dev/shm", "/proc", "/sys")
_BY_KIND = {
    "swap": _of_swap,
    "mount": _of_mount,
    "automount": _of_mount,
    "socket": _of_socket,
    "service": _of_service,
}
