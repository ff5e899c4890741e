"""Debian roots with the programs that tests of the network run; each root is made once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rig import debian_roots

MANAGERS = ("network-manager", "ifupdown")


def managers() -> Path:
    """Return a Debian 12 with NetworkManager and ifupdown."""
    return _root("bookworm", MANAGERS)


def netplan() -> Path:
    """Return a Debian 13 with netplan.io."""
    return _root("trixie", ("netplan.io",))


def _root(suite: str, packages: Sequence[str]) -> Path:
    if reason := debian_roots.missing_tools():
        pytest.skip(f"cannot make a Debian root: {reason}")
    return debian_roots.whole_root(suite, packages)
