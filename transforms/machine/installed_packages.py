"""Reads the names of the installed packages from the database of the package manager below a root."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ordain.transforms.machine import rootfs

_DPKG = "var/lib/dpkg/status"
_PACMAN = "var/lib/pacman/local"
_RPM = ("usr/lib/sysimage/rpm/rpmdb.sqlite", "var/lib/rpm/rpmdb.sqlite")
_MAX_DATABASE = 256 << 20


def read(root: Path) -> Iterable[str]:
    """Return the names of the installed packages; nothing if this module can read none of its databases."""
    for reader in _READERS:
        if names := set(reader(root)):
            return names
    return ()


def _dpkg(root: Path) -> Iterator[str]:
    """Yield the packages of dpkg: those whose Status ends with ``installed`` (dpkg-query(1))."""
    data = b""
    with contextlib.suppress(OSError):
        data = rootfs.read(root, _DPKG, limit=_MAX_DATABASE) or b""
    name = ""
    for line in data.splitlines():
        if line.startswith(b"Package: "):
            name = line[9:].decode("utf-8", "replace").strip()
        elif line.startswith(b"Status: ") and line.endswith(b" installed"):
            yield name


def _pacman(root: Path) -> Iterator[str]:
    """Yield the packages of pacman, whose folders are NAME-VERSION-RELEASE."""
    for folder in rootfs.names(root, _PACMAN):
        if folder.count("-") >= 2:
            yield folder.rsplit("-", 2)[0]


def _rpm(root: Path) -> Iterator[str]:
    """Yield the packages of rpm, from the index of names in its SQLite database (rpm ≥ 4.16)."""
    import sqlite3
    from urllib.parse import quote

    for path in _RPM:
        with contextlib.suppress(OSError, ValueError, sqlite3.Error):
            file = rootfs.chase(root, path)
            if not file.is_file() or file.stat().st_size > _MAX_DATABASE:
                continue
            # `immutable`: nothing beside the file is written or locked, whoever uses it.
            database = sqlite3.connect(f"file:{quote(str(file))}?mode=ro&immutable=1", uri=True)
            with contextlib.closing(database):
                rows = database.execute("SELECT DISTINCT key FROM Name")
                yield from [name.decode() if isinstance(name, bytes) else str(name) for (name,) in rows]


_READERS: tuple[Callable[[Path], Iterator[str]], ...] = (_dpkg, _pacman, _rpm)
