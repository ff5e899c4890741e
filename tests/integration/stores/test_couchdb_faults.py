"""Faults of CouchDB: on pouchdb-server if it can have them, otherwise on the scripted `rig.stores.fake_couchdb`."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import subprocess
import urllib.error
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web

from ordain.agent.delivery.database.couchdb_client import CouchClient
from ordain.agent.delivery.database.couchdb_wire import LeafRevision, conflict
from ordain.agent.delivery.database.database import ANY, Write
from ordain.agent.delivery.database.http_transport import HttpTransport, ServerAccess
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.database.semaphore import Semaphore
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.release import signing
from ordain.agent.delivery.release.assemble import assemble
from ordain.agent.delivery.release.change_log import CHANGES
from ordain.agent.delivery.release.manifest import ReleaseDraft
from ordain.agent.delivery.release.publish import publish
from ordain.agent.delivery.source.release_reader import ReleaseReader
from ordain.agent.source_settings import SourceKind, SourceSettings
from rig.stores import store_servers
from rig.stores.fake_couchdb import LOCKED, MAX_FAILURES, FakeCouchDb, ending_feed, feed_of, silent_feed
from rig.stores.signing_keys import key_of
from rig.stores.source_harness import (
    BASE,
    FACTS,
    FIRST,
    PATIENCE_SEC,
    SECOND,
    TIMING,
    SourceMachine,
    new_couchdb_databases,
    writing_to,
)

pytestmark = [pytest.mark.integration]
COMMON = ("documents/common/",)


@pytest.fixture
def machine(pouch: store_servers.CouchServer, tmp_path: Path) -> SourceMachine:
    return SourceMachine(settings=new_couchdb_databases(pouch), folder=tmp_path / "machine", password=pouch.password)


def machine_of(fake: FakeCouchDb, tmp_path: Path) -> SourceMachine:
    return SourceMachine(
        settings=SourceSettings(type=SourceKind.COUCHDB, endpoints=(fake.url,)), folder=tmp_path / "machine"
    )


def document(machine: SourceMachine) -> str:
    return f"{machine.settings.database}/{quote(BASE, safe='')}"


def replicated(pouch: store_servers.CouchServer, machine: SourceMachine, rev: str, text: bytes) -> None:
    """Write a revision as replication from another server does."""
    revision = {"_id": BASE, "_rev": rev, "text": text.decode()}
    pouch.call("POST", f"{machine.settings.database}/_bulk_docs", {"docs": [revision], "new_edits": False})


async def test_two_servers_accept_different_writes(pouch: store_servers.CouchServer, machine: SourceMachine) -> None:
    async with writing_to(machine) as database, machine.running():
        await database.put(BASE, FIRST, expect=None)
        await machine.wait_for_documents(FIRST)
        replicated(pouch, machine, "1-ffffffffffffffffffffffffffffffff", b"theirs")
        await machine.wait_for_fault(SourceFault.CONFLICT, FIRST)
        assert BASE in machine.health.what
        await database.put(BASE, SECOND, expect=ANY)
        await machine.wait_for_documents(SECOND)


async def test_a_deletion_that_brings_the_loser_of_a_conflict_back(
    pouch: store_servers.CouchServer, machine: SourceMachine
) -> None:
    replicated(pouch, machine, "1-0000000000000000000000000000000a", b"lost")
    replicated(pouch, machine, "1-ffffffffffffffffffffffffffffffff", FIRST)
    async with writing_to(machine) as database, machine.running():
        await database.put("documents/common/layer/other", SECOND, expect=None)
        await machine.wait_for_fault(SourceFault.CONFLICT)
        pouch.call("DELETE", f"{document(machine)}?rev=1-ffffffffffffffffffffffffffffffff")
        conflicts = (await database.list(*COMMON)).conflicts
        assert "brought back" in conflicts[BASE]
        await database.put(BASE, FIRST, expect=ANY)
        await machine.wait_for_documents(FIRST, SECOND)
        await database.delete(BASE, expect=ANY)  # this deletes all leaves
        await machine.wait_for_documents(SECOND)


def leaf(number: int, digest: str, *, parent: str = "", deleted: bool = False) -> LeafRevision:
    parent_revision = (number - 1, parent) if parent else None
    return LeafRevision(revision=(number, digest), parent=parent_revision, deleted=deleted, document={})


@pytest.mark.parametrize(
    ("leaves", "says"),
    [
        ([leaf(3, "a", parent="x")], ""),
        ([leaf(3, "a", parent="x"), leaf(3, "b", parent="x", deleted=True)], ""),  # the loser was deleted
        ([leaf(3, "b", parent="z", deleted=True), leaf(2, "a", parent="x")], "brought back"),
        ([leaf(9, "b", parent="z", deleted=True), leaf(2, "a", parent="x")], "brought back"),
        ([leaf(4, "c", parent="b"), leaf(3, "b", parent="z", deleted=True)], ""),  # written again
        ([leaf(3, "b", parent="z"), leaf(3, "a", parent="x")], "conflict"),
        ([leaf(3, "b", parent="z", deleted=True), leaf(2, "a", parent="x", deleted=True)], ""),
        ([], ""),
    ],
)
def test_leaves_that_are_in_conflict(leaves: list[LeafRevision], says: str) -> None:
    assert says in conflict(leaves)
    assert bool(says) == bool(conflict(leaves))


async def test_a_feed_that_begins_again(tmp_path: Path) -> None:
    """A shard was replaced, so that all old rows are sent again. Nothing is new, and nothing is handed over again."""
    async with FakeCouchDb() as fake:
        fake.put(BASE, FIRST.decode())
        old = [{"seq": f"{n}-old", "id": BASE, "changes": [{"rev": f"{n}-a"}]} for n in range(3)]
        fake.feed = feed_of(*old, then=feed_of(*old))
        machine = machine_of(fake, tmp_path)
        async with machine.running():
            await machine.wait_for_documents(FIRST)
            before = machine.handover()
            asked = fake.asked
            await machine.until(lambda: fake.asked > asked + 5)
            assert machine.handover() == before


async def test_a_sequence_that_the_server_does_not_know(tmp_path: Path) -> None:
    async with FakeCouchDb() as fake:
        fake.put(BASE, FIRST.decode())
        machine = machine_of(fake, tmp_path)
        first = [True]

        async def refused_once(request: web.Request, response: web.StreamResponse) -> None:
            if first and first.pop():
                body = {"error": "bad_request", "reason": "Malformed sequence supplied in 'since' parameter."}
                raise web.HTTPBadRequest(text=str(body))
            await silent_feed(request, response)

        fake.feed = refused_once
        async with machine.running():
            await machine.wait_for_documents(FIRST)
            await machine.until(lambda: len(fake.feeds) >= 2)
            fake.put(BASE, SECOND.decode(), "2-b")
            await machine.wait_for_documents(SECOND)


async def test_a_feed_from_a_sequence_in_the_future(pouch: store_servers.CouchServer, machine: SourceMachine) -> None:
    """CouchDB answers 400 to a sequence that it has not given; the caller lists again after any error of a watch."""
    async with writing_to(machine) as database:
        await database.put(BASE, FIRST, expect=None)
        async with asyncio.timeout(PATIENCE_SEC), aclosing(database.watch(COMMON, "999999")) as hints:
            with pytest.raises(SourceError, match=r"400.*Malformed sequence"):
                await anext(hints)


async def test_a_feed_that_ends_in_order(tmp_path: Path) -> None:
    async with FakeCouchDb() as fake:
        fake.put(BASE, FIRST.decode())
        machine = machine_of(fake, tmp_path)
        fake.feed = ending_feed
        async with machine.running():
            await machine.wait_for_fault(
                SourceFault.UNREACHABLE, FIRST
            )  # the feed ends at once, again and again, as in maintenance
            fake.feed = silent_feed
            await machine.wait_for_documents(FIRST)
            assert set(fake.feeds) == {fake.sequence}  # every feed begins at the sequence of a listing


async def test_a_database_that_is_deleted_and_created_again(
    pouch: store_servers.CouchServer, machine: SourceMachine
) -> None:
    async with writing_to(machine) as database, machine.running():
        await database.put(BASE, FIRST, expect=None)
        await machine.wait_for_documents(FIRST)
        pouch.call("DELETE", machine.settings.database)
        await machine.wait_for_fault(SourceFault.EMPTY, FIRST)
        store_servers.create_database(pouch, machine.settings.database)
        await database.put("documents/role=db/layer/db", FIRST, expect=None)
        await machine.wait_for_fault(SourceFault.EMPTY, FIRST)
        await database.put(BASE, SECOND, expect=None)
        await machine.wait_for_documents(SECOND)


async def test_a_purge_that_no_feed_reports(tmp_path: Path) -> None:
    async with FakeCouchDb() as fake:
        fake.put(BASE, FIRST.decode())
        fake.put("documents/common/layer/other", SECOND.decode())
        machine = machine_of(fake, tmp_path)
        async with machine.running():
            await machine.wait_for_documents(FIRST, SECOND)
            del fake.documents["documents/common/layer/other"], fake.revs["documents/common/layer/other"]
            fake.moved()
            await machine.wait_for_documents(FIRST)


async def test_a_node_that_comes_back_without_the_newest_writes_is_not_believed_for_a_moment(tmp_path: Path) -> None:
    """CouchDB reads one copy of a shard, which may lack what was written while its node was away."""
    other = "documents/common/layer/other"
    async with FakeCouchDb() as fake:
        database = machine_of(fake, tmp_path).database(replace(TIMING, check_sec=60.0))
        fake.put(BASE, SECOND.decode(), "2-b")
        fake.put(other, SECOND.decode(), "1-a")
        newest = await database.list(*COMMON)
        fake.put(BASE, FIRST.decode(), "1-a")
        del fake.documents[other], fake.revs[other]
        for _ in range(2):
            with pytest.raises(SourceError, match=r"an earlier version than before of .*/base and 1 more:") as refused:
                await database.list(*COMMON)
            assert refused.value.code is SourceFault.REWOUND
        fake.put(BASE, SECOND.decode(), "2-b")
        fake.put(other, SECOND.decode(), "1-a")
        assert (await database.list(*COMMON)).entries == newest.entries
        await database.close()


async def test_documents_that_stay_older_are_used_after_they_were_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeCouchDb() as fake:
        machine = machine_of(fake, tmp_path)
        fake.put(BASE, SECOND.decode(), "2-b")
        async with machine.running():
            await machine.wait_for_documents(SECOND)
            fake.put(BASE, FIRST.decode(), "1-a")
            await machine.wait_for_documents(FIRST)
    assert any(f"[{SourceFault.REWOUND}]" in record.message for record in caplog.records)


async def test_a_node_that_does_not_know_of_a_deletion_is_not_believed(tmp_path: Path) -> None:
    other = "documents/common/layer/other"
    async with FakeCouchDb() as fake:
        fake.put(BASE, FIRST.decode())
        fake.put(other, SECOND.decode())
        database = machine_of(fake, tmp_path).database(replace(TIMING, check_sec=60.0))
        assert len((await database.list("documents/")).entries) == 2
        del fake.documents[other]
        fake.revs[other] = "2-d"
        assert [entry.key for entry in (await database.list("documents/")).entries] == [BASE]
        fake.put(other, SECOND.decode(), "1-a")
        with pytest.raises(SourceError, match=r"an earlier version than before of .*/other:") as refused:
            await database.list("documents/")
        assert refused.value.code is SourceFault.REWOUND
        fake.put(other, SECOND.decode(), "3-e")
        assert len((await database.list("documents/")).entries) == 2
        await database.close()


async def test_a_session_that_ends_is_opened_again(tmp_path: Path) -> None:
    async with FakeCouchDb() as fake:
        fake.put(BASE, FIRST.decode())
        machine = machine_of(fake, tmp_path)
        machine.settings = replace(machine.settings, user="node")
        async with writing_to(machine) as database:
            await database.list(*COMMON)

            def once() -> web.Response:
                fake.refuse = None
                return web.json_response({"error": "unauthorized"}, status=401)

            fake.refuse = once
            assert (await database.list(*COMMON)).entries[0].data == FIRST


async def test_keys_that_machines_write_all_the_time_can_be_listed(tmp_path: Path) -> None:
    async with FakeCouchDb() as fake:
        fake.moving = True
        machine = machine_of(fake, tmp_path)
        fake.put("status/a", "{}")
        fake.put(BASE, FIRST.decode())
        async with writing_to(machine) as database:
            assert [entry.key for entry in (await database.list("status/")).entries] == ["status/a"]
            with pytest.raises(SourceError, match="keep changing while they are read"):
                await database.list(*COMMON)


async def test_a_session_that_the_server_refuses(tmp_path: Path) -> None:
    """The password is tried once, and not again within half a minute."""
    async with FakeCouchDb() as fake:
        fake.put(BASE, FIRST.decode())
        machine = machine_of(fake, tmp_path)
        machine.settings = replace(machine.settings, user="node")
        async with machine.running():
            await machine.wait_for_documents(FIRST)
            fake.refuse = lambda: web.json_response({"error": "unauthorized"}, status=401)
            await machine.wait_for_fault(SourceFault.UNAUTHORIZED, FIRST)


@pytest.mark.parametrize("wrong", [False, True])
async def test_a_login_needs_the_right_password(tmp_path: Path, wrong: bool) -> None:
    with store_servers.PouchServer(user="admin", password="secret") as pouch:
        machine = SourceMachine(
            settings=SourceSettings(type=SourceKind.COUCHDB, endpoints=(pouch.url,), user="admin"),
            folder=tmp_path,
            password="no" if wrong else "secret",
        )
        async with writing_to(machine) as database:
            if wrong:
                with pytest.raises(SourceError) as refused:
                    await database.list(*COMMON)
                assert refused.value.code is SourceFault.UNAUTHORIZED
                assert refused.value.retry_after_sec >= 10
            else:
                await database.put(BASE, FIRST, expect=None)
                assert (await database.list(*COMMON)).entries[0].data == FIRST


async def test_a_document_may_be_stored_as_json(pouch: store_servers.CouchServer, machine: SourceMachine) -> None:
    pouch.call("PUT", document(machine), {"ordain": "v1", "kind": "Layer", "name": "base"})
    async with machine.running():
        await machine.wait_for_documents(b'{\n  "kind": "Layer",\n  "name": "base",\n  "ordain": "v1"\n}')


async def test_wrong_passwords_do_not_lock_the_user(tmp_path: Path) -> None:
    """`[chttpd_auth_lockout]`: 5 failures within 300 s lock the user, also for the right password."""
    async with FakeCouchDb() as fake:
        fake.password = "right"
        password, seconds = "wrong", iter(range(300))
        now = next(seconds)
        access = ServerAccess(endpoints=(fake.url,))
        transport = HttpTransport(access)
        client = CouchClient(transport, Login(user="node", password=lambda: password), answer_sec=5, clock=lambda: now)
        waits = []
        while now < 299:
            now = next(seconds)
            with pytest.raises(SourceError, match=r"node: Name or password is incorrect\.") as refused:
                await client.get("/ordain")
            waits.append(refused.value.retry_after_sec)
        assert fake.failures == MAX_FAILURES - 1
        assert max(waits) >= 75
        password = "right"
        assert (await client.get("/ordain"))["db_name"] == "ordain"  # a new password is tried at once
        await transport.close()


async def test_the_reason_of_a_locked_user_is_shown(tmp_path: Path) -> None:
    async with FakeCouchDb() as fake:
        fake.password, fake.failures = "right", MAX_FAILURES
        machine = machine_of(fake, tmp_path)
        machine.settings, machine.password = replace(machine.settings, user="node"), "right"
        async with writing_to(machine) as database:
            with pytest.raises(SourceError, match=LOCKED) as refused:
                await database.list(*COMMON)
            assert "unlocks" in refused.value.hint


async def test_a_write_that_only_a_minority_took_is_an_error(tmp_path: Path) -> None:
    async with FakeCouchDb() as fake:
        fake.has_quorum = False
        async with writing_to(machine_of(fake, tmp_path)) as database:
            with pytest.raises(SourceError, match="fewer nodes than a majority"):
                await database.put(BASE, FIRST, expect=None)
            logged = f"{CHANGES}1"
            with pytest.raises(SourceError, match="fewer nodes than a majority"):
                await database.write([Write(key=key, data=FIRST, expect=None) for key in (f"{BASE}2", logged)])
            assert logged in fake.documents, "a change that may last is in the log"


@pytest.mark.parametrize("suffix", ["", "-status"])
async def test_a_missing_database_is_named(
    pouch: store_servers.CouchServer, machine: SourceMachine, suffix: str
) -> None:
    name = f"{machine.settings.database}{suffix}"
    pouch.call("DELETE", name)
    prefix = "status/" if suffix else "documents/common/"
    async with writing_to(machine) as database:
        for work in (database.list(prefix), database.get(f"{prefix}x"), database.put(f"{prefix}x", b"", expect=None)):
            with pytest.raises(SourceError, match=f"there is no database {name}$") as missing:
                await work
            assert missing.value.code is SourceFault.EMPTY


@pytest.mark.parametrize(
    ("status", "error", "reason", "code"),
    [
        (403, "forbidden", "machines only read here", SourceFault.FORBIDDEN),
        (400, "illegal_docid", "Doc id must be of form partition:id", SourceFault.UNREACHABLE),
        (500, "compilation_error", "SyntaxError: expecting ';'", SourceFault.UNREACHABLE),
    ],
)
async def test_an_error_shows_the_reason_of_the_server(
    tmp_path: Path, status: int, error: str, reason: str, code: SourceFault
) -> None:
    async with FakeCouchDb() as fake:
        fake.refuse = lambda: web.json_response({"error": error, "reason": reason}, status=status)
        async with writing_to(machine_of(fake, tmp_path)) as database:
            with pytest.raises(SourceError, match=f"{status}: {reason}$") as refused:
                await database.put(BASE, FIRST, expect=None)
            assert refused.value.code is code


async def test_the_rights_of_the_manual_allow_exactly_what_is_needed(
    rightful_pouch: store_servers.CouchServer, tmp_path: Path
) -> None:
    """The commands of the page are run as they are; only the names in their first line are those of the test."""
    pouch = rightful_pouch
    manual = Path(__file__).parents[3] / "docs/howto/fleet-on-etcd.md"
    if not manual.exists():
        pytest.skip("without the source tree")
    lines = manual.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("    DB="))
    last = lines.index("", first)
    name, node = f"t{secrets.token_hex(4)}", f"node{secrets.token_hex(4)}"
    server = pouch.url.replace("://", f"://{pouch.user}:{pouch.password}@")
    names = f"set -e; DB={server} STORE={name} NODE={node} NODE_PASSWORD=secret"
    script = "\n".join([names, *lines[first + 1 : last]])
    try:
        await asyncio.to_thread(subprocess.run, ["bash", "-c", script], check=True, capture_output=True)
        settings = SourceSettings(type=SourceKind.COUCHDB, endpoints=(pouch.url,), database=name, user=pouch.user)
        admin = SourceMachine(settings=settings, folder=tmp_path / "admin", password=pouch.password)
        made = assemble((("base.yaml", FIRST),))
        private, key = key_of(1)
        draft = ReleaseDraft(channel="stable", number=1, documents=made.names, created="now").release()
        release = draft.signed(key.id, signing.sign(private, draft.canonical))
        async with writing_to(admin) as database:
            await database.put(BASE, FIRST, expect=None)
            await database.put("machines/x", b"{}", expect=None)
            await publish(database, release, made.blobs)
        machine = SourceMachine(settings=replace(settings, user=node), folder=tmp_path / "machine", password="secret")
        async with writing_to(machine) as database:
            await database.put("status/x", b"{}", expect=ANY)
            await Semaphore(database=database, prefix="locks/stable/", count=1, holder="x").acquire()
            snapshot = await ReleaseReader(database, lambda: FACTS, {}).read()
            assert FIRST in [data for _, data in snapshot.texts]
            for entry in (await database.list("documents/", "releases/", "blobs/", "machines/")).entries:
                with pytest.raises(SourceError, match="403: machines only read here") as refused:
                    await database.put(entry.key, SECOND, expect=ANY)
                assert refused.value.code is SourceFault.FORBIDDEN
                with pytest.raises(SourceError, match="403: machines only read here"):
                    await database.delete(entry.key, expect=ANY)
        assert pouch.call("GET", f"{name}-status/_revs_limit") == 10
    finally:
        user = f"_users/org.couchdb.user:{node}"
        with contextlib.suppress(urllib.error.HTTPError):
            pouch.call("DELETE", f"{user}?rev={pouch.call('GET', user)['_rev']}")
        for database_name in (name, f"{name}-status"):
            with contextlib.suppress(urllib.error.HTTPError):
                pouch.call("DELETE", database_name)
