"""Faults of etcd, caused in a real cluster. Whatever happens, the documents that were fetched last stay."""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from ordain.agent.delivery.database.database import ANY, Database
from ordain.agent.delivery.database.etcd import Etcd
from ordain.agent.delivery.database.etcd_client import refusal_error
from ordain.agent.delivery.database.http_transport import Response, ServerAccess
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.setup.etcd_setup import EtcdRights, open_client
from ordain.agent.delivery.setup.key_rights import Access, below
from ordain.agent.delivery.source.source_factory import open_database
from ordain.agent.source_daemon import fetcher
from ordain.agent.source_settings import SourceKind, SourceSettings
from rig.stores import store_servers
from rig.stores.certificates import Authority
from rig.stores.source_harness import (
    BASE,
    FIRST,
    PATIENCE_SEC,
    SECOND,
    TIMING,
    EtcdStore,
    SourceMachine,
    put_until_accepted,
    writing_to,
)
from rig.stores.tcp_proxy import Proxy

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("etcd_here")]
etcd = pytest.mark.parametrize("store", ["etcd"], indirect=True)
COMMON = ("documents/common/",)


@pytest.fixture
def machine(store: EtcdStore, tmp_path: Path) -> SourceMachine:
    return SourceMachine(settings=store.settings, folder=tmp_path / "machine", password=store.password)


def machine_of(cluster: store_servers.EtcdCluster, tmp_path: Path) -> SourceMachine:
    settings = SourceSettings(type=SourceKind.ETCD, endpoints=cluster.endpoints)
    return SourceMachine(settings=settings, folder=tmp_path / "machine")


@etcd
async def test_a_watch_from_before_a_compaction(store: EtcdStore, machine: SourceMachine) -> None:
    async with writing_to(machine) as database:
        await database.put(BASE, FIRST, expect=None)
        listing = await database.list(*COMMON)
        for number in range(5):
            await database.put(BASE, b"%d" % number, expect=ANY)
        store.cluster.ctl("compact", str(store.cluster.revision()))
        async with asyncio.timeout(PATIENCE_SEC), aclosing(database.watch(COMMON, listing.revision)) as hints:
            assert [None async for _ in hints] == [None]  # one hint, and then the end, which the server never reports
        assert (await database.list(*COMMON)).entries[0].data == b"4"


@etcd
async def test_a_compaction_while_the_client_does_not_read(store: EtcdStore, machine: SourceMachine) -> None:
    """The server keeps more changes for the client than the connection holds, and then compacts them."""
    async with Proxy(store.settings.endpoints[0]) as proxy, writing_to(machine) as writer:
        machine.settings = replace(store.settings, endpoints=(proxy.url,))
        machine.timing = replace(TIMING, check_sec=60.0, answer_sec=20.0)
        await writer.put(BASE, FIRST, expect=None)
        async with machine.running():
            await machine.wait_for_documents(FIRST)
            proxy.freeze()
            for number in range(30):
                await writer.put(BASE, FIRST + b"# %d" % number * 100_000, expect=ANY)
            await writer.put(BASE, SECOND, expect=ANY)
            store.cluster.ctl("compact", str(store.cluster.revision()))
            proxy.thaw()
            await machine.wait_for_documents(SECOND)


@etcd
async def test_a_deletion_that_the_watch_does_not_report(store: EtcdStore, machine: SourceMachine) -> None:
    """3.4.23 does not report a deletion at the revision of a compaction; the check of the content finds it."""
    async with writing_to(machine) as writer, writing_to(machine) as database:
        await writer.put(BASE, FIRST, expect=None)
        await writer.put("documents/common/layer/other", FIRST, expect=None)
        listing = await database.list(*COMMON)
        await writer.delete("documents/common/layer/other", expect=ANY)
        store.cluster.ctl("compact", "--physical", str(store.cluster.revision()))
        async with asyncio.timeout(PATIENCE_SEC), aclosing(database.watch(COMMON, listing.revision)) as hints:
            await anext(hints)
        assert [entry.key for entry in (await database.list(*COMMON)).entries] == [BASE]


