"""Commands of podman as lines of units, in which specifiers and variables keep their meaning, as with quadlet."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ordain.transforms.errors import Where
from ordain.transforms.importing.units.unit_assignments import Assignment
from ordain.transforms.systemd import quoting

PODMAN = "/usr/bin/podman"


def podman(where: Where, key: str, arguments: Iterable[str], prefix: str = "") -> Assignment:
    """Return a command of podman; ``prefix`` is that of a command line in systemd.service(5)."""
    return implied(where, "Service", key, prefix + " ".join([PODMAN, *map(_word, arguments)]))


def implied(where: Where, section: str, key: str, value: str) -> Assignment:
    """Return an assignment that a quadlet implies."""
    return Assignment(where=where, section=section, key=key, value=value)


def unquoted(value: str) -> str:
    """Return a value without one pair of double quotes around the whole, as quadlet's Lookup() reads it."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def _word(text: str) -> str:
    """Return one word of a command line."""
    if re.fullmatch(r"[A-Za-z0-9_./:=@,+%${}-]+", text):
        return text
    return quoting.c_word(text, specifiers=False)
