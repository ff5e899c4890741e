"""Debian roots to boot: SUITE ─mmdebstrap▶ root ─apt▶ with more packages ─apt▶ with ours; each is made once and kept.

Everything lies below `CACHE` under a name that is a hash of its input, so that nothing there ever needs an update.
A layer is a directory for overlayfs; the layers of a machine are listed with the top one first.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CACHE = Path("/var/cache/ordain")
LISTS = "var/lib/apt/lists"
SUITES = tuple(os.environ.get("SUITES", "bookworm trixie").split())
"""The suites that each test of a machine runs on; ``SUITES=sid`` tests a future Debian."""
OPTIONS = {"sid": ('--aptopt=Acquire::Check-Valid-Until "false"',)}
"""Options of mmdebstrap: a mirror may have an index of sid that has expired. Its signature is checked all the same."""
PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "udev", "polkitd", "iproute2", "procps", "apt", "curl"),
    *("python3", "python3-yaml", "python3-jinja2", "python3-jsonschema", "python3-rich"),
    *("python3-pystemd", "python3-dbus-next", "python3-aiohttp", "python3-cryptography", "python3-defusedxml"),
    "python3-nacl",
    *("nginx-light", "openssh-server", "cron"),  # used by documents of the tests
)
CLEAN_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
"""The environment of all commands of the rig, so that a Python of the host's user is not used."""


def missing_tools() -> str:
    """Return the reason why no machine can be made here, or ""."""
    if os.geteuid() != 0:
        return "needs root"
    tools = ("mmdebstrap", "systemd-nspawn", "nsenter", "unshare", "dpkg-buildpackage")
    absent = [tool for tool in tools if shutil.which(tool, path=CLEAN_ENVIRONMENT["PATH"]) is None]
    return f"needs {', '.join(absent)}" if absent else ""


def plain_root(suite: str, more: Sequence[str] = ()) -> tuple[Path, ...]:
    """Return the layers of a Debian with `PACKAGES`, and above them with ``more``, which takes a fifth of the time."""
    name = f"{suite}-{short_hash(','.join(PACKAGES).encode())}"
    root = CACHE / "roots" / name
    with made_once(root) as made:
        if made is not None:
            command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
            subprocess.run([*command, *OPTIONS.get(suite, ()), suite, made], check=True, env=CLEAN_ENVIRONMENT)
            made.chmod(0o755)
    if not more:
        return (root,)
    layer = CACHE / "roots" / f"{name}-{short_hash(','.join(more).encode())}"
    with made_once(layer) as made:
        if made is not None:
            with overlay_workspace((root,), made) as (tree, upper):
                lists = _lists(root)
                shutil.copytree(lists, tree / LISTS, dirs_exist_ok=True)
                _apt(tree, "install", "--no-install-recommends", *more)
                _apt(tree, "clean")
                for path in lists.iterdir():
                    (tree / LISTS / path.name).unlink()
                _keep(tree, upper, made)
    return (layer, root)


def whole_root(suite: str, more: Sequence[str]) -> Path:
    """Return one directory with the layers of `plain_root`, for programs that get the path of a root."""
    layers = plain_root(suite, more)
    whole = layers[0].with_name(f"{layers[0].name}-whole")
    with made_once(whole) as made:
        if made is not None:
            with overlay_workspace(layers, made) as (tree, _):
                subprocess.run(["cp", "-a", f"{tree}/.", made], check=True, env=CLEAN_ENVIRONMENT)
    return whole


def _lists(root: Path) -> Path:
    """Return the lists of the packages of a Debian, which its root does not keep."""
    lists = CACHE / "lists" / root.name
    with made_once(lists) as made:
        if made is not None:
            with overlay_workspace((root,), made) as (tree, _):
                _apt(tree, "update")
                for path in (tree / LISTS).iterdir():
                    if path.is_file() and path.name != "lock":
                        shutil.copy2(path, made)
    return lists


