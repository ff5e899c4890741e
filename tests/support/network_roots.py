"""Debian roots with the programs that tests of the network ask, each made once and kept."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rig import roots

MANAGERS = ("network-manager", "ifupdown")


def managers() -> Path:
    """A Debian 12 with NetworkManager and ifupdown."""
    if reason := roots.missing():
        pytest.skip(f"no Debian can be made: {reason}")
    return roots.root("bookworm", MANAGERS)[0]


def netplan() -> Path:
    """A Debian 13 with netplan.io."""
    return _root("trixie", "netplan.io", "netplan.io")


def _root(suite: str, name: str, packages: str) -> Path:
    if reason := roots.missing():
        pytest.skip(f"no Debian can be made: {reason}")
    where = roots.CACHE / "roots" / f"{suite}-{name}"
    with roots.once(where) as made:
        if made is not None:
            command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", suite, os.fspath(made)]
            subprocess.run(command, check=True, env=roots.CLEAN)
            made.chmod(0o755)
    return where
