"""The promises of every store: compare-and-set, listings as of one moment, and a hint when something changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.delivery.database import document_keys
from ordain.agent.delivery.database.database import ABSENT, ANY, Conflict, Database, Write
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.database.named_documents import NamedDocuments
from ordain.agent.delivery.protocol import Snapshot, SourceError
from ordain.agent.delivery.source.database_source import DatabaseSource
from ordain.agent.delivery.source.handover_file import Handover, decode, encode
from ordain.transforms.document.reader import read
from rig.stores.source_harness import FACTS

BASE = b"ordain: v1\nkind: Layer\nname: base\n"
OpenStore = Callable[[], AbstractAsyncContextManager[Database]]


async def test_entries_that_were_put_are_listed(open_store: OpenStore) -> None:
    async with open_store() as database:
        version = await database.put("documents/common/layer/b", b"2", expect=None)
        await database.put("documents/common/layer/a", b"1", expect=None)
        await database.put("status/x", b"3", expect=ANY)
        listing = await database.list("documents/common/", "documents/role=web/")
        assert [(e.key, e.data) for e in listing.entries] == [
            ("documents/common/layer/a", b"1"),
            ("documents/common/layer/b", b"2"),
        ]
        assert listing.entries[1].version == version
        found = await database.get("status/x")
        assert found is not None
        assert found.data == b"3"
        assert await database.get("status/y") is None


async def test_a_write_that_expects_another_version_writes_nothing(open_store: OpenStore) -> None:
    async with open_store() as database:
        version = await database.put("documents/a/b", b"1", expect=None)
        with pytest.raises(Conflict):
            await database.put("documents/a/b", b"2", expect=None)
        await database.put("documents/a/b", b"2", expect=version)
        with pytest.raises(Conflict):
            await database.put("documents/a/b", b"3", expect=version)
        with pytest.raises(Conflict):
            await database.delete("documents/a/b", expect=version)
        with pytest.raises(Conflict):
            await database.delete("documents/a/c", expect=version)
        with pytest.raises(Conflict):
            await database.write(
                [
                    Write(key="documents/a/new", data=b"x", expect=None),
                    Write(key="documents/a/b", data=b"3", expect=version),
                ]
            )
        assert [(e.key, e.data) for e in (await database.list("documents/a/")).entries] == [("documents/a/b", b"2")]


async def test_a_deleted_key_can_be_put_again(open_store: OpenStore) -> None:
    async with open_store() as database:
        version = await database.put("documents/a/b", b"1", expect=None)
        await database.delete("documents/a/b", expect=version)
        assert (await database.list("documents/a/")).entries == ()
        await database.put("documents/a/b", b"1", expect=None)
        await database.delete("documents/a/b", expect=ANY)
        await database.delete("documents/a/b", expect=ANY)


async def test_a_complete_history_ends_before_the_first_version(open_store: OpenStore) -> None:
    async with open_store() as database:
        version = await database.put("documents/a", b"1", expect=None)
        await database.put("documents/a", b"2", expect=version)

        history = await database.history("documents/a", 10)

        keeps_versions = database.type != "directory"
        assert [entry.data for entry in history] == ([b"2", b"1", b""] if keeps_versions else [])
        assert [entry.version == ABSENT for entry in history] == ([False, False, True] if keeps_versions else [])
        assert len(await database.history("documents/a", 1)) == int(keeps_versions)


FOREIGN_KEYS = (
    "documents/common/layer/\udcff\udcfe",  # the bytes ff fe, which are not UTF-8
    "documents/common/layer/\x1b[31m",
    "documents/common/layer/" + "k" * 2000,
    "documents/common/layer/../../x",
    "documents/common/layer/",
    "documents/common",
)
"""Keys that other programs can write into a store, if it takes them."""


async def test_keys_of_other_programs_keep_nobody_from_the_documents(open_store: OpenStore) -> None:
    async with open_store() as database:
        await database.put("documents/common/layer/base", BASE, expect=None)
        taken = []
        for key in FOREIGN_KEYS:
            with contextlib.suppress(SourceError):
                taken.append((key, await database.put(key, b"x", expect=None)))

        listed = [entry.key for entry in (await database.list("documents/")).entries]
        assert sorted(listed) == sorted([*(key for key, _ in taken), "documents/common/layer/base"])
        stored, others = await NamedDocuments(database).all_and_others()
        assert [text.title for text in stored] == ["layer/base"]
        assert set(others) == {key for key, _ in taken}

        read_by_machine = await DatabaseSource(database, lambda: FACTS, {}).read()
        handover = decode(encode(Handover(location="x", settings="y", snapshot=read_by_machine)))
        assert handover.snapshot.texts == (("common/layer/base", BASE),)

        for key, version in taken:
            await database.delete(key, expect=version)
        assert [entry.key for entry in (await database.list("documents/")).entries] == ["documents/common/layer/base"]
        assert database.type == "couchdb" or taken[0][0] == FOREIGN_KEYS[0]


async def test_many_keys_that_are_no_text_are_listed_page_by_page(open_store: OpenStore) -> None:
    keys = sorted(f"status/{first}{number}" for first in ("\ue000", "\udcff") for number in range(150))
    async with open_store() as database:
        if database.type == "couchdb":
            pytest.skip("its keys are Unicode")
        for first in range(0, len(keys), 100):
            await database.write([Write(key=key, data=b"x", expect=None) for key in keys[first : first + 100]])
        assert [entry.key for entry in (await database.list("status/")).entries] == keys


async def test_a_watch_reports_changes_below_its_prefixes(open_store: OpenStore) -> None:
    async with open_store() as database:
        await database.put("documents/a/b", b"1", expect=None)
        listing = await database.list("documents/a/", "documents/b/")
        async with aclosing(database.watch(("documents/a/", "documents/b/"), listing.revision)) as hints:
            waiting = asyncio.ensure_future(anext(hints))
            await database.put("documents/b/new", b"2", expect=None)
            await asyncio.wait_for(waiting, 10)


async def test_a_change_between_listing_and_watching_is_not_missed(open_store: OpenStore) -> None:
    async with open_store() as database:
        listing = await database.list("documents/a/")
        await database.put("documents/a/b", b"1", expect=None)
        async with aclosing(database.watch(("documents/a/",), listing.revision)) as hints:
            await asyncio.wait_for(anext(hints), 10)


def test_a_missing_directory_is_an_error_and_not_an_empty_store(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="gone"):
        asyncio.run(DirectoryDatabase(tmp_path / "gone").list("documents/a/"))


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "a//b", ".lock", "a/.x"])
def test_a_key_cannot_leave_the_directory(tmp_path: Path, key: str) -> None:
    with pytest.raises(SourceError):
        asyncio.run(DirectoryDatabase(tmp_path / "root").put(key, b"", expect=None))
    assert list(tmp_path.iterdir()) == []


def text(name: str, match: str = "", rest: str = "", kind: str = "Layer") -> bytes:
    where = f"match: {match}\n" if match else ""
    return f"ordain: v1\nkind: {kind}\nname: {name}\n{where}{rest}".encode()


async def publish(database: Database, data: bytes) -> None:
    """Put a document under all keys that it belongs to."""
    (document,), _ = read("x.yaml", data)
    for key in document_keys.keys_of(document):
        await database.put(key, data, expect=ANY)


def paths(snapshot: Snapshot) -> list[str]:
    return [path for path, _ in snapshot.texts]


async def test_a_machine_reads_the_documents_for_the_labels_of_its_node(open_store: OpenStore) -> None:
    async with open_store() as database:
        source = DatabaseSource(database, lambda: FACTS, {})
        await publish(database, text("base"))
        await publish(database, text("web", "{role: web}"))
        await publish(database, text("db", "{role: db}"))
        assert paths(await source.read()) == ["common/layer/base"]
        await publish(database, text("web3", rest="labels: {role: web}\n", kind="Node"))
        assert paths(await source.read()) == ["common/layer/base", "hostname=web3/node/web3", "role=web/layer/web"]
        await database.delete("documents/hostname=web3/node/web3", expect=ANY)
        assert paths(await source.read()) == ["common/layer/base"]


async def test_a_document_in_several_scopes_is_read_once_unless_its_texts_differ(open_store: OpenStore) -> None:
    facts = replace(FACTS, labels={"role": ("web", "db")})
    async with open_store() as database:
        source = DatabaseSource(database, lambda: facts, {})
        await publish(database, text("both", "{role: [web, db]}"))
        before = await source.read()
        assert paths(before) == ["role=db/layer/both"]
        await database.put("documents/role=web/layer/both", text("both", "{role: [web]}"), expect=ANY)
        assert paths(await source.read()) == ["role=db/layer/both", "role=web/layer/both"]


async def test_a_machine_is_woken_only_by_changes_in_its_scopes(open_store: OpenStore) -> None:
    facts = replace(FACTS, labels={"role": ("web",)})
    async with open_store() as database:
        source = DatabaseSource(database, lambda: facts, {})
        await publish(database, text("base"))
        async with aclosing(source.changes()) as changes:
            await anext(changes)
            first = await source.read()
            waiting = asyncio.ensure_future(anext(changes))
            await publish(database, text("db", "{role: db}"))
            await database.put("status/other", b"{}", expect=ANY)
            assert (await source.read()).revision == first.revision
            if database.type != "directory":  # a directory is watched as a whole
                assert not (await asyncio.wait({waiting}, timeout=0.2))[0]
            await publish(database, text("web", "{role: web}"))
            await asyncio.wait_for(waiting, 10)
            assert (await source.read()).revision != first.revision


async def test_a_machine_whose_documents_call_machines_reads_and_watches_all_nodes(open_store: OpenStore) -> None:
    hosts = text("hosts", rest='files: {/etc/h: {template: "{{ machines()|length }}"}}\n')
    async with open_store() as database:
        source = DatabaseSource(database, lambda: FACTS, {})
        await publish(database, text("base"))
        await publish(database, text("other", kind="Node"))
        assert paths(await source.read()) == ["common/layer/base"]
        async with aclosing(source.changes()) as changes:
            await anext(changes)
            await publish(database, hosts)
            await asyncio.wait_for(anext(changes), 10)
            assert paths(await source.read()) == [
                "common/layer/base",
                "common/layer/hosts",
                "hostname=other/node/other",
            ]
            await publish(database, text("third", kind="Node"))
            await asyncio.wait_for(anext(changes), 10)
            assert "hostname=third/node/third" in paths(await source.read())
        await database.delete("documents/common/layer/hosts", expect=ANY)
        assert paths(await source.read()) == ["common/layer/base"]


async def test_the_scopes_of_new_labels_are_watched(open_store: OpenStore) -> None:
    async with open_store() as database:
        source = DatabaseSource(database, lambda: FACTS, {})
        await publish(database, text("base"))
        async with aclosing(source.changes()) as changes:
            await anext(changes)
            await source.read()
            await publish(database, text("web3", rest="labels: {role: web}\n", kind="Node"))
            await asyncio.wait_for(anext(changes), 10)
            await source.read()
            await publish(database, text("web", "{role: web}"))
            await asyncio.wait_for(anext(changes), 10)
            assert "role=web/layer/web" in paths(await source.read())
