"""Faults of stores, caused in real ones. Whatever happens, the documents that were fetched last stay.

Each test causes one fault in every store that can have it. `test_etcd_faults` and `test_couchdb_faults` have the faults
of one kind of store.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from ordain.agent.delivery.database.database import ANY, Write
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.release.assemble import assemble
from ordain.agent.delivery.release.manifest import ReleaseDraft
from ordain.agent.delivery.release.publish import BLOBS, head_key
from ordain.agent.delivery.source.database_source import DatabaseSource
from ordain.agent.delivery.source.release_reader import ReleaseReader
from ordain.agent.delivery.source.source_factory import open_database
from ordain.agent.source_settings import SourceKind, SourceSettings
from rig.stores.certificates import Authority
from rig.stores.fake_couchdb import FakeCouchDb
from rig.stores.source_harness import (
    BASE,
    FACTS,
    FIRST,
    HANDOVER,
    SECOND,
    TIMING,
    DirectoryStore,
    HarmableStore,
    SourceMachine,
    writing_to,
)
from rig.stores.tcp_proxy import Proxy

pytestmark = [pytest.mark.integration]
SERVERS = ("etcd", "couchdb")
EVERY = ("directory", *SERVERS)
every = pytest.mark.parametrize("store", EVERY, indirect=True)
servers = pytest.mark.parametrize("store", SERVERS, indirect=True)


@pytest.fixture
def machine(store: HarmableStore, tmp_path: Path) -> SourceMachine:
    return SourceMachine(settings=store.settings, folder=tmp_path / "machine", password=store.password)


def unreachable(store: HarmableStore) -> SourceFault:
    return SourceFault.UNREADABLE if isinstance(store, DirectoryStore) else SourceFault.UNREACHABLE


@every
async def test_a_store_that_is_unreachable_at_boot(store: HarmableStore, machine: SourceMachine) -> None:
    async with writing_to(machine) as database:
        await database.put(BASE, FIRST, expect=None)
    async with machine.running():
        await machine.wait_for_documents(FIRST)
    store.down()
    (machine.folder / "run" / HANDOVER).unlink()  # as a boot does
    async with machine.running():
        await machine.wait_for_fault(unreachable(store), FIRST)
        store.up()
        await machine.wait_for_documents(FIRST)


@every
async def test_a_first_start_without_cache_and_store(store: HarmableStore, machine: SourceMachine) -> None:
    store.down()
    async with machine.running():
        await machine.wait_for_fault(unreachable(store))
        store.up()
        await machine.wait_for_fault(SourceFault.EMPTY)
        async with writing_to(machine) as database:
            await database.put(BASE, FIRST, expect=None)
        await machine.wait_for_documents(FIRST)


@every
async def test_a_store_that_is_lost_and_returns_is_reported_once(
    store: HarmableStore, machine: SourceMachine, caplog: pytest.LogCaptureFixture
) -> None:
    async with writing_to(machine) as database:
        await database.put(BASE, FIRST, expect=None)
    async with machine.running():
        await machine.wait_for_documents(FIRST)
        for _ in range(2):
            store.down()
            await machine.wait_for_fault(unreachable(store), FIRST)
            store.up()
            await machine.wait_for_documents(FIRST)
        async with writing_to(machine) as database:
            await database.put(BASE, SECOND, expect=ANY)
        await machine.wait_for_documents(SECOND)
    gc.collect()
    messages = [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]
    assert {record.name for record in messages} == {"ordain.agent.source_daemon.fetcher"}
    assert len(messages) <= 4  # one for each loss and for its first error


@servers
async def test_a_frozen_server(store: HarmableStore, machine: SourceMachine) -> None:
    async with writing_to(machine) as database:
        await database.put(BASE, FIRST, expect=None)
    async with machine.running():
        await machine.wait_for_documents(FIRST)
        store.signal(signal.SIGSTOP)
        await machine.wait_for_fault(SourceFault.UNREACHABLE, FIRST)
        store.signal(signal.SIGCONT)
        await machine.wait_for_documents(FIRST)


@servers
async def test_a_network_that_drops_everything(store: HarmableStore, machine: SourceMachine) -> None:
    async with Proxy(store.settings.endpoints[0]) as proxy, writing_to(machine) as database:
        machine.settings = replace(store.settings, endpoints=(proxy.url,))
        await database.put(BASE, FIRST, expect=None)
        async with machine.running():
            await machine.wait_for_documents(FIRST)
            proxy.freeze()
            await database.put(BASE, SECOND, expect=ANY)
            await machine.wait_for_fault(SourceFault.UNREACHABLE, FIRST)
            proxy.thaw()
            await machine.wait_for_documents(SECOND)


@servers
async def test_an_answer_that_ends_within_a_line(store: HarmableStore, machine: SourceMachine) -> None:
    async with Proxy(store.settings.endpoints[0]) as proxy, writing_to(machine) as database:
        machine.settings = replace(store.settings, endpoints=(proxy.url,))
        machine.timing = replace(TIMING, check_sec=60.0)
        await database.put(BASE, FIRST, expect=None)
        async with machine.running():
            await machine.wait_for_documents(FIRST)
            seen = proxy.connections
            proxy.cut()
            await database.put(BASE, SECOND, expect=ANY)
            await machine.wait_for_documents(SECOND)
            assert proxy.connections > seen


@every
async def test_an_empty_store_removes_nothing(store: HarmableStore, machine: SourceMachine) -> None:
    async with writing_to(machine) as database:
        await database.put(BASE, FIRST, expect=None)
        async with machine.running():
            await machine.wait_for_documents(FIRST)
            await store.wipe(database)
            await machine.wait_for_fault(SourceFault.EMPTY, FIRST)
            await database.put(BASE, SECOND, expect=None)
            await machine.wait_for_documents(SECOND)


@every
async def test_documents_of_one_write_are_read_together(store: HarmableStore, machine: SourceMachine) -> None:
    """No reading has only a part of them. CouchDB has no transactions, so it needs a release for that."""
    if machine.settings.type is SourceKind.COUCHDB:
        pytest.skip("CouchDB has no transactions")
    names = [f"documents/common/layer/part{number}" for number in range(5)]
    seen: set[frozenset[bytes]] = set()
    async with writing_to(machine) as writer, writing_to(machine) as reader:

        async def write() -> None:
            for number in range(100):
                data = str(number).encode()
                await writer.write([Write(key=name, data=data, expect=ANY) for name in names])
                await asyncio.sleep(0)

        writing = asyncio.ensure_future(write())
        while not writing.done():
            seen.add(frozenset(entry.data for entry in (await reader.list("documents/")).entries))
            await asyncio.sleep(0)
        await writing
    assert all(len(texts) <= 1 for texts in seen)
    assert len(seen) > 2


@every
async def test_an_incomplete_release(store: HarmableStore, machine: SourceMachine) -> None:
    assembled = assemble([("base.yaml", FIRST)])
    release = ReleaseDraft(channel="stable", number=1, documents=assembled.names, created="now").release()
    async with writing_to(machine) as database:
        releases = ReleaseReader(database, lambda: FACTS, {})
        source = DatabaseSource(database, lambda: FACTS, {}, releases=releases, unsigned=False)
        await database.put(head_key("stable"), release.text(), expect=None)
        with pytest.raises(SourceError) as incomplete:
            await source.read()
        assert incomplete.value.code is SourceFault.RELEASE_INCOMPLETE
        for hash, data in assembled.blobs.items():
            await database.put(f"{BLOBS}{hash}", data, expect=None)
        assert FIRST in [data for _, data in (await source.read()).texts]
        wrong = next(iter(assembled.blobs))
        await database.put(f"{BLOBS}{wrong}", SECOND, expect=ANY)
        with pytest.raises(SourceError) as broken:
            await DatabaseSource(
                database, lambda: FACTS, {}, releases=ReleaseReader(database, lambda: FACTS, {})
            ).read()
        assert broken.value.code is SourceFault.VERIFY_FAILED


@pytest.mark.parametrize(
    ("status", "headers", "body", "code"),
    [
        (401, {}, b"{}", SourceFault.UNAUTHORIZED),
        (403, {}, b"{}", SourceFault.FORBIDDEN),
        (404, {}, b"{}", SourceFault.EMPTY),
        (429, {"Retry-After": "7"}, b"", SourceFault.THROTTLED),
        (500, {}, b"oops", SourceFault.UNREACHABLE),
        (503, {"Retry-After": "7"}, b"", SourceFault.UNREACHABLE),
        (302, {"Location": "https://login.example/?next=/"}, b"", SourceFault.REDIRECTED),
        (200, {"Content-Type": "text/html"}, b"<html>Log in", SourceFault.NOT_DOCUMENTS),
        (200, {"Content-Type": "application/json"}, b"<html>Log in", SourceFault.NOT_DOCUMENTS),
        (200, {"Content-Type": "application/json"}, b"{}", SourceFault.NOT_DOCUMENTS),
        (200, {"Content-Type": "application/json"}, b"[]", SourceFault.NOT_DOCUMENTS),
        (200, {"Content-Type": "application/json"}, b"", SourceFault.NOT_DOCUMENTS),
    ],
)
@pytest.mark.parametrize("kind", [SourceKind.ETCD, SourceKind.COUCHDB])
async def test_answers_of_another_program(
    kind: SourceKind, tmp_path: Path, status: int, headers: dict[str, str], body: bytes, code: SourceFault
) -> None:
    async with FakeCouchDb() as fake:
        fake.refuse = lambda: web.Response(status=status, headers=headers, body=body)
        database = open_database(SourceSettings(type=kind, endpoints=(fake.url,)), timing=TIMING)
        with pytest.raises(SourceError) as refused:
            await database.list("documents/common/")
        await database.close()
    assert refused.value.code is code
    assert refused.value.retry_after_sec == (7.0 if "Retry-After" in headers else 0.0)


@pytest.mark.parametrize("kind", [SourceKind.ETCD, SourceKind.COUCHDB])
@pytest.mark.parametrize(
    ("host", "expired", "authority", "says"),
    [
        ("127.0.0.1", True, "ours", "expired"),
        ("10.9.9.9", False, "ours", "mismatch"),
        ("127.0.0.1", False, "portal", "self-signed|unable to get|self signed"),
        ("127.0.0.1", False, "ours", ""),
    ],
    ids=["expired", "another name", "another authority", "valid"],
)
async def test_only_a_valid_certificate_is_accepted(
    kind: SourceKind, tmp_path: Path, host: str, expired: bool, authority: str, says: str
) -> None:
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "portal")
    issued = (ours if authority == "ours" else other).issue("server", host=host, expired=expired)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(issued.cert, issued.key)
    async with FakeCouchDb(tls=context) as fake:
        settings = SourceSettings(type=kind, endpoints=(fake.url,), ca=str(ours.ca))
        database = open_database(settings, timing=TIMING)
        if says:
            with pytest.raises(SourceError, match=says) as refused:
                await database.list("documents/common/")
            assert refused.value.code is SourceFault.TLS
            assert fake.asked == 0
        elif kind is SourceKind.COUCHDB:
            await database.list("documents/common/")
        await database.close()
