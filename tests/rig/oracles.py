"""Programs of Debian 13 that say what an import should give, unpacked without a machine on every host.

Debian 12 has no quadlet, and an older cloud-init.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from rig.debian_roots import CACHE, CLEAN_ENVIRONMENT, made_once, short_hash

SUITE = "trixie"
QUADLET = "usr/libexec/podman/quadlet"
DOCKER = "usr/bin/docker"
COMPOSE = "usr/libexec/docker/cli-plugins/docker-compose"
PYTHON = "usr/bin/python3"
PACKAGES = ("podman", "docker-cli", "docker-compose", "cloud-init")
PATTERNS = (QUADLET, DOCKER, COMPOSE, "usr/lib/*-linux-gnu*", "usr/lib/python3*", "usr/bin/python3*")
CLOUD_INIT = """
import json, logging, sys
from cloudinit import util
from cloudinit.config import cc_write_files
from cloudinit.net import netplan, network_state
logging.disable(logging.CRITICAL)
config = util.load_yaml(sys.stdin.read())
answer = {}
if "network" in config:
    state = network_state.parse_net_config_data(config["network"])
    renderer = netplan.Renderer({"features": ["ipv6-mtu"]})
    answer["network"] = util.load_yaml(renderer._render_content(state))["network"]
if "runcmd" in config:
    answer["script"] = util.shellify(config["runcmd"])
for file in config.get("write_files", ()):
    mode = cc_write_files.decode_perms(file.get("permissions"), 0o644)
    content = cc_write_files.extract_contents(
        file["content"], cc_write_files.canonicalize_extraction(file.get("encoding")))
    content = content.decode() if isinstance(content, bytes) else content
    answer.setdefault("files", {})[file["path"]] = {"mode": f"{mode:04o}", "content": content}
print(json.dumps(answer))
"""
"""The answers of cloud-init's own functions to the cloud-config on standard input."""


def quadlet_command() -> tuple[str, ...]:
    """Return the command that runs podman's generator; ``ORDAIN_QUADLET`` names another one than Debian 13's."""
    if program := os.environ.get("ORDAIN_QUADLET", ""):
        return (program,)
    return (*_loader(tree := _programs()), os.fspath(tree / QUADLET))


def quadlet_services(command: Sequence[str], directory: Path) -> Mapping[str, str]:
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


def docker_command() -> tuple[str, ...]:
    """Return the command that runs docker's client."""
    return (*_loader(tree := _programs()), os.fspath(tree / DOCKER))


def compose_command() -> tuple[str, ...]:
    """Return the command that runs docker compose."""
    return (*_loader(tree := _programs()), os.fspath(tree / COMPOSE))


def cloud_init_tree() -> Path:
    """Return a tree with Python and cloud-init."""
    return _programs()


def cloud_init_answers(tree: Path, config: str) -> dict[str, object]:
    """Return what cloud-init makes of a cloud-config: its network for netplan, its script, its files."""
    done = subprocess.run(
        [*_loader(tree), os.fspath(tree / PYTHON), "-c", CLOUD_INIT],
        env={"PYTHONHOME": str(tree / "usr"), "PYTHONPATH": str(tree / "usr/lib/python3/dist-packages")},
        input=config,
        capture_output=True,
        text=True,
        check=True,
    )
    answers = json.loads(done.stdout)
    assert isinstance(answers, dict)
    return answers


def _loader(tree: Path) -> tuple[str, ...]:
    """Return the start of a command that runs a program of ``tree`` with the libraries there."""
    loader = next((tree / "usr/lib").glob("*/ld-linux-*.so.*"))
    return (os.fspath(loader), "--library-path", os.fspath(loader.parent))


def _programs() -> Path:
    """Return a tree with all programs of this module, and the libraries that their packages depend on.

    Most of the time goes into the lists of Debian's packages, so that one tree takes a third of the time of four.
    """
    path = CACHE / "programs" / f"{SUITE}-{short_hash(','.join((*PACKAGES, *PATTERNS)).encode())}"
    with made_once(path) as made:
        if made is not None:
            tree = made.with_name(f"{made.name}.tree")
            shutil.rmtree(tree, ignore_errors=True)
            options = ["--quiet", "--variant=extract", f"--include={','.join(PACKAGES)}"]
            options += ["--aptopt=APT::Install-Recommends false"]
            subprocess.run(["mmdebstrap", *options, SUITE, tree], check=True, env=CLEAN_ENVIRONMENT)
            for pattern in PATTERNS:
                for source in tree.glob(pattern):
                    target = made / source.relative_to(tree)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    subprocess.run(["cp", "-a", "--no-target-directory", source, target], check=True)
            shutil.rmtree(tree)
    return path