@etcd
async def test_a_store_that_is_restored_from_a_backup(
    store: EtcdStore, machine: SourceMachine, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = store.cluster
    (member,) = cluster.members
    backup = cluster.directory / "backup"
    async with writing_to(machine) as database:
        await database.put(BASE, FIRST, expect=None)
        cluster.ctl("snapshot", "save", str(backup))
        await database.put(BASE, SECOND, expect=ANY)
        async with machine.running():
            await machine.wait_for_documents(SECOND)
            member.end()
            member.data = cluster.directory / "restored"
            peers = ("--name=m0", f"--initial-cluster=m0={member.peer}", f"--initial-advertise-peer-urls={member.peer}")
            cluster.ctl("snapshot", "restore", str(backup), f"--data-dir={member.data}", *peers)
            store.up()
            await machine.wait_for_documents(FIRST)
    assert any(f"[{SourceFault.REWOUND}]" in record.message for record in caplog.records)


async def test_a_member_that_loses_the_others(tmp_path: Path) -> None:
    with store_servers.EtcdCluster() as cluster:
        machine = machine_of(cluster, tmp_path)
        last = cluster.leader()
        machine.settings = replace(machine.settings, endpoints=(last.url,))
        async with writing_to(machine) as database:
            await database.put(BASE, FIRST, expect=None)
        machine.timing = replace(TIMING, check_sec=60.0)  # so that only the stream can report it
        others = [member for member in cluster.members if member is not last]
        async with machine.running():
            await machine.wait_for_documents(FIRST)
            for member in others:
                member.end()
            await machine.wait_for_fault(SourceFault.UNREACHABLE, FIRST)
            cluster.start(*others)
            await machine.wait_for_documents(FIRST)


async def test_a_store_without_a_quorum_is_not_empty(tmp_path: Path) -> None:
    with store_servers.EtcdCluster() as cluster:
        machine = machine_of(cluster, tmp_path)
        machine.settings = replace(machine.settings, endpoints=cluster.endpoints[:1])
        machine.timing = replace(TIMING, answer_sec=12.0)
        async with writing_to(machine) as database:
            await database.put(BASE, FIRST, expect=None)
            for member in cluster.members[1:]:
                member.end()
            with pytest.raises(SourceError, match=r"timed out|leader") as refused:  # the message of etcd, after 7 s
                await database.list(*COMMON)
        assert refused.value.code is SourceFault.UNREACHABLE


@etcd
async def test_a_watch_that_is_refused(store: EtcdStore, machine: SourceMachine) -> None:
    """The refusal arrives with status 200, and the stream stays open."""
    store.cluster.enable_auth()
    machine.settings = replace(machine.settings, user="node")
    machine.password = "secret"
    async with writing_to(machine) as database:
        await database.list(*COMMON)
        store.cluster.ctl("role", "revoke-permission", "ordain", "--prefix=true", "/ordain/", user="root:root")
        with pytest.raises(SourceError) as refused:
            async with asyncio.timeout(PATIENCE_SEC), aclosing(database.watch(COMMON, "1")) as hints:
                await anext(hints)
    assert refused.value.code is SourceFault.FORBIDDEN


async def test_a_token_that_expires(tmp_path: Path) -> None:
    with store_servers.EtcdCluster(count=1, options=("--auth-token-ttl=1",)) as cluster:
        cluster.enable_auth()
        machine = machine_of(cluster, tmp_path)
        machine.settings = replace(machine.settings, user="node")
        machine.password = "secret"
        async with writing_to(machine) as database:
            await database.put(BASE, FIRST, expect=None)
            await asyncio.sleep(2.5)
            assert (await database.list(*COMMON)).entries[0].data == FIRST
            cluster.ctl("user", "passwd", "node", "--interactive=false", stdin="other\n", user="root:root")
            cluster.members[0].end()
            cluster.start(*cluster.members)
            cluster.ready(user="root:root")
            await asyncio.sleep(2.5)
            with pytest.raises(SourceError) as refused:
                await database.list(*COMMON)
            assert refused.value.code is SourceFault.UNAUTHORIZED
            assert refused.value.retry_after_sec >= 10  # so that the account is not locked
            machine.password = "other"  # the new credential is used at once
            assert (await database.list(*COMMON)).entries[0].data == FIRST


@etcd
async def test_a_permission_that_is_revoked_during_a_watch(store: EtcdStore, machine: SourceMachine) -> None:
    """The running watch does not notice it."""
    cluster = store.cluster
    cluster.enable_auth()
    machine.timing = replace(TIMING, answer_sec=5.0)  # etcd checks passwords slowly on purpose
    machine.settings = replace(machine.settings, user="node")
    machine.password = "secret"
    async with writing_to(machine) as database:
        await database.put(BASE, FIRST, expect=None)
    async with machine.running():
        await machine.wait_for_documents(FIRST)
        cluster.ctl("user", "revoke-role", "node", "ordain", user="root:root")
        await machine.wait_for_fault(SourceFault.FORBIDDEN, FIRST)
        cluster.ctl("user", "grant-role", "node", "ordain", user="root:root")
        await machine.wait_for_documents(FIRST)


async def test_the_roles_of_the_manual_allow_exactly_what_is_needed(tmp_path: Path) -> None:
    manual = Path(__file__).parents[3] / "docs/howto/fleet-on-etcd.md"
    if not manual.exists():
        pytest.skip("without the source tree")
    lines = manual.read_text().splitlines()
    commands = [line.split() for line in lines if line.startswith("    etcdctl role") and "machine" in line]
    assert len(commands) == 8
    with store_servers.EtcdCluster(count=1) as cluster:
        for command in commands:
            cluster.ctl(*command[1:])
        cluster.ctl("user", "add", "node:secret")
        cluster.ctl("user", "grant-role", "node", "machine")
        cluster.enable_auth(user="admin")
        machine = machine_of(cluster, tmp_path)
        machine.settings = replace(machine.settings, user="admin")
        machine.password = "secret"
        async with writing_to(machine) as database:
            await database.put(BASE, FIRST, expect=None)
            await database.put("blobs/x", b"1", expect=None)
            await database.put("releases/canary/1", b"1", expect=None)
            await database.put("machines/x", b"{}", expect=None)
        machine.settings = replace(machine.settings, user="node")
        machine.timing = replace(TIMING, answer_sec=5.0)
        async with machine.running(), writing_to(machine) as database:
            await machine.wait_for_documents(FIRST)
            await database.put("status/x", b"{}", expect=ANY)
            await database.put("enroll/x", b"{}", expect=ANY)
            await database.put("locks/x", b"", expect=None, ttl_sec=60)
            for key in (BASE, "blobs/x", "releases/canary/1", "machines/x"):
                assert await database.get(key)
                with pytest.raises(SourceError) as refused:
                    await database.put(key, SECOND, expect=ANY)
                assert refused.value.code is SourceFault.FORBIDDEN


async def test_requests_go_on_while_rights_are_changed(tmp_path: Path) -> None:
    """etcd refuses a request that was under way when any user or role was changed, as `fleet approve` does."""
    with store_servers.EtcdCluster(count=1) as cluster:
        cluster.ctl("role", "add", "other")
        cluster.enable_auth(user="admin")
        machine = machine_of(cluster, tmp_path)
        machine.settings = replace(machine.settings, user="admin")
        machine.password = "secret"
        access = ServerAccess(endpoints=cluster.endpoints)
        rights = EtcdRights(open_client(access, Login(user="root", password=lambda: "root")))
        done = asyncio.Event()

        async def change() -> None:
            for number in range(20):
                await rights.grant("other", below(f"/other{number}/"), Access.READ)
            done.set()

        async def use(database: Database, key: str) -> None:
            while not done.is_set():
                await database.put(key, FIRST, expect=ANY)
                await database.get(key)

        try:
            async with writing_to(machine) as database, asyncio.timeout(120):
                await asyncio.gather(change(), *(use(database, f"status/{number}") for number in range(4)))
        finally:
            await rights.close()


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (403, {"error": "permission denied", "message": "permission denied", "code": 7}, SourceFault.FORBIDDEN),
        (403, {"message": "permission denied", "code": 7}, SourceFault.FORBIDDEN),
        (400, {"message": "authentication failed, invalid user ID or password", "code": 3}, SourceFault.UNAUTHORIZED),
        (503, {"message": "etcdserver: request timed out", "code": 14}, SourceFault.UNREACHABLE),
        (200, {"grpc_code": 14, "http_code": 503, "message": "etcdserver: no leader"}, SourceFault.UNREACHABLE),
        (200, {"code": 14, "message": "etcdserver: no leader", "details": []}, SourceFault.UNREACHABLE),
        (429, {"message": "etcdserver: too many requests", "code": 8}, SourceFault.THROTTLED),
        (400, {"message": "etcdserver: request is too large", "code": 3}, SourceFault.TOO_LARGE),
    ],
)
def test_the_errors_of_all_versions_have_their_codes(status: int, error: dict[str, object], code: SourceFault) -> None:
    """Version 3.4 names an error twice, 3.6 once; in a stream, it arrives with status 200."""
    error_of_refusal = refusal_error(Response(endpoint="http://a", status=status, headers={}), error)
    assert isinstance(error_of_refusal, SourceError)
    assert error_of_refusal.code is code


