"""The etcd of this host as a service inside a booted machine, which then needs no network."""

from __future__ import annotations

import shutil
from pathlib import Path

from rig.debian_roots import CLEAN_ENVIRONMENT
from rig.machine import Machine

URL = "http://127.0.0.1:2379"
_PEER = "http://127.0.0.1:2380"
_PROGRAM = "/usr/local/bin/etcd"


def place_etcd(machine: Machine) -> None:
    """Copy the program into a machine that is off."""
    program = shutil.which("etcd", path=CLEAN_ENVIRONMENT["PATH"])
    assert program
    machine.write(_PROGRAM, Path(program).read_bytes(), mode=0o755)


def start_etcd(machine: Machine) -> None:
    """Start etcd.service, and wait until it answers at `URL`; its data last until the machine is off."""
    command = (
        *(_PROGRAM, "--data-dir=/run/etcd", f"--initial-cluster=default={_PEER}"),
        *(f"--listen-client-urls={URL}", f"--advertise-client-urls={URL}"),
        *(f"--listen-peer-urls={_PEER}", f"--initial-advertise-peer-urls={_PEER}"),
    )
    machine.run("systemd-run", "--unit=etcd.service", "--service-type=notify", "--collect", "--quiet", *command)
