"""A user who exchanges files and directories of their own between any two calls of the kernel that root makes there.

Each run is a placement in which the user acts once, before one call. All calls are tried with all acts, so that no
timing decides about the result.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ordain.generator import safe_tree
from ordain.generator.files import FilePlacement, PlacementReport
from ordain.transforms.artifacts import PlacedDirectory, PlacedFile, RegularFile, SymbolicLink

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="files get owners")

ALICE = 2001
CALLS = "open stat mkdir rmdir unlink rename symlink chown readlink listdir".split()
"""The calls that take a name. The others take a descriptor, so that no exchange before one can matter to it."""
PLACED: tuple[PlacedFile, ...] = (
    RegularFile(path="/home/alice/app/conf", content="new", mode=0o600, owner="alice", group="alice"),
    SymbolicLink(path="/home/alice/app/link", target="/etc/target", owner="alice", group="alice"),
    PlacedDirectory(path="/home/alice/app/data", mode=0o777, owner="alice", group="alice"),
    RegularFile(path="/home/alice/app/made/conf", content="new", owner="alice", group="alice"),
)


class Interrupted:
    """The module os, with an ``act`` before the call of number ``at``; ``count`` calls were made."""

    def __init__(self, at: int, act: Callable[[], None]) -> None:
        self.at, self.act, self.count = at, act, 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*args: Any, **words: Any) -> Any:
            self.count += 1
            if self.count == self.at:
                self.act()
            return real(*args, **words)

        return call


def make_tree(root: Path) -> None:
    """Make a machine with a home, and a directory of root that nothing may change."""
    (root / "etc").mkdir(parents=True)
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nalice:x:2001:2001::/home/alice:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nalice:x:2001:\n")
    outside = root / "outside"
    for name in ("sub", "data", "made"):
        (outside / name).mkdir(parents=True, mode=0o755)
    for name in ("conf", "sub/conf", "link"):
        (outside / name).write_text("of root")
    app = root / "home/alice/app"
    (app / "sub").mkdir(parents=True)
    (app / "conf").write_text("old")
    for path in (app.parent, app, app / "sub", app / "conf"):
        os.chown(path, ALICE, ALICE)


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """Return all that lies below a directory: type, mode, owner, number of links and content."""
    state: dict[str, tuple[object, ...]] = {}
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        state[str(path)] = (status.st_mode, status.st_uid, status.st_gid, status.st_nlink, content)
    return state


def acts(root: Path, file: PlacedFile) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield what alice may do at any moment in her home with the path of ``file``, and with what lies above it."""
    app, outside = root / "home/alice/app", root / "outside"
    path = root / file.path.lstrip("/")
    beside = path.with_name(f".ordain-{hashlib.sha256(path.name.encode()).hexdigest()[:16]}")
    above = [place for place in path.parents if place.is_relative_to(app)]
    for place in (path, *above):
        link = partial(place.symlink_to, outside / place.relative_to(app))
        yield f"{place} becomes a link", partial(_exchange, place, link)
        yield f"{place} becomes a directory", partial(_exchange, place, place.mkdir)
    for place in (path, beside):
        yield f"{place} becomes a pipe", partial(_exchange, place, partial(os.mkfifo, place))
    yield f"{beside} becomes a link", partial(_exchange, beside, partial(beside.symlink_to, outside / "conf"))


def _exchange(path: Path, make: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):  # there is nothing yet, or no directory for it
        path.rename(path.with_name(f"{path.name}.away"))
    with contextlib.suppress(OSError):
        make()
        os.chown(path, ALICE, ALICE, follow_symlinks=False)


def place(root: Path, *wanted: PlacedFile) -> PlacementReport:
    """Place the files, in a thread that a pipe would hold up for ever."""
    reports: list[PlacementReport] = []
    thread = threading.Thread(target=lambda: reports.append(FilePlacement(root, "main").run(wanted)), daemon=True)
    thread.start()
    thread.join(60)
    assert reports, "the placement hangs or has ended with an error"
    return reports[0]


def count_calls(root: Path, monkeypatch: pytest.MonkeyPatch, *wanted: PlacedFile) -> int:
    """Return the number of calls of a run that nobody disturbs."""
    counting = Interrupted(0, lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(safe_tree, "os", counting)
        assert place(root, *wanted).problems == {}
    return counting.count


@pytest.mark.thorough
@pytest.mark.parametrize("step", ["place", "restore"])
@pytest.mark.parametrize("file", PLACED, ids=lambda file: file.path.removeprefix("/home/alice/app/"))
def test_no_exchange_by_a_user_at_any_moment_changes_anything_outside_their_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: PlacedFile, step: str
) -> None:
    wanted = (file,) if step == "place" else ()
    root = tmp_path / "root"
    monkeypatch.setattr(os, "fsync", lambda _: None)  # hundreds of runs would wait for the disk

    def prepare() -> None:
        shutil.rmtree(root, ignore_errors=True)
        make_tree(root)
        if step == "restore":
            assert place(root, file).problems == {}

    prepare()
    calls = count_calls(root, monkeypatch, *wanted)
    assert calls > 20
    for name, act in acts(root, file):
        for at in range(1, calls + 1):
            prepare()
            before = snapshot(root / "outside")
            interrupted = Interrupted(at, act)
            with monkeypatch.context() as patch:
                patch.setattr(safe_tree, "os", interrupted)
                place(root, *wanted)
            assert interrupted.count >= at, f"{name} before call {at} was not tried"
            assert snapshot(root / "outside") == before, f"{name} before call {at}"
            assert not (root / "etc/target").exists()