async def test_a_certificate_that_expires(tmp_path: Path) -> None:
    """etcd reads its certificate again for every connection."""
    authority = Authority(tmp_path)
    tls = authority.issue("server")
    with store_servers.EtcdCluster(count=1, tls=tls) as cluster:
        machine = machine_of(cluster, tmp_path)
        machine.settings = replace(machine.settings, ca=str(authority.ca))
        async with writing_to(machine) as database:
            await database.put(BASE, FIRST, expect=None)
        async with machine.running():
            await machine.wait_for_documents(FIRST)
            authority.issue("server", expired=True)
            await machine.wait_for_fault(SourceFault.TLS, FIRST)
            authority.issue("server")
            await machine.wait_for_documents(FIRST)


async def test_one_of_three_members_is_dead(tmp_path: Path) -> None:
    with store_servers.EtcdCluster() as cluster:
        machine = machine_of(cluster, tmp_path)
        async with writing_to(machine) as database, machine.running():
            await database.put(BASE, FIRST, expect=None)
            await machine.wait_for_documents(FIRST)
            for member in cluster.members:
                member.end()
                data = FIRST + member.name.encode()
                await put_until_accepted(database, BASE, data)
                await machine.wait_for_documents(data)
                cluster.start(member)
                cluster.ready()


async def test_a_frozen_member_is_replaced_by_another_and_a_dead_one_is_named_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "SERVERS_SEC", 0.3)
    with store_servers.EtcdCluster() as cluster:
        machine = machine_of(cluster, tmp_path)
        first, second, _ = cluster.members
        machine.settings = replace(machine.settings, endpoints=(first.url, second.url))
        other = replace(machine, settings=replace(machine.settings, endpoints=(second.url,)))
        async with writing_to(other) as database:
            await database.put(BASE, FIRST, expect=None)
            async with machine.running():
                await machine.wait_for_documents(FIRST)
                first.signal(signal.SIGSTOP)
                await put_until_accepted(database, BASE, SECOND)
                await machine.wait_for_documents(SECOND)
                first.end()  # a frozen member is asked again, too, but each time without an answer for half a minute
                await machine.until(lambda: machine.health.code == SourceFault.SERVER)
                assert machine.health.connected
                assert f"{first.url}: " in machine.health.what
                assert machine.health.what.endswith("; another server answers")
                assert "take it out of `source`" in machine.health.hint
                cluster.start(first)
                await machine.until(lambda: machine.health.connected and machine.health.code == "")


