"""Behind a relay there may be anybody: nothing forged, replayed or huge passes, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from ordain.agent.delivery.database.database import ANY
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.fleet.report_publisher import status_key
from ordain.agent.delivery.identity.enrollment import make_request, request_key
from ordain.agent.delivery.identity.machine_key import generate
from ordain.agent.delivery.identity.machine_record import (
    TOKENS,
    EnrollmentRequest,
    TokenRecord,
    encode_key,
    encode_record,
)
from ordain.agent.delivery.identity.statement import encode_statement
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.server.relay import accepted_writes, relay_requests
from ordain.agent.server.relay import relay as relay_module
from ordain.agent.server.relay.relay import Relay
from rig.stores.relay_server import RunningRelay, running_relay
from support.stores.relayed_site import FLEET, SiteMachine, found_fleet, stored_sequence


@dataclass
class Site:
    """A relay of a directory, with two machines, and the requests of a stranger."""

    store: DirectoryDatabase
    running: RunningRelay
    alice: SiteMachine
    bob: SiteMachine
    session: ClientSession

    async def ask(self, what: str, **body: Any) -> tuple[int, Mapping[str, Any]]:
        url = f"{self.running.url}/relay/v1/{what}"
        async with self.session.post(url, data=json.dumps(body).encode()) as answer:
            return answer.status, await answer.json()

    async def put(self, key: str, data: bytes, *, expect: str | None = ANY, ttl: int = 0) -> tuple[int, str]:
        text = base64.b64encode(data).decode()
        status, answer = await self.ask("put", key=key, data=text, expect=expect, ttl=ttl, provided=None)
        return status, str(answer.get("reason") or answer.get("conflict") or answer.get("version"))

    def slot(self, holder: SiteMachine, signer: SiteMachine, key: str = "locks/stable/0") -> bytes:
        assert signer.key is not None
        return encode_statement(signer.key.sign(key, {"holder": holder.id, "beat": 1}))


@asynccontextmanager
async def site_at(path: Path) -> AsyncGenerator[Site]:
    (path / "store").mkdir()
    store = DirectoryDatabase(path / "store")
    alice, bob = (SiteMachine(path, number) for number in (10, 11))
    await found_fleet(store, alice, bob)
    async with running_relay(store, path / "state") as running, ClientSession() as session:
        async with asyncio.timeout(60):
            while running.relay.away_sec is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        for machine in (alice, bob):
            machine.urls = (running.url,)
        yield Site(store, running, alice, bob, session)


async def test_a_report_counts_only_with_the_signature_of_its_machine(tmp_path: Path) -> None:
    async with site_at(tmp_path) as site:
        key = status_key(site.alice.id)
        of_alice, of_bob = site.alice.signed_report(5), site.bob.signed_report(5)
        stranger = SiteMachine(tmp_path, 12)
        for data, says in (
            (of_bob, "did not sign it for this place"),
            (of_alice.replace(b'"generation":0', b'"generation":9'), "did not sign it for this place"),
            (b"{}", "it is not signed"),
            (b"[" * 100_000, "it is not signed"),
            (b"\xff", "it is not signed"),
        ):
            status, reason = await site.put(key, data)
            assert (status, says in reason) == (403, True), reason
        status, reason = await site.put(status_key(stranger.id), stranger.signed_report(5))
        assert (status, "not enrolled" in reason) == (403, True), reason
        assert not len(site.running.relay.queue)
        assert await site.put(key, of_alice) == (200, "5")


@pytest.mark.parametrize(
    ("asked", "looked_up"),
    [
        (["releases/"] * 1000, ("releases/",)),
        (["releases/blobs/a", "documents/", "releases/", "releases/blobs"], ("documents/", "releases/")),
        (["documents/a", "documents/b", "documents/ab"], ("documents/a", "documents/b")),
        ([], ()),
    ],
)
def test_no_entry_is_looked_up_once_for_each_of_many_prefixes(asked: list[str], looked_up: tuple[str, ...]) -> None:
    assert relay_requests._prefixes({"prefixes": asked}) == looked_up


async def test_a_client_that_takes_a_large_listing_slowly_gets_no_second_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_requests, "TURN_SEC", 0.1)
    body = json.dumps({"prefixes": ["documents/"]}).encode()
    request = b"POST /relay/v1/list HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with site_at(tmp_path) as site:
        await site.store.put("documents/all/a.yaml", b"#" * (12 << 20), expect=ANY)
        async with asyncio.timeout(60):
            while (copy := site.running.relay.copy) is None or not copy.list(["documents/"]).entries:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        slow = socket.create_connection(("127.0.0.1", site.running.port))
        with slow:
            slow.sendall(request)
            assert await asyncio.to_thread(slow.recv, 1), "the answer has begun"
            status, answer = await site.ask("list", prefixes=["documents/"])
            assert (status, "large listings" in answer["reason"]) == (429, True)
            assert (await site.ask("list", prefixes=["releases/"]))[0] == 200
        monkeypatch.setattr(relay_requests, "TURN_SEC", 60.0)
        status, answer = await site.ask("list", prefixes=["documents/"])
        assert (status, len(answer["entries"])) == (200, 1)


async def test_an_earlier_report_that_is_written_back_is_refused(tmp_path: Path) -> None:
    async with site_at(tmp_path) as site:
        key = status_key(site.alice.id)
        old, new = site.alice.signed_report(5), site.alice.signed_report(6)
        assert await site.put(key, old) == (200, "5")
        assert await site.put(key, new) == (200, "6")
        assert await site.put(key, old) == (409, key)
        async with asyncio.timeout(60):
            while len(site.running.relay.queue):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        entry = await site.store.get(key)
        assert entry is not None
        assert stored_sequence(entry.data) == 6
        site.running.relay._newest.clear()  # as after a restart
        assert (await site.put(key, old))[0] == 200
        async with asyncio.timeout(60):
            while len(site.running.relay.queue):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert await site.store.get(key) == entry, "the store has a newer one"


async def test_the_report_of_a_revoked_machine_is_refused(tmp_path: Path) -> None:
    async with site_at(tmp_path) as site:
        record = encode_record(site.alice.record(revoked="stolen"))
        await site.store.put(f"machines/{site.alice.id}", record, expect=ANY)
        async with asyncio.timeout(60):
            while not site.running.relay.known.machines[site.alice.id].revoked:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        status, reason = await site.put(status_key(site.alice.id), site.alice.signed_report(5))
        assert (status, "was revoked: stolen" in reason) == (403, True)


@pytest.mark.parametrize(
    "key",
    [
        *("documents/common/layer/x", "releases/stable/head", "blobs/x", "machines/x", "machines/_fleet", "x"),
        *("status/../documents/x", "status/", "enroll/x", "locks/x", "locks/../releases/stable/0", "locks/_own/x", ""),
    ],
)
async def test_nobody_writes_anything_else(key: str, tmp_path: Path) -> None:
    async with site_at(tmp_path) as site:
        before = await site.store.list("")
        for data in (b"x", site.slot(site.alice, site.alice, key)):
            assert (await site.put(key, data, expect=None, ttl=60))[0] == 403
        assert (await site.ask("delete", key=key, expect=ANY, proof=None))[0] in (403, 409)
        assert await site.store.list("") == before


async def test_a_slot_is_taken_and_left_by_its_holder_only(tmp_path: Path) -> None:
    async with site_at(tmp_path) as site:
        key = "locks/stable/0"
        assert (await site.put(key, site.slot(site.alice, site.bob), expect=None, ttl=300))[0] == 403
        assert (await site.put(key, site.slot(site.alice, site.alice), expect=ANY, ttl=300))[0] == 403
        for ttl in (0, -1, 86_400):
            assert (await site.put(key, site.slot(site.alice, site.alice), expect=None, ttl=ttl))[0] == 403
        status, version = await site.put(key, site.slot(site.alice, site.alice), expect=None, ttl=300)
        assert status == 200
        assert (await site.put(key, site.slot(site.bob, site.bob), expect=None, ttl=300))[0] == 409
        assert site.bob.key is not None
        assert site.alice.key is not None
        for proof in (
            None,
            {"expect": version},
            site.bob.key.sign(f"relay/delete/{key}", {"expect": version}),
            site.alice.key.sign(f"relay/delete/{key}", {"expect": "another"}),
            site.alice.key.sign(key, {"expect": version}),
        ):
            assert (await site.ask("delete", key=key, expect=version, proof=proof))[0] == 403
        proof = site.alice.key.sign(f"relay/delete/{key}", {"expect": version})
        assert (await site.ask("delete", key=key, expect=version, proof=proof))[0] == 200
        assert (await site.ask("delete", key=key, expect=version, proof=proof))[0] == 409


async def test_a_slot_in_etcd_is_not_replaced_by_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DirectoryDatabase, "type", "etcd")  # there, slots that nobody renews are removed
    async with site_at(tmp_path) as site:
        status, version = await site.put("locks/stable/0", site.slot(site.alice, site.alice), expect=None, ttl=300)
        assert status == 200
        status, reason = await site.put("locks/stable/0", site.slot(site.bob, site.bob), expect=version, ttl=300)
        assert (status, "holds it" in reason) == (403, True)


async def test_the_report_of_a_machine_is_shown_to_itself_only(tmp_path: Path) -> None:
    async with site_at(tmp_path) as site:
        assert await site.alice.report()
        key = status_key(site.alice.id)
        client = site.alice.connect()
        assert await client.get(key) is not None
        await client.close()
        assert site.bob.key is not None
        for proof in (None, site.bob.key.sign(f"relay/get/{key}", {})):
            assert (await site.ask("get", key=key, proof=proof))[0] == 403
        for prefix in ("status/", "enroll/", "", "s", "d", "locks", "documents"):
            assert (await site.ask("list", prefixes=[prefix]))[0] == 403, prefix


async def test_a_request_does_not_replace_a_better_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "MOST_REQUESTS", 2)
    async with site_at(tmp_path) as site:

        def request(machine: SiteMachine, *, earlier: bool) -> bytes:
            asked = EnrollmentRequest(machine=machine.id, hostname=machine.facts.hostname, key="")
            return encode_statement(make_request(asked, generate(FLEET), earlier=machine.key if earlier else None))

        key = request_key(site.alice.id)
        assert (await site.put(key, request(site.alice, earlier=False)))[0] == 200
        assert (await site.put(key, request(site.alice, earlier=True)))[0] == 200, (
            "its earlier key vouches for this one"
        )
        status, reason = await site.put(key, request(site.alice, earlier=False))
        assert (status, "vouches" in reason) == (403, True)
        assert (await site.put(key, request(site.bob, earlier=False)))[0] == 403
        for number, wanted in ((20, 200), (21, 429)):
            stranger = SiteMachine(tmp_path, number)
            status, _ = await site.put(request_key(stranger.id), request(stranger, earlier=False))
            assert status == wanted


async def test_invented_requests_keep_out_no_machine_for_which_something_vouches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "MOST_REQUESTS", 2)
    token = generate(FLEET)
    record = TokenRecord(key=encode_key(token.public), expires=int(time.time()) + 3600)
    async with site_at(tmp_path) as site:
        await site.store.put(f"{TOKENS}{token.id}", encode_record(record), expect=ANY)
        async with asyncio.timeout(60):
            while token.id not in site.running.relay.known.tokens:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

        async def ask(number: int, *, vouched: bool) -> int:
            machine = SiteMachine(tmp_path, number)
            asked = EnrollmentRequest(machine=machine.id, hostname=machine.facts.hostname, key="")
            assert machine.key is not None
            data = encode_statement(make_request(asked, machine.key, token if vouched else None))
            return (await site.put(request_key(machine.id), data))[0]

        assert [await ask(number, vouched=False) for number in (20, 21, 22)] == [200, 200, 429]
        assert await ask(23, vouched=True) == 200
        big = encode_statement({"machine": site.alice.id, "hostname": "x" * accepted_writes.MAX_REQUEST})
        assert (await site.put(request_key(site.alice.id), big))[0] == 413


async def test_bodies_have_bounds_and_slow_ones_hold_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_requests, "LARGE_BODY_SEC", 2.0)
    async with site_at(tmp_path) as site:
        url = f"{site.running.url}/relay/v1/put"
        for text in (b"", b"[]", b"{", b"[" * 10_000, b'{"key": 1}', b'{"key": "status/x"}', b"\xff\xfe"):
            async with site.session.post(url, data=text) as answer:
                assert answer.status == 400, text
        reader, writer = await asyncio.open_connection("127.0.0.1", site.running.port)
        writer.write(f"POST /relay/v1/put HTTP/1.1\r\nHost: x\r\nContent-Length: {10**12}\r\n\r\n".encode())
        assert (await reader.readline()).split()[1] == b"413"
        writer.close()
        head = f"POST /relay/v1/put HTTP/1.1\r\nHost: x\r\nContent-Length: {relay_requests.MAX_BODY}\r\n\r\n"
        slow = [await asyncio.open_connection("127.0.0.1", site.running.port) for _ in range(20)]
        for _, writer in slow:
            writer.write(head.encode())
            await writer.drain()
        assert await site.alice.report(generation=3), "a small report is taken meanwhile"
        answers = {(await reader.readline()).split()[1] for reader, _ in slow}
        assert answers == {b"400", b"429"}
        for _, writer in slow:
            writer.close()


async def test_the_queue_has_bounds(tmp_path: Path) -> None:
    async with site_at(tmp_path) as site:
        queue = site.running.relay.queue
        queue.most = 1
        site.running._tasks[1].cancel()  # nothing is forwarded
        assert await site.alice.report()
        assert await site.bob.report()
        assert (len(queue), queue.dropped, queue.sequence(site.alice.id)) == (1, 1, 0)
        queue.most_sec = -1
        assert queue.first(8) == []
        assert (queue.dropped, [*queue.folder.iterdir()]) == (2, [])


async def test_a_disk_that_is_full_is_told_to_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    async with site_at(tmp_path) as site:
        with monkeypatch.context() as patch:
            patch.setattr("ordain.agent.system.atomic_files.replace", full)
            assert (await site.put(status_key(site.alice.id), site.alice.signed_report(5)))[0] == 503
        assert "No space left on device" in caplog.text
        assert (await site.put(status_key(site.alice.id), site.alice.signed_report(5)))[0] == 200


async def answer_of(session: ClientSession, url: str) -> tuple[int, Mapping[str, str]]:
    async with session.post(url, data=b'{"key": "machines/_fleet"}') as answer:
        return answer.status, answer.headers


@pytest.mark.parametrize("damage", [b"", b"x", b"ordain relay copy 1 00\n{}"])
async def test_a_damaged_copy_is_not_used(damage: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with site_at(tmp_path) as site:
        assert (await site.ask("get", key="machines/_fleet"))[0] == 200
    (tmp_path / "state/relay/copy").write_bytes(damage)
    store = DirectoryDatabase(tmp_path / "nowhere")
    async with running_relay(store, tmp_path / "state") as running, ClientSession() as session:
        url = f"{running.url}/relay/v1/get"
        status, headers = await answer_of(session, url)
        assert status == 503
        assert headers["Ordain-Store-Away"]
    assert "it is not used" in caplog.text


async def test_a_large_listing_says_that_the_relay_is_cut_off(tmp_path: Path) -> None:
    async with site_at(tmp_path) as site:
        text = b"# " + b"x" * relay_requests.LARGE_ANSWER
        await site.store.put("documents/common/layer/base", text, expect=None)
        async with asyncio.timeout(60):
            while not (site.running.relay.copy and site.running.relay.copy.get("documents/common/layer/base")):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        following = site.running._tasks[0]
        following.cancel()  # it would find the store again
        await asyncio.wait([following])
        site.running.relay._lost(SourceError("gone", code=SourceFault.UNREACHABLE))
        client = site.alice.connect()
        assert [entry.data for entry in (await client.list("documents/common/")).entries] == [text]
        assert [*await client.ask_replaced_servers()] == [site.running.url]
        await client.close()


async def test_a_copy_of_another_store_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with site_at(tmp_path) as site:
        assert (await site.ask("get", key="machines/_fleet"))[0] == 200
        while not (tmp_path / "state/relay/copy").exists():  # noqa: ASYNC110 # a thread writes it, after it is in use
            await asyncio.sleep(0.01)
    for place, is_used in (("another", False), (str(tmp_path / "store"), True)):
        relay = Relay(name="relay1", database=site.store, state=tmp_path / "state", place=place)
        relay.load()
        assert (relay.copy is not None) == is_used
    assert f"it is a copy of {tmp_path / 'store'}; it is not used" in caplog.text


async def test_a_command_for_the_whole_fleet_is_told_to_name_the_store(tmp_path: Path) -> None:
    async with site_at(tmp_path) as site:
        status, answer = await site.ask("list", prefixes=["status/"])
        assert (status, answer["hint"]) == (403, "name the store itself: --store URL")
