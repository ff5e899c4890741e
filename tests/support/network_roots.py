"""Debian roots with the programs that tests of the network run; each root is made once and kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rig import debian_roots

MANAGERS = ("network-manager", "ifupdown")


def managers() -> Path:
    """Return a Debian 12 with NetworkManager and ifupdown."""
    if reason := debian_roots.missing_tools():
        pytest.skip(f"cannot make a Debian root: {reason}")
    return debian_roots.plain_root("bookworm", MANAGERS)[0]


def netplan() -> Path:
    """Return a Debian 13 with netplan.io."""
    return _root("trixie", "netplan.io", "netplan.io")


def _root(suite: str, name: str, packages: str) -> Path:
    if reason := debian_roots.missing_tools():
        pytest.skip(f"cannot make a Debian root: {reason}")
    where = debian_roots.CACHE / "roots" / f"{suite}-{name}"
    with debian_roots.made_once(where) as made:
        if made is not None:
            command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", suite, os.fspath(made)]
            subprocess.run(command, check=True, env=debian_roots.CLEAN_ENVIRONMENT)
            made.chmod(0o755)
    return where