async def test_a_full_store_can_still_be_read(tmp_path: Path) -> None:
    """No key can be written; all keys can be read and deleted."""
    with store_servers.EtcdCluster(count=1, options=("--quota-backend-bytes=1000000",)) as cluster:
        machine = machine_of(cluster, tmp_path)
        async with writing_to(machine) as database, machine.running():
            await database.put(BASE, FIRST, expect=None)
            await machine.wait_for_documents(FIRST)

            async def fill() -> None:
                for number in range(20):
                    await database.put(f"status/{number}", b"x" * 200_000, expect=ANY)

            with pytest.raises(SourceError) as full:
                await fill()
            assert full.value.code is SourceFault.FULL
            assert machine.health.connected
            await database.delete(BASE, expect=ANY)
            await machine.wait_for_fault(SourceFault.EMPTY, FIRST)


async def test_an_entry_with_a_time_to_live_is_removed(tmp_path: Path) -> None:
    with store_servers.EtcdCluster(count=1) as cluster:
        machine = machine_of(cluster, tmp_path)
        async with writing_to(machine) as database:
            await database.put("locks/a", b"1", expect=None, ttl_sec=1)
            assert await database.get("locks/a")
            async with asyncio.timeout(PATIENCE_SEC):
                while True:
                    if await database.get("locks/a") is None:
                        return
                    await asyncio.sleep(0.1)


async def test_a_listing_of_several_pages_is_complete(tmp_path: Path) -> None:
    with store_servers.EtcdCluster(count=1) as cluster:
        machine = machine_of(cluster, tmp_path)
        async with writing_to(machine) as database:
            for number in range(250):
                await database.put(f"documents/common/layer/n{number:03}", b"0", expect=None)
            listing = await database.list(*COMMON)
            assert [entry.key[-3:] for entry in listing.entries] == [f"{number:03}" for number in range(250)]


async def test_a_server_that_is_not_etcd_is_noticed() -> None:
    with store_servers.PouchServer() as pouch:
        database = open_database(SourceSettings(type=SourceKind.ETCD, endpoints=(pouch.url,)), timing=TIMING)
        with pytest.raises(SourceError) as refused:
            await database.list(*COMMON)
        await database.close()
    assert refused.value.code in (SourceFault.EMPTY, SourceFault.NOT_DOCUMENTS)


@etcd
async def test_watches_that_the_server_did_not_confirm_are_requested_again(
    store: EtcdStore, machine: SourceMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway may stop reading the request once it answers; watches that it has not read then are lost."""
    prefixes = tuple(f"documents/x={number}/" for number in range(7))
    async with writing_to(machine) as database:
        assert isinstance(database, Etcd)
        monkeypatch.setattr(database, "_timing", replace(database._timing, answer_sec=2.0, check_sec=60.0))
        real_watch = database._client.watch
        confirmed = iter([3, 7])
        monkeypatch.setattr(
            database._client, "watch", lambda requests, **more: real_watch(list(requests)[: next(confirmed)], **more)
        )
        listing = await database.list(*prefixes)
        async with asyncio.timeout(PATIENCE_SEC), aclosing(database.watch(prefixes, listing.revision)) as hints:
            waiting = asyncio.ensure_future(anext(hints))
            await database.put(f"{prefixes[6]}layer/x", FIRST, expect=None)
            await waiting
        assert next(confirmed, None) is None
