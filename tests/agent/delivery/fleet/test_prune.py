"""`release prune`: what goes, what stays, and a publisher at work at the same time; on every store."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from ordain.agent.delivery.database.couchdb import CouchDb
from ordain.agent.delivery.database.database import ANY, Database
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.database.etcd import Etcd
from ordain.agent.delivery.database.http_transport import HttpTransport, ServerAccess
from ordain.agent.delivery.fleet.prune import Pruned, prune
from ordain.agent.delivery.fleet.report import MachineReport, encode_report
from ordain.agent.delivery.fleet.rollout_policy import RolloutState
from ordain.agent.delivery.fleet.rollout_policy import encode_rollout as encode_state
from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.delivery.release.assemble import assemble
from ordain.agent.delivery.release.manifest import Release, make
from ordain.agent.delivery.release.publish import (
    BLOBS,
    list_releases,
    number_key,
    publish,
    read_blobs,
    read_head,
    rollout_key,
)
from ordain.agent.delivery.release.publish_lock import hold_publish_lock
from ordain.agent.errors import Failure

Open = Callable[[], AbstractAsyncContextManager[Database]]
COMMON = b"ordain: v1\nkind: Layer\nname: common\n"


@pytest.fixture(params=["directory", "etcd", "couchdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens one empty store of each kind in turn; every call is another client."""
    access = ServerAccess(endpoints=())
    name = f"t{secrets.token_hex(4)}"
    if request.param == "etcd":
        access = ServerAccess(endpoints=request.getfixturevalue("cluster").endpoints)
    elif request.param == "couchdb":
        pouch = request.getfixturevalue("pouch")
        access = ServerAccess(endpoints=(pouch.url,))
        for each in (name, f"{name}-status"):
            pouch.call("PUT", each)

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Database, None]:
        database: Database = DirectoryDatabase(tmp_path)
        if request.param == "etcd":
            database = Etcd(HttpTransport(access), f"/{name}/")
        elif request.param == "couchdb":
            database = CouchDb(HttpTransport(access), name)
        try:
            yield database
        finally:
            await database.close()

    return opened


def layer(number: int) -> bytes:
    return f"ordain: v1\nkind: Layer\nname: n{number}\nvalues: {{n{number}: 1}}\n".encode()


def release(number: int, *more: bytes, channel: str = "stable") -> tuple[Release, dict[str, bytes]]:
    texts = (COMMON, layer(number), *more)
    made = assemble((f"{at}.yaml", text) for at, text in enumerate(texts))
    return make(channel=channel, number=number, documents=made.names, created="now"), dict(made.blobs)


async def put(database: Database, number: int, *more: bytes, channel: str = "stable") -> Release:
    made, blobs = release(number, *more, channel=channel)
    await publish(database, made, blobs)
    return made


async def titles(database: Database) -> list[str]:
    return [each.title for each, _ in await list_releases(database)]


async def offered(database: Database) -> None:
    """What machines are offered now is complete."""
    now, _ = await read_head(database, "stable")
    assert now is not None
    hashes = set(now.documents.values())
    have = await read_blobs(database, now, hashes)
    latest, _ = await read_head(database, "stable")
    assert have.keys() == hashes or latest != now, now.title


async def whole(database: Database) -> None:
    """Every release in the store is complete."""
    for each, _ in await list_releases(database):
        hashes = set(each.documents.values())
        assert (await read_blobs(database, each, hashes)).keys() == hashes, each.title


async def test_the_newest_stay_and_documents_go_that_nobody_names(store: Open) -> None:
    async with store() as database:
        for number in range(1, 6):
            await put(database, number)
        await put(database, 1, layer(2), channel="canary")  # names what stable 2 named
        before = {entry.key for entry in (await database.list(BLOBS)).entries}

        said = await prune(database, channel="stable", keep=2, dry_run=True)
        assert {entry.key for entry in (await database.list(BLOBS)).entries} == before
        done = await prune(database, channel="stable", keep=2)

        assert said == done
        assert [each.title for each in done.gone] == ["stable 1", "stable 2", "stable 3"]
        assert await titles(database) == ["canary 1", "stable 4", "stable 5"]
        left = {entry.data for entry in (await database.list(BLOBS)).entries}
        assert left == {COMMON, layer(1), layer(2), layer(4), layer(5)}
        await whole(database)
        assert await prune(database, channel="stable", keep=2) == Pruned(gone=(), stay=done.stay, blobs=())
        now, _ = await read_head(database, "stable")
        assert now is not None
        assert now.number == 5


async def test_what_somebody_has_or_is_pinned_to_stays(store: Open) -> None:
    node = b"ordain: v1\nkind: Node\nname: web3\npin: 2\n"
    async with store() as database:
        for number in range(1, 8):
            await put(database, number, *([node] if number == 7 else []))
        state = RolloutState(number=5, share=0.1)
        await database.put(rollout_key("stable"), encode_state(state), expect=None)
        taken = ReleaseReference(channel="stable", number=4, hash="x")
        await database.put(
            "status/" + "a" * 32, encode_report(MachineReport(machine="a" * 32, release=taken)), expect=None
        )

        done = await prune(database, keep=1)

        assert [each.number for each in done.stay] == [2, 4, 5, 7]
        assert [each.number for each in done.gone] == [1, 3, 6]
        await whole(database)

        await database.put("status/" + "b" * 32, b"{", expect=None)
        with pytest.raises(Failure, match="cannot be read"):
            await prune(database, keep=1)
        assert len(await titles(database)) == 4


async def test_a_run_that_was_cut_off_leaves_nothing_that_the_next_does_not_find(store: Open) -> None:
    async with store() as database:
        for number in (1, 2):
            await put(database, number)
        entry = await database.get(number_key("stable", 1))
        assert entry is not None
        await database.delete(entry.key, expect=entry.version)  # a run of prune did so much

        assert len((await prune(database, keep=1)).blobs) == 1
        await whole(database)


async def test_documents_come_back_into_use_while_they_are_pruned(store: Open) -> None:
    """Releases that name again what is about to go, published all the time: none is ever without its documents."""
    async with store() as database, store() as other:
        await put(database, 1)

        async def publishes() -> None:
            for number in range(2, 12):
                # Every third one has the documents of long ago, which are there or are not.
                await put(database, number, *([layer(100), layer(101)] if number % 3 == 2 else []))
                await offered(database)

        async def prunes() -> None:
            for _ in range(6):
                await prune(other, keep=1)
                await offered(other)

        await asyncio.gather(publishes(), prunes())
        assert (await titles(database))[-1] == "stable 11"
        await whole(database)


async def test_a_publisher_waits_until_the_other_is_done(store: Open) -> None:
    async with store() as database, store() as other:
        async with hold_publish_lock(other):
            publishing = asyncio.ensure_future(put(database, 1))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(publishing), 0.5)
            with pytest.raises(Failure, match="somebody else publishes or prunes there"):
                async with hold_publish_lock(database, patience_sec=0.0):
                    pass
            assert await read_head(database, "stable") == (None, None)
        await publishing
        assert await titles(database) == ["stable 1"]


async def test_who_lost_his_turn_removes_nothing(store: Open) -> None:
    async with store() as database:
        for number in (1, 2):
            await put(database, number)
        async with hold_publish_lock(database) as turn:
            for entry in (await database.list(turn.slots.prefix)).entries:
                await database.put(entry.key, b"{}", expect=ANY)
            turn._renewed = 0.0
            with pytest.raises(Failure, match="do it again"):
                await turn.keep()
