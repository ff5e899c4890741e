"""Mounts that never answer: nothing waits for them, and the files or documents that cannot be read are named."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ordain.agent.apply.differences.read_back import ReadBack
from ordain.agent.cli.documents.document_files import contents, read_files
from ordain.agent.cli.machine import doctor
from ordain.agent.daemon.file_watch import FileWatch
from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.agent.model import Generation, Observed
from ordain.agent.system import bounded_reads
from ordain.generator.phases import RECORDS
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


@pytest.mark.parametrize("hung", ["directory", "document"])
def test_documents_on_a_mount_that_does_not_answer_hold_up_nobody_and_are_read_when_it_answers(
    root: Path, hung: str
) -> None:
    place = "srv/hung" if hung == "directory" else "etc"
    (root / "etc/link.yaml").symlink_to("../srv/hung/a.yaml")
    source = DirectorySource(Path("/", place), root)

    async def follow() -> tuple[SourceError, list[str]]:
        changes = source.changes()
        with hung_mount(root / "srv/hung"):
            with pytest.raises(SourceError) as failure:
                await asyncio.wait_for(source.read(), LONG_SEC)
            change = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0)  # the loop goes on
            assert not change.done() or hung == "document"
        (root / "srv/hung/a.yaml").write_text("x")
        async with asyncio.timeout(LONG_SEC):
            await change
            while True:
                with contextlib.suppress(SourceError):
                    return failure.value, [text.decode() for _, text in (await source.read()).texts]
                await anext(changes)

    error, texts = asyncio.run(follow())
    assert (error.code, str(error)) == ("MountNotAnswering", f"/{place} does not answer")
    assert "journalctl -k" in error.hint
    assert texts == ["x"]


def test_commands_that_read_a_directory_of_documents_name_the_mount_that_does_not_answer(root: Path) -> None:
    settings = root / "etc/ordain/agent.yaml"
    settings.parent.mkdir()
    settings.write_text("source: {type: directory, path: /srv/hung}\n")
    with hung_mount(root / "srv/hung"):
        files, problems = contents([str(root / "srv/hung")])
        found = [*doctor.documents(root), *doctor.writers(root)]
        _, misnamed = read_files([str(root / "srv/hung")])

    assert files == ()
    assert [str(problem) for problem in problems] == [str(problem) for problem in misnamed]
    assert problems[0].code == "MountNotAnswering"
    assert [finding.what for finding in found if finding.verdict is doctor.CheckResult.FAILED] == [
        "/srv/hung does not answer; the last valid state stays in force [MountNotAnswering]",
        "/srv/hung does not answer [MountNotAnswering]",
    ]


def test_a_reload_of_a_machine_without_a_generation_does_not_read_the_documents(root: Path) -> None:
    (root / "run/systemd").mkdir(parents=True)
    (root / "etc/ordain").mkdir()
    (root / "etc/ordain/documents").mkdir()
    with socket.socket(socket.AF_UNIX) as manager, hung_mount(root / "etc/ordain/documents"):
        manager.bind(str(root / "run/systemd/private"))
        manager.listen()
        program = (
            "import sys; from ordain.generator.first_boot import needs_compile as n; print(n(sys.argv[1], own=True))"
        )
        answer = subprocess.run(
            [sys.executable, "-c", program, str(root)], capture_output=True, text=True, timeout=LONG_SEC, check=True
        )
    assert answer.stdout == "False\n"
