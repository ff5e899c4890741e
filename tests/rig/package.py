"""The package to test: this source tree ─packaging/build-deb▶ .deb, built once for each content of the tree."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from rig.debian_roots import CACHE, CLEAN_ENVIRONMENT, made_once

TREE = Path(__file__).parents[2]
_SOURCES = (
    *("agent", "generator", "transforms", "units", "docs", "examples", "packaging"),
    *("pyproject.toml", "README.md", "NEWS.md"),
)
_NOT_SHIPPED = {"__pycache__", ".mypy_cache", "typing"}


def build(version: str = "") -> Path:
    """Build the .deb of the source tree and return its path; ``version`` replaces that of the changelog."""
    name = digest_of_tree(version)
    with made_once(CACHE / "debs" / name) as made:
        if made is not None:
            command = [f"{TREE}/packaging/build-deb", str(made), *([version] if version else [])]
            done = subprocess.run(
                command, env=CLEAN_ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise RuntimeError(f"cannot build the package:\n{done.stdout}{done.stderr}")
    (deb,) = (CACHE / "debs" / name).glob("ordain_*.deb")
    return deb


def build_at(commit: str, version: str) -> Path | None:
    """Build the .deb of an earlier commit; None if this checkout does not have the commit."""
    git = ["git", "-C", str(TREE)]
    known = subprocess.run([*git, "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True, check=False)
    if known.returncode != 0:
        return None
    with made_once(CACHE / "debs" / f"{commit}-{version}") as made:
        if made is not None:
            with tempfile.TemporaryDirectory() as tree:
                archive = subprocess.run([*git, "archive", commit], capture_output=True, check=True).stdout
                subprocess.run(["tar", "--extract", "--directory", tree], input=archive, check=True)
                command = [f"{tree}/packaging/build-deb", str(made), version]
                subprocess.run(
                    command, env=CLEAN_ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, check=True
                )
    (deb,) = (CACHE / "debs" / f"{commit}-{version}").glob("ordain_*.deb")
    return deb


def for_initrds(deb: Path) -> Path:
    """Return the package for initrds that was built together with ``deb``."""
    return deb.with_name(deb.name.replace("ordain_", "ordain-initramfs_"))


def digest_of_tree(more: str = "", names: Sequence[str] = _SOURCES) -> str:
    """Return a short hash of ``more`` and of the files below ``names``, those of a package by default."""
    digest = hashlib.sha256(more.encode())
    for path in _files(names):
        digest.update(b"%s\0%o\0" % (os.fsencode(path.relative_to(TREE)), path.stat().st_mode))
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _files(names: Sequence[str]) -> Iterator[Path]:
    """Yield the files below ``names``, in a fixed order."""
    for name in names:
        top = TREE / name
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and not _NOT_SHIPPED.intersection(path.parts):
                yield path
