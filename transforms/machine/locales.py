"""The locales that a machine has: directories of their own, or entries of the archive of glibc (localedef(1))."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

from ordain.transforms.machine import rootfs

FOLDER = "usr/lib/locale"
ARCHIVE = f"{FOLDER}/locale-archive"
BUILT_IN = frozenset({"C", "POSIX"})
_MAGIC = 0xDE020109
_HEAD, _ENTRY = struct.Struct("=5I"), struct.Struct("=3I")
MOST_ENTRIES = 100_000
"""The archive of all locales of glibc has 2,000."""


def is_missing(root: Path, name: str) -> bool:
    """Return whether the machine has locales, but not ``name``: then programs that want it use C."""
    if name in BUILT_IN or not rootfs.exists(root, FOLDER):
        return False
    return normalized(name) not in {normalized(known) for known in (*rootfs.names(root, FOLDER), *_archived(root))}


def normalized(name: str) -> str:
    """Return a name with its character set as the archive has it.

    >>> normalized("de_DE.UTF-8"), normalized("ca_ES.ISO-8859-1@euro"), normalized("de_DE")
    ('de_DE.utf8', 'ca_ES.iso88591@euro', 'de_DE')
    """
    base, dot, rest = name.partition(".")
    charset, at, variant = rest.partition("@")
    return f"{base}{dot}{''.join(char for char in charset.lower() if char.isalnum())}{at}{variant}"


def _archived(root: Path) -> Iterator[str]:
    """Yield the names in the archive; nothing if there is none, or it has another form (locale/locarchive.h)."""
    try:
        with (root / ARCHIVE).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            magic, _, table, _, size = _HEAD.unpack_from(data)
            if magic != _MAGIC or size > MOST_ENTRIES:
                return
            for number in range(size):
                _, at, record = _ENTRY.unpack_from(data, table + number * _ENTRY.size)
                if record:
                    yield data[at : data.find(b"\0", at)].decode("ascii", "replace")
    except (OSError, ValueError, struct.error):
        return
