"""Mounts that never answer: the agent waits for none, and names the files that it could not look at."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from ordain.agent.apply.differences.read_back import ReadBack
from ordain.agent.daemon.file_watch import FileWatch
from ordain.agent.model import Generation, Observed
from ordain.agent.system import bounded_reads
from ordain.generator.files import RECORDS
from ordain.generator.safe_tree import PathState
from ordain.transforms.artifacts import RegularFile
from rig.hung_mount import hung_mount, missing

pytestmark = [pytest.mark.integration, pytest.mark.skipif(bool(missing()), reason=missing())]
LONG_SEC = 60.0
PATHS = ("/srv/hung/a", "/srv/hung/b", "/etc/here")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bounded_reads, "ANSWER_SEC", 0.3)
    for folder in ("srv/hung", "etc", RECORDS["main"]):
        (tmp_path / folder).mkdir(parents=True)
    ours = PathState.of("file", b"ours", mode=0o644, uid=0, gid=0)
    (tmp_path / "etc/here").write_text("theirs")
    rows = {
        path: {"ours": ours.record(), "before": PathState("nothing").record(), "made": [], "keep": False}
        for path in PATHS
    }
    (tmp_path / RECORDS["main"] / "placed.json").write_text(json.dumps(rows))
    return tmp_path


def generation() -> Generation:
    files = tuple(RegularFile(path=path, content="ours", item=f"files/{path}") for path in PATHS)
    return Generation(hash="x", artifacts=files, members=(), document={}, provenance={})


def test_a_mount_that_does_not_answer_is_a_condition_and_all_else_is_looked_at(root: Path) -> None:
    async def looked() -> list[list[str]]:
        read_back = ReadBack(None, root)  # type: ignore[arg-type]
        rounds = []
        for _ in range(2):
            differences = await asyncio.wait_for(read_back.file_differences(generation(), Observed()), LONG_SEC)
            rounds.append([f"{found.condition.code} {found.condition.what}" for found in differences])
        return rounds

    with hung_mount(root / "srv/hung"):
        first, second = asyncio.run(looked())

    assert first == second
    assert [text.split()[0] for text in first] == ["FileChanged", "MountNotAnswering"]
    assert f"{root}/srv/hung does not answer: /srv/hung/a and 1 more" in first[1]


def test_files_are_compared_again_when_the_mount_answers(root: Path) -> None:
    async def looked() -> list[str]:
        read_back = ReadBack(None, root)  # type: ignore[arg-type]
        with hung_mount(root / "srv/hung"):
            await read_back.file_differences(generation(), Observed())
        for name in ("a", "b"):
            (root / "srv/hung" / name).write_text("theirs")
        async with asyncio.timeout(LONG_SEC):
            while True:  # the thread ends with the mount
                found = await read_back.file_differences(generation(), Observed())
                if len(found) == 3:
                    return [difference.condition.code for difference in found]
                await asyncio.sleep(0.05)

    assert asyncio.run(looked()) == ["FileChanged"] * 3


def test_a_mount_that_does_not_answer_keeps_no_other_file_from_being_watched(root: Path) -> None:
    async def watched() -> None:
        changed = asyncio.Event()
        task = asyncio.create_task(FileWatch(lambda: frozenset(PATHS), root, changed.set).run())
        async with asyncio.timeout(LONG_SEC):
            while not changed.is_set():
                (root / "etc/here").write_text("again")
                await asyncio.sleep(0.1)
        task.cancel()

    with hung_mount(root / "srv/hung"):
        asyncio.run(watched())
