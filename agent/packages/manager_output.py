"""Reads the output of a package manager by the regular expressions of its row.

list of packages ──▶ InstalledPackages          preview of a change ──▶ PackagePreview
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.package_set import PackageManager

_ERROR = lazy_pattern(r"^E: |\b(?:error|problem|no provider)\b", re.IGNORECASE)
"""The lines with which the package managers say what is wrong."""
_TAG = lazy_pattern("<[^<>]*>")
"""The markup of a manager that prints XML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledPackages:
    """The packages of a machine: their ``versions`` by name, and those that are ``held`` or installed in part."""

    versions: Mapping[str, str] = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePreview:
    """The effect that a command of a package manager would have.

    ``installs`` and ``removes`` are the versions by name, "" if unknown. ``output`` is the text that it was read from.
    """

    installs: Mapping[str, str] = field(default_factory=dict)
    removes: Mapping[str, str] = field(default_factory=dict)
    output: str = ""


def read_installed(manager: PackageManager, output: str) -> InstalledPackages:
    """Return the packages in the list that ``manager`` has printed."""
    return InstalledPackages(
        versions={match["name"]: match["version"] for match in _matches(manager.installed, output)},
        held=frozenset(match["name"] for match in _matches(manager.held, output)),
        broken=frozenset(match["name"] for match in _matches(manager.broken, output)),
    )


def read_preview(manager: PackageManager, output: str, *, of_removal: bool = False) -> PackagePreview:
    """Return the changes in a preview; where none says what is done, all are what was asked for."""
    by_action: dict[str, dict[str, str]] = {"installing": {}, "removing": {}, "other": {}}
    action = "removing" if of_removal else "installing"
    for match in _matches(manager.changes, output):
        groups = match.groupdict()
        action = next((name for name in by_action if groups.get(name)), action)
        if name := groups.get("name"):
            by_action[action][name] = groups.get("version") or ""
    return PackagePreview(installs=by_action["installing"], removes=by_action["removing"], output=output)


def complaint(output: str, lines: int = 3) -> str:
    """Return the last lines of an output that are about an error, or else its last lines, as one line.

    >>> complaint("Reading state information...\\nE: Unable to locate package nosuch\\n")
    'E: Unable to locate package nosuch'
    """
    texts = [text for line in output.splitlines() if (text := html.unescape(_TAG.sub("", line)).strip())]
    errors = [line for line in texts if _ERROR.search(line)]
    return " | ".join((errors or texts)[-lines:])


def is_busy(manager: PackageManager, output: str) -> bool:
    """Return whether ``output`` complains that another process works with the packages."""
    return next(_matches(manager.busy, output), None) is not None


def _matches(pattern: str, text: str) -> Iterator[re.Match[str]]:
    return _compiled(pattern).finditer(text) if pattern else iter(())


@lru_cache(maxsize=32)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
