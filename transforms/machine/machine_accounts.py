"""Reads the accounts of a machine from /etc/passwd and /etc/group, and the shells that they can have."""

from __future__ import annotations

from pathlib import Path

from ordain.transforms.account_lines import account_rows
from ordain.transforms.machine import rootfs
from ordain.transforms.model import MachineAccounts

LOCAL = frozenset({"files", "compat", "systemd", "mymachines", "myhostname"})
"""The sources in nsswitch.conf(5) whose accounts are in these files, or exist only while something runs."""


def read_accounts(root: Path) -> MachineAccounts:
    """Return the accounts of the machine; a file that cannot be read has none."""
    return MachineAccounts(
        users={row[0]: (row[2], row[3]) for row in _rows(root, "etc/passwd") if len(row) > 3},
        groups={row[0]: row[2] for row in _rows(root, "etc/group") if len(row) > 2},
        complete=_only_local(root),
        shells=frozenset(line for line in _text(root, "etc/shells").splitlines() if line.startswith("/")),
    )


def _rows(root: Path, path: str) -> list[list[str]]:
    return account_rows(_data(root, path))


def _only_local(root: Path) -> bool:
    """Return whether no other source, such as a directory service, may have more accounts."""
    for line in _text(root, "etc/nsswitch.conf").splitlines():
        database, _, sources = line.partition("#")[0].partition(":")
        if database.strip() in ("passwd", "group"):
            words = sources.replace("[", " [").split()
            if not {word for word in words if not word.startswith("[") and not word.endswith("]")} <= LOCAL:
                return False
    return True


def _text(root: Path, path: str) -> str:
    return _data(root, path).decode("utf-8", "surrogateescape")


def _data(root: Path, path: str) -> bytes:
    try:
        return rootfs.read(root, path) or b""
    except OSError:
        return b""