def with_package(suite: str, *debs: Path, more: Sequence[str] = ()) -> tuple[Path, ...]:
    """Return the layers of a Debian with ``more`` of its packages, and with ``debs`` installed by apt."""
    below = plain_root(suite, more)
    name = f"{below[0].name}-{short_hash(b''.join(deb.read_bytes() for deb in debs))}"
    with made_once(CACHE / "packages" / name) as made:
        if made is not None:
            _install(below, debs, made)
    return (CACHE / "packages" / name, *below)


def mount_overlay(layers: Sequence[Path], upper: Path, work: Path, where: Path) -> None:
    """Mount ``layers``, the top one first, at ``where``; changes are written to ``upper``."""
    lower = ":".join(os.fspath(layer) for layer in layers)
    options = f"lowerdir={lower},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, where], check=True, env=CLEAN_ENVIRONMENT)


def mount_tmpfs(where: Path) -> None:
    """Mount a tmpfs at ``where``: the root file system may be an overlay, which cannot carry another one."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", where], check=True, env=CLEAN_ENVIRONMENT)


def _install(layers: Sequence[Path], debs: Sequence[Path], made: Path) -> None:
    """Let apt install ``debs`` in a chroot of ``layers``, and put the changed files into ``made``."""
    with overlay_workspace(layers, made) as (tree, upper):
        inside = [tree / "tmp" / deb.name for deb in debs]
        for deb, copy in zip(debs, inside, strict=True):
            shutil.copy(deb, copy)
        _apt(tree, "install", *(f"/tmp/{deb.name}" for deb in debs))
        for copy in inside:
            copy.unlink()
        _keep(tree, upper, made)


def _apt(tree: Path, *words: str) -> None:
    """Run apt-get in a chroot; packages start no programs there, and change no parameters of the host's kernel."""
    policy = tree / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    # In its own mount namespace, so that its /proc vanishes with it.
    mount = 'mount -t proc -o ro proc "$0/proc" && exec chroot "$0" "$@"'
    chroot = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", mount, str(tree)]
    caches = ("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")
    done = subprocess.run(
        [*chroot, "apt-get", "--yes", "--quiet=2", *caches, *words],
        env={**CLEAN_ENVIRONMENT, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"apt-get {' '.join(words)}:\n{done.stdout}{done.stderr}")
    policy.unlink()


def _keep(tree: Path, upper: Path, made: Path) -> None:
    """Put the files that were changed in ``tree`` into ``made``."""
    subprocess.run(["umount", tree], check=True, env=CLEAN_ENVIRONMENT)
    subprocess.run(["cp", "-a", f"{upper}/.", made], check=True, env=CLEAN_ENVIRONMENT)


@contextmanager
def overlay_workspace(layers: Sequence[Path], beside: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a writable tree of ``layers`` and the directory of its changes; both are removed afterwards."""
    overlay_workspace = beside.with_name(f"{beside.name}.desk")
    overlay_workspace.mkdir()
    mount_tmpfs(overlay_workspace)
    try:
        upper, work, tree = (overlay_workspace / name for name in ("upper", "work", "tree"))
        for directory in (upper, work, tree):
            directory.mkdir()
        mount_overlay(layers, upper, work, tree)
        yield tree, upper
    finally:
        subprocess.run(["umount", "--recursive", "--lazy", overlay_workspace], check=False, env=CLEAN_ENVIRONMENT)
        overlay_workspace.rmdir()


def short_hash(data: bytes) -> str:
    """Return a short hash of ``data``, which names the things made from it."""
    return hashlib.sha256(data).hexdigest()[:12]


@contextmanager
def made_once(path: Path) -> Iterator[Path | None]:
    """Yield an empty directory to fill, which then becomes ``path``, or None if ``path`` exists already.

    Other processes that need the same directory wait for this one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.is_dir():
            yield None
            return
        made = path.with_name(f"{path.name}.new")
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir()
        yield made
        made.rename(path)
