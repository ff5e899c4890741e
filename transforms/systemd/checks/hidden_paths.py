"""The programs and the working directory of a service that its own sandbox hides from it (systemd.exec(5)).

PID 1 itself reads the files of EnvironmentFile=, outside of the sandbox, so these are never hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.systemd.checks.unit_rules import UnitSettings

_HOMES = ("/home", "/root", "/run/user")
_TEMPORARY = ("/tmp", "/var/tmp")
_COMMANDS = ("ExecCondition", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost")
_BEFORE = frozenset({"ExecCondition", "ExecStartPre"})
_OTHER_FILES = (
    "RootDirectory", "RootImage", "MountImages", "ExtensionImages", "ExtensionDirectories", "JoinsNamespaceOf",
)  # fmt: skip
"""With one of these settings, a service sees other files than the machine has at a path."""
_PLAIN_PATH = lazy_pattern(r"([-@:!|]*)(/[^\s%\"'\\]*)(?=\s|$)")
"""A command with a plain path. One with the prefix ``+`` runs outside of the sandbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenPath:
    """The value ``path`` of the directive ``key``, which ``setting`` (``ProtectHome=yes``) hides."""

    key: str
    path: str
    setting: str


@dataclass(frozen=True, slots=True)
class _Cover:
    """A directory that ``setting`` hides; an ``empty`` one takes its place, in which the service may make files."""

    path: str
    setting: str
    empty: bool


def hidden_paths(unit: UnitSettings) -> Iterator[HiddenPath]:
    """Yield the paths of a service that its sandbox surely hides."""
    if unit.kind != "service" or unit.values(*_OTHER_FILES):
        return
    covers = tuple(_covers(unit))
    made_before = bool(unit.values(*_BEFORE))  # such a command may make the file in the empty directory
    for key in _COMMANDS if covers else ():
        for value in unit.values(key):
            if command := _PLAIN_PATH.match(value):
                path = command[2]
                for cover in covers:
                    by_itself = cover.empty and made_before and key not in _BEFORE
                    if (path == cover.path or _is_below(path, cover.path)) and not by_itself and not _bound(unit, path):
                        yield HiddenPath(key=key, path=path, setting=cover.setting)
                        break
    for key in ("ReadWritePaths", "ReadOnlyPaths", "ExecPaths"):  # PID 1 leaves them out without a word
        for path in (word.lstrip("-+") for word in " ".join(unit.values(key)).split()):
            for cover in covers if "%" not in path else ():
                if not cover.empty and _is_below(path, cover.path) and not _bound(unit, path):
                    yield HiddenPath(key=key, path=path, setting=cover.setting)
                    break
    directory = unit.last("WorkingDirectory")
    for cover in covers if "%" not in directory else ():
        if _is_below(directory, cover.path) and not (cover.empty and made_before) and not _bound(unit, directory):
            yield HiddenPath(key="WorkingDirectory", path=directory, setting=cover.setting)
            break


def _covers(unit: UnitSettings) -> Iterator[_Cover]:
    home = unit.last("ProtectHome")
    if home == "tmpfs" or unit.flag("ProtectHome"):
        yield from (_Cover(path, f"ProtectHome={home}", home == "tmpfs") for path in _HOMES)
    private_tmp = unit.last("PrivateTmp")
    if private_tmp == "disconnected" or unit.flag("PrivateTmp"):
        yield from (_Cover(path, f"PrivateTmp={private_tmp}", True) for path in _TEMPORARY)
    for word in " ".join(unit.values("InaccessiblePaths")).split():
        yield _Cover(word.lstrip("-+").rstrip("/") or "/", f"InaccessiblePaths={word}", False)
    for word in " ".join(unit.values("TemporaryFileSystem")).split():
        yield _Cover(word.partition(":")[0].rstrip("/") or "/", f"TemporaryFileSystem={word}", True)


def _bound(unit: UnitSettings, path: str) -> bool:
    """Return whether a bind mount shows files at ``path`` or above it."""
    for word in " ".join(unit.values("BindPaths", "BindReadOnlyPaths")).split():
        source, _, rest = word.lstrip("-+").partition(":")
        target = (rest.partition(":")[0] or source).rstrip("/")
        if path == target or _is_below(path, target):
            return True
    return False


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder.rstrip('/')}/") and path.rstrip("/") != folder
