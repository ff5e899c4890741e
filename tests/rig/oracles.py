"""Programs of Debian that say what an import should give, unpacked without a machine.

podman's quadlet is that of Debian 13 on every host: Debian 12 has none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from rig.debian_roots import CACHE, CLEAN_ENVIRONMENT, made_once

SUITE = "trixie"
QUADLET = "usr/libexec/podman/quadlet"


def quadlet_command() -> tuple[str, ...]:
    """Return the command that runs podman's generator; ``ORDAIN_QUADLET`` names another one than Debian 13's."""
    if program := os.environ.get("ORDAIN_QUADLET", ""):
        return (program,)
    with made_once(CACHE / "programs" / f"{SUITE}-quadlet") as made:
        if made is not None:
            _unpack("podman", QUADLET, made)
    tree = CACHE / "programs" / f"{SUITE}-quadlet"
    loader = next((tree / "usr/lib").glob("*/ld-linux-*.so.*"))
    return (os.fspath(loader), "--library-path", os.fspath(loader.parent), os.fspath(tree / QUADLET))


def _unpack(package: str, program: str, made: Path) -> None:
    """Put ``program`` of a package into ``made``, with the libraries that the package depends on."""
    tree = made.with_name(f"{made.name}.tree")
    shutil.rmtree(tree, ignore_errors=True)
    options = ["--quiet", "--variant=extract", f"--include={package}", "--aptopt=APT::Install-Recommends false"]
    subprocess.run(["mmdebstrap", *options, SUITE, tree], check=True, env=CLEAN_ENVIRONMENT)
    (made / program).parent.mkdir(parents=True)
    shutil.copy(tree / program, made / program)
    for libraries in (tree / "usr/lib").glob("*-linux-gnu*"):
        shutil.copytree(libraries, made / "usr/lib" / libraries.name, symlinks=True)
    shutil.rmtree(tree)


def quadlet_services(command: tuple[str, ...], directory: Path) -> Mapping[str, str]:
    """Return the services that podman's generator makes of the quadlets in a directory, by name."""
    done = subprocess.run(
        [*command, "-dryrun"],
        env={"QUADLET_UNIT_DIRS": os.fspath(directory), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    parts = done.stdout.split("\n---")
    named = (part.removeprefix("---").partition("---\n") for part in parts if "---\n" in part)
    return {name: text for name, _, text in named}
