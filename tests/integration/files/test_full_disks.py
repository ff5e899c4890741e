"""Real file systems that are full or over a quota: each file is the old one or the new one, whichever write fails.

The quota is one of btrfs (EDQUOT); tmpfs has a limit of blocks, and one of inodes (ENOSPC). No machine is booted.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.generation import digest
from ordain.agent.model import Generation
from ordain.agent.state.store import NotPersistent, Store
from ordain.generator import files_program
from ordain.generator.cache import unpack
from ordain.generator.files import FilePlacement
from ordain.transforms.artifacts import RegularFile, UnitFile
from ordain.transforms.model import Member, Wanted
from rig.debian_roots import CLEAN_ENVIRONMENT

pytestmark = [pytest.mark.integration, pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems")]
BOOT = "0123456789abcdef0123456789abcdef"
FULL = ("No space left on device", "Disk quota exceeded")
NAMES = ("a", "b", "c", "d")
BLOCK = 4096


def sh(*command: str | Path) -> None:
    subprocess.run(command, check=True, env=CLEAN_ENVIRONMENT, capture_output=True)


@contextmanager
def limited_tmpfs(where: Path, options: str) -> Iterator[Path]:
    sh("mount", "-t", "tmpfs", "-o", options, "none", where)
    try:
        yield where
    finally:
        sh("umount", where)


@contextmanager
def btrfs_quota(where: Path) -> Iterator[Path]:
    image = where.with_name("image")
    with image.open("wb") as file:
        file.truncate(256 << 20)
    sh("mkfs.btrfs", "-q", image)
    sh("mount", "-o", "loop", image, where)
    try:
        sh("btrfs", "quota", "enable", where)
        sh("btrfs", "subvolume", "create", where / "limited")
        sh("btrfs", "qgroup", "limit", "1M", where / "limited")
        yield where / "limited"
    finally:
        sh("umount", where)


@pytest.fixture(params=["blocks", "inodes", "quota"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a file system that takes about a megabyte, or few files."""
    where = tmp_path / "small"
    where.mkdir()
    if request.param == "quota":
        if not shutil.which("mkfs.btrfs", path=CLEAN_ENVIRONMENT["PATH"]):
            pytest.skip("needs btrfs-progs")
        with btrfs_quota(where) as folder:
            yield folder
    else:
        with limited_tmpfs(where, "size=1M" if request.param == "blocks" else "nr_inodes=50") as folder:
            yield folder


def fill(folder: Path, free: int) -> None:
    """Leave room for ``free`` more blocks and files."""
    filler = folder / "filler"
    filler.mkdir()
    with contextlib.suppress(OSError), (filler / "large").open("wb", buffering=0) as large:
        for number in range(100):
            (filler / str(number)).write_bytes(b"x" * BLOCK * (number < 20))
        while large.tell() < 64 << 20:
            large.write(b"x" * 16 * BLOCK)
    with contextlib.suppress(OSError), (filler / "rest").open("wb", buffering=0) as rest:
        while rest.tell() < 64 << 20:
            rest.write(b"x" * BLOCK)
    for number in range(free):
        with contextlib.suppress(OSError):
            (filler / str(number)).unlink()
    os.sync()


def empty(folder: Path) -> None:
    shutil.rmtree(folder / "filler")
    os.sync()


def leftovers(folder: Path) -> list[str]:
    """Return the hidden files; over its quota, btrfs may refuse to remove one, and the next write replaces it."""
    return [str(path) for path in folder.rglob(".*") if path.is_file()]


def wanted(word: str) -> list[RegularFile]:
    return [RegularFile(path=f"/etc/{name}", content=word * BLOCK) for name in NAMES]


@pytest.mark.parametrize("free", [0, 1, 2, 4, 7, 10])
def test_each_file_is_the_old_or_the_new_one_on_a_full_disk(small: Path, free: int) -> None:
    (small / "etc").mkdir()
    (small / "etc/a").write_text("before")
    assert not FilePlacement(small, "main").run(wanted("1")).problems
    fill(small, free)

    # The record comes first, and nothing is placed without it: then each problem names it.
    problems = FilePlacement(small, "main").run(wanted("2")).problems

    for name in NAMES:
        text = (small / f"etc/{name}").read_text()
        assert text == ("1" if f"/etc/{name}" in problems else "2") * BLOCK
    assert all(problem.endswith(FULL) for problem in problems.values())
    kept = [problem for problem in problems.values() if problem.startswith("its previous state cannot be kept")]
    assert all(f": {small}/" in problem for problem in kept)
    assert leftovers(small) == [] or small.name == "limited"
    empty(small)
    assert not FilePlacement(small, "main").run(wanted("2")).problems
    assert not FilePlacement(small, "main").run([]).problems
    assert (small / "etc/a").read_text() == "before"
    assert not (small / "etc/b").exists()
    assert leftovers(small) == []


def generation(word: str) -> Generation:
    artifacts = (
        UnitFile(path="normal/web.service", content=f"[Service]\nUser={word * 3 * BLOCK}\n", item="services/web"),
    )
    members = (Member(unit="web.service", item="services/web", wanted=Wanted.RUNNING, ours=True),)
    document = {"services": {"web": {"user": word}}}
    return Generation(
        hash=digest(document, artifacts, members), artifacts=artifacts, members=members, document=document
    )


def trial(store: Store, new: Generation) -> object:
    store.commit_trial(new, BOOT)
    return None


@pytest.mark.parametrize("free", [0, 1, 2, 4, 7, 10])
@pytest.mark.parametrize(
    "commit",
    [lambda store, new: store.save(new)[1], lambda store, new: store.commit_proven(new), trial],
    ids=["history", "proven", "trial"],
)
def test_the_old_generation_stays_in_force_on_a_full_disk(
    small: Path, commit: Callable[[Store, Generation], object], free: int
) -> None:
    (small / "etc").mkdir()
    (small / "etc/machine-id").write_text(f"{'a' * 32}\n")
    store = Store(small)
    old, _ = store.save(generation("old"))
    assert store.commit_proven(old) is None
    store.commit_trial(old, BOOT)
    fill(small, free)

    new = replace(generation("new"), number=2)
    try:
        unsaved = commit(store, new)
    except OSError as error:
        unsaved = NotPersistent(what=str(error))
    store = Store(small)
    assert store.proven_hash() in (old.hash, new.hash)
    assert unpack((small / "run/ordain/boot/current").read_bytes()).hash in (old.hash, new.hash)
    assert all(not entry.damaged for entry in store.history())
    if isinstance(unsaved, NotPersistent):
        assert any(words in unsaved.what for words in FULL)
        assert leftovers(small) == [] or small.name == "limited"
        empty(small)
        assert commit(Store(small), new) is None
    assert leftovers(small) == []


def test_the_program_says_which_file_could_not_be_written(small: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (small / "etc").mkdir()
    (small / "etc/machine-id").write_text(f"{'a' * 32}\n")
    store = Store(small)
    new = replace(generation("x"), artifacts=tuple(wanted("3")), number=1)
    new = replace(new, hash=digest(new.document, new.artifacts, new.members))
    assert store.commit_proven(new) is None
    fill(small, 0)

    assert files_program.main(["ordain-files", "main", str(small)]) == 1
    assert "None" not in (said := capfd.readouterr().err)
    assert any(words in said for words in FULL)
