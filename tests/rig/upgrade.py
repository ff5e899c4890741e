"""A booted machine whose systemd is upgraded while services run, from packages of the archive.

    fetch(suite, …) ─▶ Fetched ─put▶ machine ─apt, offline▶ the machine with other packages

python3 -m rig.upgrade upgrades a running Debian 12 to Debian 13, and boots it. CI does not run this: it takes minutes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rig import debian_roots, package
from rig.debian_roots import CACHE, CLEAN_ENVIRONMENT
from rig.machine import Machine
from rig.machine_agent import (
    active_state,
    agent_status,
    environment,
    invocations,
    sleep_service,
    wait_active,
    wait_agent_state,
    write_layer,
)

SYSTEMD = ("systemd", "systemd-sysv", "libsystemd0", "libsystemd-shared", "udev", "libudev1")
SOURCES = "deb http://deb.debian.org/debian {suite} main\n"
UPDATES = """\
deb http://deb.debian.org/debian {suite}-updates main
deb http://security.debian.org/debian-security {suite}-security main
"""
LISTS, ARCHIVES = "var/lib/apt/lists", "var/cache/apt/archives"
APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--yes", "-o", "Dpkg::Options::=--force-confold")
NEWER = """\
ordain: v1
kind: Layer
name: newer
match: {systemd: ">=257"}
services: {other: {systemd: {Service: {RestartSteps: 3}}}}
"""
"""A document that matches only the new systemd, so that it must be compiled again."""
OFFLINE = (*APT, "--no-download")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """Packages and lists of ``suite`` below ``path``, where apt keeps them below /."""

    suite: str
    path: Path

    def put(self, machine: Machine) -> None:
        """Copy them to where apt of ``machine`` finds them."""
        machine.write("/etc/apt/sources.list", sources(self.suite))
        for part in (LISTS, ARCHIVES):
            shutil.copytree(self.path / part, machine.path(f"/{part}"), dirs_exist_ok=True)


def fetch(suite: str, layers: Sequence[Path], *words: str) -> Fetched:
    """Fetch what ``apt-get words`` needs from ``suite`` on a machine of ``layers``; this is done once and kept."""
    name = f"{suite}-{debian_roots.short_hash(repr((list(map(os.fspath, layers)), words)).encode())}"
    with debian_roots.made_once(CACHE / "fetched" / name) as made:
        if made is not None:
            with debian_roots.overlay_workspace(layers, made) as (tree, _):
                (tree / "etc/apt/sources.list").write_text(sources(suite))
                shutil.copy("/etc/resolv.conf", tree / "etc/resolv.conf")
                for command in (("update",), (*words, "--download-only")):
                    _apt(tree, *command)
                for part in (LISTS, ARCHIVES):
                    shutil.copytree(tree / part, made / part)
    return Fetched(suite=suite, path=CACHE / "fetched" / name)


def sources(suite: str) -> str:
    """Return the lines of sources.list(5)."""
    return (SOURCES if suite == "sid" else SOURCES + UPDATES).format(suite=suite)


def _apt(tree: Path, *words: str) -> None:
    # The lists stay compressed, as in the roots.
    command = ["chroot", str(tree), *APT, "--quiet=2", *words]
    done = subprocess.run(
        command, env=CLEAN_ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"apt-get {' '.join(words)}:\n{done.stdout}{done.stderr}")


def main() -> int:
    """Upgrade Debian 12 to 13 while services of documents run; print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    if reason := debian_roots.missing_tools():
        parser.error(reason)
    layers = debian_roots.with_package("bookworm", package.build())
    _say("packages of trixie")
    fetched = fetch("trixie", layers, "full-upgrade")
    for then in (cut, follow):
        with Machine(layers) as machine:
            upgrade(machine, fetched)
            then(machine)
    return 0


def upgrade(machine: Machine, fetched: Fetched) -> None:
    """Boot, and upgrade all packages while services run."""
    write(machine)
    machine.write("/etc/ordain/documents/newer.yaml", NEWER)
    machine.boot()
    wait_active(machine, "web.service", "other.service", "nginx.service")
    wait_agent_state(machine, "converged")
    before, old = invocations(machine, "web.service", "other.service"), _systemd(machine)
    fetched.put(machine)
    _say(f"systemd {old}; apt-get full-upgrade")
    machine.run(*OFFLINE, "full-upgrade", timeout=900)
    assert _systemd(machine) != old
    assert invocations(machine, "web.service", "other.service") == before
    if active_state(machine, "cron.service") == "active":  # scripts of its package have started it
        machine.until("it is reported", lambda: agent_status(machine)["drift"] == ["cron.service"], timeout=60)
        machine.run("systemctl", "stop", "cron.service")
    wait_agent_state(machine, "converged", timeout=60)
    # The agent may have read the machine again by now, and the new document with it: it restarts nothing.
    assert invocations(machine, "web.service", "other.service") == before
    _say(f"systemd {_systemd(machine)}; no service of the documents was touched")


def cut(machine: Machine) -> None:
    """Require that a boot starts the proven generation, and that one for the new systemd is in force then."""
    machine.power_cut()
    machine.boot()
    wait_active(machine, "web.service", "other.service", "nginx.service")
    choice = machine.read("/run/ordain/boot/choice")
    assert "from=current" in choice, choice
    assert active_state(machine, "cron.service") == "inactive"
    machine.until("it is compiled for this systemd", lambda: _is_newer(machine), timeout=60)
    wait_agent_state(machine, "converged")
    assert machine.run("systemctl", "--failed", "--plain", "--no-legend").stdout == ""
    _say("after a power cut, it booted the proven generation, and one for this systemd is in force")


def follow(machine: Machine) -> None:
    """Require that the agent goes on without a boot, although the Python that it was started with is removed."""
    machine.run(*OFFLINE, "autoremove", timeout=300)
    assert not machine.path("/usr/bin/python3.11").exists()
    before = invocations(machine, "nginx.service")
    write(machine, "2")
    machine.until("web has the new word", lambda: "WORD=2" in environment(machine), timeout=60)
    machine.until("it is compiled for this systemd", lambda: _is_newer(machine), timeout=60)
    wait_agent_state(machine, "converged")
    assert invocations(machine, "nginx.service") == before
    _say(f"without a boot it followed its documents; {agent_status(machine)['conditions'] or 'no conditions'}")


def write(machine: Machine, value: str = "1") -> None:
    write_layer(
        machine, web=sleep_service(value), other=sleep_service(), nginx="{state: running}", cron="{state: stopped}"
    )


def _is_newer(machine: Machine) -> bool:
    return "RestartSteps=3" in machine.run("systemctl", "cat", "other.service").stdout


def _systemd(machine: Machine) -> str:
    return machine.run("systemctl", "show", "--property=Version", "--value").stdout.strip()


def _say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
