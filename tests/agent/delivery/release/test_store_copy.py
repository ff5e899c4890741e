"""Backup and restore: a copy is complete, the same for every store, and never half taken for whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from ordain.agent.delivery.database.database import ANY, Conflict, Database, Write
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.release import store_copy
from ordain.agent.delivery.release.assemble import assemble
from ordain.agent.delivery.release.manifest import ReleaseDraft
from ordain.agent.delivery.release.publish import publish, read_head
from ordain.agent.delivery.release.store_copy import copy_store, plan_restore, read_copy, restore, write_copy
from ordain.agent.errors import Failure

OpenStore = Callable[[], AbstractAsyncContextManager[Database]]
BASE = b"ordain: v1\nkind: Layer\nname: base\n"
UNSIGNED = "documents/role=%C3%BC/layer/a b"


async def filled(folder: Path) -> DirectoryDatabase:
    """Return a store with two releases, a document of each kind, a report and a lock."""
    folder.mkdir()  # noqa: ASYNC240
    database = DirectoryDatabase(folder)
    for number in (1, 2):
        made = assemble((("base.yaml", BASE), ("n.yaml", b"ordain: v1\nkind: Layer\nname: n%d\n" % number)))
        draft = ReleaseDraft(channel="stable", number=number, documents=made.names, created="now")
        await publish(database, draft.release(), dict(made.blobs))
    for key in ("documents/common/layer/base", UNSIGNED, "machines/m1", "status/m1", "locks/stable/0"):
        await database.put(key, BASE, expect=None)
    return database


async def restored(database: Database, copy: store_copy.StoreCopy) -> store_copy.Restore:
    """Restore a copy and return what was planned."""
    plan = await plan_restore(database, copy)
    await restore(database, plan)
    return plan


async def test_a_copy_restored_into_any_store_is_the_same_copy_again(open_store: OpenStore, tmp_path: Path) -> None:
    copy = await copy_store(await filled(tmp_path / "first"))
    write_copy(copy, tmp_path / "backup")
    async with open_store() as database:
        plan = await restored(database, read_copy(tmp_path / "backup"))

        again = await copy_store(database)

        assert again.entries == copy.entries
        assert UNSIGNED in again.entries
        assert {key.partition("/")[0] for key in again.entries} == {"documents", "releases", "blobs", "machines"}
        head, _ = await read_head(database, "stable")
        assert head is not None
        assert head.number == 2
        assert plan.writes[-1].key == "releases/stable/head", "machines follow it"
        assert (await plan_restore(database, copy)).writes == (), "a second run writes nothing"


async def test_a_restore_names_what_it_would_replace_and_leaves_what_the_copy_does_not_have(tmp_path: Path) -> None:
    database = await filled(tmp_path / "first")
    copy = await copy_store(database)
    await database.put("documents/common/layer/base", b"other", expect=ANY)
    await database.put("documents/common/layer/new", b"new", expect=None)
    await database.delete("blobs/" + next(key for key in copy.entries if key.startswith("blobs/"))[6:], expect=ANY)

    plan = await restored(database, copy)

    assert plan.differing == ("documents/common/layer/base",)
    assert (len(plan.writes), plan.others) == (2, 1)
    assert await database.get("documents/common/layer/new") is not None
    assert (await copy_store(database)).entries == {**copy.entries, "documents/common/layer/new": b"new"}


async def test_a_change_after_the_plan_is_not_overwritten(tmp_path: Path) -> None:
    database = await filled(tmp_path / "first")
    copy = await copy_store(database)
    await database.put("documents/common/layer/base", b"other", expect=ANY)
    plan = await plan_restore(database, copy)
    await database.put("documents/common/layer/base", b"a third", expect=ANY)

    with pytest.raises(Conflict):
        await restore(database, plan)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "backup.json").unlink(), "backup.json is missing"),
        (lambda folder: (folder / "documents/common/layer/base").unlink(), "base is missing"),
        (lambda folder: (folder / "documents/common/layer/base").write_bytes(b"x"), "has changed since the backup"),
        (lambda folder: (folder / "backup.json").write_text("{"), "backup.json is damaged"),
        (lambda folder: (folder / "backup.json").write_text("[" * 100_000), "backup.json is damaged"),
        (lambda folder: (folder / "backup.json").write_text('{"format": 2}'), "format 2"),
        (
            lambda folder: (folder / "backup.json").write_text(
                json.dumps({"format": 1, "store": "", "time": "", "sha256": {"../../etc/passwd": "x"}})
            ),
            "backup.json is damaged",
        ),
    ],
)
async def test_a_backup_that_is_not_whole_is_refused(
    damage: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    write_copy(await copy_store(await filled(tmp_path / "first")), tmp_path / "backup")
    damage(tmp_path / "backup")

    with pytest.raises(Failure, match=message):
        read_copy(tmp_path / "backup")


async def test_a_backup_is_never_written_over_another_one(tmp_path: Path) -> None:
    copy = await copy_store(await filled(tmp_path / "first"))
    write_copy(copy, tmp_path / "backup")

    with pytest.raises(Failure, match="is not empty"):
        write_copy(copy, tmp_path / "backup")
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700


async def test_a_release_without_its_documents_is_not_copied(tmp_path: Path) -> None:
    database = await filled(tmp_path / "first")
    key = next(entry.key for entry in (await database.list("blobs/")).entries)
    await database.write([Write(key=key, data=None, expect=ANY)])

    with pytest.raises(Failure, match="releases name documents that are missing or damaged"):
        await copy_store(database)
