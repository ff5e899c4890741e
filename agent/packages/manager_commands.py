"""The commands of a package manager: rows of the transformation database, filled with packages."""

from __future__ import annotations

from collections.abc import Iterable

from ordain.transforms.package_set import Commands, PackageManager
from ordain.transforms.runs.patterns import PatternValue, fill_words

LOCK_SEC = 600
"""A manager that can wait for another process that works with the packages waits for so long."""


def filled(
    commands: Commands, manager: PackageManager, packages: Iterable[str] = (), *, root: str = "", safe: bool = True
) -> Commands:
    """Return ``commands`` of ``manager`` for ``packages``, on this system or in that below ``root``."""
    values: dict[str, PatternValue] = {"packages": tuple(packages), "lock-seconds": LOCK_SEC}
    values |= {"root": root} if root else {}
    values |= {"safe": True} if safe else {}
    prefix = fill_words(manager.in_root[0], values)[0] if root and manager.in_root else ()
    return tuple(_with_prefix(prefix, fill_words(words, values)[0]) for words in commands)


def _with_prefix(prefix: tuple[str, ...], words: tuple[str, ...]) -> tuple[str, ...]:
    if not prefix:
        return words
    may_fail = "-" if words[0].startswith("-") else ""
    return (may_fail + prefix[0], *prefix[1:], words[0].removeprefix("-"), *words[1:])
