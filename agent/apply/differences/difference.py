"""A difference between the machine and the generation in force, as all that reads values back returns it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ordain.agent.condition import StatusCondition
from ordain.agent.model import Change, Generation

BY_APPLY = "`ordainctl apply` corrects it"
"""The remedy for most differences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A value of the machine that is not as a generation sets it.

    ``pointer`` is its place in the documents, ``actual`` the value of the machine in a few words. ``changes`` are those
    that units have to take up again to correct it. ``path`` is a file to be placed again, with its ``file_changes``.
    """

    condition: StatusCondition
    pointer: str = ""
    actual: str = ""
    changes: tuple[Change, ...] = ()
    path: str = ""
    file_changes: tuple[Change, ...] = ()


def section(generation: Generation, name: str) -> Mapping[str, Any]:
    """Return a section of the documents, empty if there is none."""
    entries = generation.document.get(name)
    return entries if isinstance(entries, Mapping) else {}


def pointer_to(*names: str) -> str:
    """Return an RFC 6901 pointer without its first slash.

    >>> pointer_to("files", "/etc/motd")
    'files/~1etc~1motd'
    """
    return "/".join(name.replace("~", "~0").replace("/", "~1") for name in names)


def condition(
    generation: Generation, code: str, pointer: str, what: str, hint: str = "", *, item: str, fault: bool = True
) -> StatusCondition:
    """Return a condition that begins with the place in the documents, if that is known."""
    entry = generation.provenance.get(pointer, {})
    place = f"{entry['path']}:{entry['line']}: " if entry.get("path") else ""
    return StatusCondition(code=code, what=f"{place}{what}", hint=hint or BY_APPLY, item=item, fault=fault)
