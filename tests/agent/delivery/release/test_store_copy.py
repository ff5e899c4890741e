"""Backup and restore: a copy is complete, the same for every store, and never half taken for whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import pytest

from ordain.agent.delivery.database.database import ANY, Conflict, Database, Write
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.release import signing, store_copy
from ordain.agent.delivery.release.admission import admit_snapshot
from ordain.agent.delivery.release.assemble import assemble
from ordain.agent.delivery.release.manifest import ReleaseDraft
from ordain.agent.delivery.release.publish import publish, read_head
from ordain.agent.delivery.release.store_copy import copy_store, plan_restore, read_copy, restore, write_copy
from ordain.agent.delivery.source.release_reader import ReleaseReader
from ordain.agent.errors import Failure
from ordain.agent.settings import Trust
from ordain.transforms.machine.facts import read_facts
from rig.stores.signing_keys import key_of

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


async def test_a_backup_leaves_out_and_names_keys_that_cannot_be_files(open_store: OpenStore, tmp_path: Path) -> None:
    foreign = ("documents/../x", "documents//x", "documents/\udcff", "machines/" + "k" * 300, "releases/a/b")
    async with open_store() as database:
        for key in ("documents/common/layer/base", UNSIGNED, "releases/a/b/c"):
            await database.put(key, BASE, expect=None)
        taken = []
        for key in foreign:
            with suppress(SourceError):
                await database.put(key, b"x", expect=None)
                taken.append(key)
        assert len(taken) == {"etcd": 5, "couchdb": 4, "directory": 1}[database.type]

        copy = await copy_store(database)
        write_copy(copy, tmp_path / "backup")

        ours = {"documents/common/layer/base", UNSIGNED, "releases/a/b/c"}
        assert set(read_copy(tmp_path / "backup").entries) == ours
        assert {problem.partition(" is left out: ")[0] for problem in copy.problems} == {key[:100] for key in taken}


async def test_a_store_with_more_documents_than_one_listing_takes_is_backed_up(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordain.agent.delivery.database.etcd.MAX_BYTES", 20_000)
    texts = [b"ordain: v1\nkind: Layer\nname: n%d\n# %s\n" % (number, b"x" * 1_000) for number in range(40)]
    made = assemble(tuple((f"n{number}.yaml", text) for number, text in enumerate(texts)))
    async with open_store() as database:
        draft = ReleaseDraft(channel="stable", number=1, documents=made.names, created="now")
        await publish(database, draft.release(), dict(made.blobs))

        copy = await copy_store(database)

        assert sorted(data for key, data in copy.entries.items() if key.startswith("blobs/")) == sorted(texts)
        assert (await plan_restore(database, copy)).writes == ()

        for number in range(30 if database.type == "etcd" else 0):
            await database.put(f"documents/common/layer/n{number}", texts[number], expect=None)
            if number == 29:
                with pytest.raises(SourceError) as error:  # and not a backup without them
                    await copy_store(database)
                assert error.value.code is SourceFault.TOO_LARGE


async def test_a_machine_refuses_the_older_release_of_a_restored_store(open_store: OpenStore, tmp_path: Path) -> None:
    private, public = key_of(1)
    for name, text in (
        ("etc/machine-id", "a" * 32),
        ("etc/os-release", "ID=debian"),
        ("etc/ordain/trust/ops.pub", public.line),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    made = assemble((("base.yaml", BASE),))

    async def publish_number(database: Database, number: int) -> None:
        release = ReleaseDraft(channel="stable", number=number, documents=made.names, created="now").release()
        signed = release.signed(public.id, signing.sign(private, release.canonical))
        await publish(database, signed, dict(made.blobs))

    async def taken(database: Database) -> str:
        snapshot = await ReleaseReader(database, lambda: read_facts(tmp_path), {}).read()
        return admit_snapshot(tmp_path, Trust.REQUIRED, snapshot)[1].title

    async with open_store() as database:
        await publish_number(database, 1)
        backup = await copy_store(database)
        await publish_number(database, 2)
        assert await taken(database) == "stable 2"

        for entry in (await database.list("releases/", "blobs/")).entries:  # the store is lost
            await database.delete(entry.key, expect=entry.version)
        await restored(database, backup)
        with pytest.raises(SourceError) as refused:
            await taken(database)
        assert refused.value.code is SourceFault.RELEASE_REPLAYED
        await publish_number(database, 3)
        assert await taken(database) == "stable 3"
