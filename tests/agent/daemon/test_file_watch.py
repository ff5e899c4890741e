"""A change of a placed file wakes the agent; other files in the same directories do not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from ordain.agent.daemon.file_watch import FileWatch

PATHS = frozenset({"/etc/app/a.conf", "/etc/b.conf", "/srv/deep/c"})


async def wakes(root: Path, *acts: Callable[[Path], object]) -> list[bool]:
    """Return for each of ``acts`` whether it wakes a watch for `PATHS`."""
    woken = asyncio.Event()
    task = asyncio.create_task(FileWatch(lambda: PATHS, root, woken.set).run())
    results = []
    for act in acts:
        await asyncio.sleep(0.05)
        woken.clear()
        act(root)
        try:
            await asyncio.wait_for(woken.wait(), 0.3)
            results.append(True)
        except TimeoutError:
            results.append(False)
    task.cancel()
    return results


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in ("etc/app/a.conf", "etc/b.conf", "etc/other", "srv/unrelated"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("a")
    return tmp_path


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda root: (root / "etc/b.conf").write_text("b"), True),
        (lambda root: (root / "etc/b.conf").unlink(), True),
        (lambda root: (root / "etc/b.conf").chmod(0o600), True),
        (lambda root: (root / "etc/other").rename(root / "etc/b.conf"), True),
        (lambda root: (root / "etc/app").rename(root / "etc/away"), True),
        (lambda root: (root / "etc/other").write_text("b"), False),
        (lambda root: (root / "etc/app/other").write_text("b"), False),
    ],
    ids=["edit", "delete", "chmod", "rename over", "rename the directory", "other", "other in a directory"],
)
def test_a_change_of_a_placed_file_wakes(root: Path, act: Callable[[Path], object], expected: bool) -> None:
    assert asyncio.run(wakes(root, act)) == [expected]


def test_a_file_is_watched_once_its_directory_exists_again(root: Path) -> None:
    acts: tuple[Callable[[Path], object], ...] = (
        lambda root: (root / "srv/deep").mkdir(),
        lambda root: (root / "srv/deep/c").write_text("a"),
        lambda root: (root / "srv/deep").rename(root / "srv/away"),
        lambda root: (root / "srv/away/c").write_text("b"),
    )
    assert asyncio.run(wakes(root, *acts)) == [True, True, True, False]
