"""The directory source: the files that are documents, readings as of one moment, and changes."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from ordain.agent.delivery.protocol import SourceError
from ordain.agent.delivery.source.directory_source import BURST_SEC, QUIET_SEC, DirectorySource
from ordain.agent.delivery.source.local_files import misnamed_documents

SOON_SEC = QUIET_SEC + 1.0


def names(path: Path) -> list[str]:
    return [Path(name).name for name, _ in asyncio.run(DirectorySource(path).read()).texts]


def test_documents_are_recognised_by_their_names(tmp_path: Path) -> None:
    taken = ("a.yaml", "b.yml", "c.json")
    for name in (*taken, ".hidden.yaml", ".a.yaml.swp", "a.yaml~", "#a.yaml#", "4913", "a.yaml.dpkg-new", "README"):
        (tmp_path / name).write_text(name)
    (tmp_path / "below").mkdir()

    assert names(tmp_path) == list(taken)


def test_a_document_that_is_not_read_because_of_its_name_is_named(tmp_path: Path) -> None:
    text = "# a comment\nordain: v1\nkind: Layer\nname: a\n"
    misnamed = ("Hello.YAML", "a.yaml.txt", "hello", "web.yalm")
    for name in (*misnamed, "b.yaml", ".c.yaml.swp", "d.yaml~", "e.yaml.dpkg-new", "f.yaml.bak", "g.disabled"):
        (tmp_path / name).write_text(text)
    (tmp_path / "README").write_text("Write `ordain: v1` first.\n")
    (tmp_path / "below").mkdir()

    assert list(misnamed_documents(tmp_path)) == list(misnamed)
    assert list(misnamed_documents(tmp_path / "missing")) == []


def test_the_revision_depends_only_on_names_and_content(tmp_path: Path) -> None:
    source = DirectorySource(tmp_path)

    def revision() -> str:
        return asyncio.run(source.read()).revision

    (tmp_path / "a.yaml").write_text("1")
    first = revision()
    os.utime(tmp_path / "a.yaml", (1, 1))
    assert revision() == first
    (tmp_path / "a.yaml").write_text("2")
    assert revision() != first
    (tmp_path / "a.yaml").write_text("1")
    (tmp_path / "b.yaml").write_text("")
    assert revision() != first


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.rmdir(), "No such file or directory"),
        (lambda path: (path / "a.yaml").mkdir(), "not a regular file"),
        (lambda path: os.mkfifo(path / "a.yaml"), "not a regular file"),
        (lambda path: (path / "a.yaml").symlink_to("/nonexistent"), "No such file or directory"),
    ],
    ids=["no directory", "a directory", "a pipe", "a link to nowhere"],
)
def test_a_document_that_cannot_be_read_is_reported(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    path = tmp_path / "documents"
    path.mkdir()
    make(path)

    with pytest.raises(SourceError, match=reason):
        asyncio.run(DirectorySource(path).read())


@pytest.mark.parametrize(
    ("mode", "owner", "words"), [(0o646, 0, "every user may write it"), (0o644, 65534, "user 65534")]
)
@pytest.mark.skipif(os.geteuid() != 0, reason="changes the owner of a file")
def test_documents_that_others_can_write_are_refused(tmp_path: Path, mode: int, owner: int, words: str) -> None:
    for path in (tmp_path / "a.yaml", tmp_path):
        (tmp_path / "a.yaml").write_text("services: {}\n")
        before = path.stat().st_mode & 0o7777
        path.chmod(mode | before & 0o111)
        os.chown(path, owner, -1)
        with pytest.raises(SourceError, match=words) as refused:
            asyncio.run(DirectorySource(tmp_path).read())
        assert f"chown root:root {path}" in refused.value.hint
        path.chmod(before)
        os.chown(path, 0, -1)


def test_too_large_documents_are_not_read(tmp_path: Path) -> None:
    for number in range(20):
        with (tmp_path / f"{number}.yaml").open("wb") as file:
            file.truncate(4 << 20)

    with pytest.raises(SourceError, match="bytes of documents"):
        asyncio.run(DirectorySource(tmp_path).read())


def test_a_reading_is_as_of_one_moment(tmp_path: Path) -> None:
    """A writer puts one number into both files, one after the other; every reading is a state that existed."""
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            for name in ("a.yaml", "b.yaml"):
                (tmp_path / f".{name}").write_text(str(number))
                (tmp_path / f".{name}").rename(tmp_path / name)
            stop.wait(0.02)

    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("0")
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(50):
            try:
                (_, a), (_, b) = asyncio.run(DirectorySource(tmp_path).read()).texts
            except SourceError:
                continue
            # The state between the two renames existed as well.
            assert int(a) - int(b) in (0, 1)
    finally:
        stop.set()
        writer.join()


async def reports_change(changes: AsyncIterator[None], timeout_sec: float = SOON_SEC) -> bool:
    """Return whether a change is reported in time; after a timeout, the iterator has ended."""
    try:
        await asyncio.wait_for(anext(changes), timeout_sec)
    except (TimeoutError, StopAsyncIteration):
        return False
    return True


def follow(path: Path, story: Callable[[AsyncIterator[None]], Awaitable[None]]) -> None:
    async def run_story() -> None:
        changes = DirectorySource(path).changes()
        assert await reports_change(changes)
        await story(changes)
        await changes.aclose()  # type: ignore[attr-defined]

    asyncio.run(run_story())


def test_a_burst_of_changes_is_reported_once(tmp_path: Path) -> None:
    async def story(changes: AsyncIterator[None]) -> None:
        for number in range(20):
            (tmp_path / f"{number}.yaml").write_text("x")
        assert await reports_change(changes)
        assert not await reports_change(changes, 2 * QUIET_SEC)

    follow(tmp_path, story)


def test_the_first_change_of_a_burst_is_told_before_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        begun = asyncio.Event()
        changes = DirectorySource(tmp_path, quiet_sec=60.0).changes(begun.set)
        assert await reports_change(changes)
        assert not begun.is_set()
        waiting = asyncio.ensure_future(anext(changes))
        (tmp_path / "a.yaml").write_text("x")
        async with asyncio.timeout(30):
            await begun.wait()
        assert not waiting.done()
        waiting.cancel()

    asyncio.run(story())


def test_a_burst_without_end_is_reported_while_it_lasts(tmp_path: Path) -> None:
    async def story(changes: AsyncIterator[None]) -> None:
        async def scribble() -> None:
            while True:
                (tmp_path / "a.yaml").write_text("x")
                await asyncio.sleep(QUIET_SEC / 4)

        scribbling = asyncio.create_task(scribble())
        assert await reports_change(changes, BURST_SEC + 1.0)
        scribbling.cancel()

    follow(tmp_path, story)


def test_the_directory_may_appear_vanish_and_appear_again(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "documents"

    async def story(changes: AsyncIterator[None]) -> None:
        for _ in range(2):
            path.mkdir(parents=True)
            assert await reports_change(changes)
            (path / "a.yaml").write_text("x")
            assert await reports_change(changes)
            (path / "a.yaml").unlink()
            path.rmdir()
            path.parent.rmdir()
            assert await reports_change(changes)

    follow(path, story)


def test_a_file_that_appears_with_its_directory_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "etc" / "documents"

    async def story(changes: AsyncIterator[None]) -> None:
        path.mkdir(parents=True)
        (path / "a.yaml").write_text("x")
        assert await reports_change(changes)
        assert names_of(await DirectorySource(path).read()) == ["a.yaml"]

    def names_of(snapshot: object) -> list[str]:
        return [Path(name).name for name, _ in snapshot.texts]  # type: ignore[attr-defined]

    follow(path, story)


def test_a_replaced_symbolic_link_is_a_change(tmp_path: Path) -> None:
    """Config maps of Kubernetes are changed so, and so are releases that lie beside each other."""
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
        (tmp_path / number / "a.yaml").write_text(number)
    path = tmp_path / "documents"
    path.mkdir()
    (path / "..data").symlink_to("../1")
    (path / "a.yaml").symlink_to("..data/a.yaml")

    async def story(changes: AsyncIterator[None]) -> None:
        (path / "..new").symlink_to("../2")
        (path / "..new").rename(path / "..data")
        assert await reports_change(changes)
        assert (await DirectorySource(path).read()).texts[0][1] == b"2"

    follow(path, story)


def test_a_change_beside_the_directory_is_not_reported(tmp_path: Path) -> None:
    path = tmp_path / "documents"
    path.mkdir()

    async def story(changes: AsyncIterator[None]) -> None:
        (tmp_path / "passwd").write_text("x")
        assert not await reports_change(changes, 3 * QUIET_SEC)

    follow(path, story)
