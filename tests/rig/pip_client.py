"""The client as pip installs it: with libraries from PyPI only, without those of Debian and of systemd."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

from rig.debian_roots import CACHE, CLEAN_ENVIRONMENT, made_once, short_hash
from rig.package import TREE


class NoIndex(Exception):
    """The libraries cannot be fetched from a package index."""


def client(folder: Path) -> Path:
    """Install this tree into a new environment below ``folder``, and return its ordainctl. Raises `NoIndex`.

    The libraries are fetched and kept once for each list of dependencies, the tree is installed each time.
    """
    project = tomllib.loads((TREE / "pyproject.toml").read_text())["project"]["dependencies"]
    with made_once(CACHE / "wheels" / short_hash("\n".join(project).encode())) as made:
        if made is not None:
            _run("/usr/bin/python3", "-m", "venv", f"{made}/environment")
            pip = f"{made}/environment/bin/pip"
            _run(pip, "--quiet", "wheel", f"--wheel-dir={made}/wheels", "setuptools", "wheel", *project)
    (wheels,) = (CACHE / "wheels" / short_hash("\n".join(project).encode())).glob("wheels")
    environment, tree = folder / "client", folder / "tree"
    _run("/usr/bin/python3", "-m", "venv", "--without-pip", str(environment))
    tree.mkdir()
    # setuptools writes into the tree that it builds.
    for name in ("agent", "generator", "transforms", "pyproject.toml"):
        _run("cp", "--recursive", str(TREE / name), str(tree))
    # The pip that fetched the libraries: to install another one takes a third of the time.
    own_pip = [f"{wheels.parent}/environment/bin/python", "-m", "pip", f"--python={environment}/bin/python"]
    _run(*own_pip, "--quiet", "install", "--no-index", f"--find-links={wheels}", str(tree))
    return environment / "bin/ordainctl"


def _run(*argv: str) -> None:
    done = subprocess.run(argv, env=CLEAN_ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoIndex(f"{' '.join(argv[:4])} …: {done.stderr[-600:]}")
