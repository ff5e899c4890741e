"""`release prune` on every store: removed releases, kept releases, and a publisher at work at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest

from ordain.agent.delivery.database.database import ANY, Database
from ordain.agent.delivery.fleet.prune import Pruned, prune
from ordain.agent.delivery.fleet.report import MachineReport, encode_report
from ordain.agent.delivery.fleet.rollout_policy import RolloutState
from ordain.agent.delivery.fleet.rollout_policy import encode_rollout as encode_state
from ordain.agent.delivery.protocol import ReleaseReference
from ordain.agent.delivery.release.assemble import assemble
from ordain.agent.delivery.release.manifest import Release, ReleaseDraft
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

pytestmark = pytest.mark.thorough

OpenStore = Callable[[], AbstractAsyncContextManager[Database]]
COMMON = b"ordain: v1\nkind: Layer\nname: common\n"


def layer(number: int) -> bytes:
    return f"ordain: v1\nkind: Layer\nname: n{number}\nvalues: {{n{number}: 1}}\n".encode()


def release(number: int, *more: bytes, channel: str = "stable") -> tuple[Release, dict[str, bytes]]:
    texts = (COMMON, layer(number), *more)
    made = assemble((f"{at}.yaml", text) for at, text in enumerate(texts))
    return ReleaseDraft(channel=channel, number=number, documents=made.names, created="now").release(), dict(made.blobs)


async def put(database: Database, number: int, *more: bytes, channel: str = "stable") -> Release:
    made, blobs = release(number, *more, channel=channel)
    await publish(database, made, blobs)
    return made


async def titles(database: Database) -> list[str]:
    return [each.title for each, _ in (await list_releases(database)).releases]


async def require_complete_head(database: Database) -> None:
    """Require that the release at the head of the channel is complete."""
    now, _ = await read_head(database, "stable")
    assert now is not None
    hashes = set(now.documents.values())
    have = await read_blobs(database, now, hashes)
    latest, _ = await read_head(database, "stable")
    assert have.keys() == hashes or latest != now, now.title


async def require_complete_releases(database: Database) -> None:
    """Require that every release in the store is complete."""
    for each, _ in (await list_releases(database)).releases:
        hashes = set(each.documents.values())
        assert (await read_blobs(database, each, hashes)).keys() == hashes, each.title


async def test_the_newest_releases_stay_and_documents_that_no_release_names_are_removed(open_store: OpenStore) -> None:
    async with open_store() as database:
        for number in range(1, 6):
            await put(database, number)
        await put(database, 1, layer(2), channel="canary")  # names what stable 2 named
        before = {entry.key for entry in (await database.list(BLOBS)).entries}

        planned = await prune(database, channel="stable", keep=2, dry_run=True)
        assert {entry.key for entry in (await database.list(BLOBS)).entries} == before
        done = await prune(database, channel="stable", keep=2)

        assert planned == done
        assert [each.title for each in done.removed] == ["stable 1", "stable 2", "stable 3"]
        assert await titles(database) == ["canary 1", "stable 4", "stable 5"]
        left = {entry.data for entry in (await database.list(BLOBS)).entries}
        assert left == {COMMON, layer(1), layer(2), layer(4), layer(5)}
        await require_complete_releases(database)
        assert await prune(database, channel="stable", keep=2) == Pruned(removed=(), kept=done.kept, blobs=())
        now, _ = await read_head(database, "stable")
        assert now is not None
        assert now.number == 5


async def test_releases_that_a_machine_has_or_is_pinned_to_stay(open_store: OpenStore) -> None:
    node = b"ordain: v1\nkind: Node\nname: web3\npin: 2\n"
    async with open_store() as database:
        for number in range(1, 8):
            await put(database, number, *([node] if number == 7 else []))
        state = RolloutState(number=5, share=0.1)
        await database.put(rollout_key("stable"), encode_state(state), expect=None)
        taken = ReleaseReference(channel="stable", number=4, hash="x")
        await database.put(
            "status/" + "a" * 32, encode_report(MachineReport(machine="a" * 32, release=taken)), expect=None
        )

        done = await prune(database, keep=1)

        assert [each.number for each in done.kept] == [2, 4, 5, 7]
        assert [each.number for each in done.removed] == [1, 3, 6]
        await require_complete_releases(database)

        await database.put("status/not-of-a-machine", b"{", expect=None)
        await prune(database, keep=1)
        await database.put("status/" + "b" * 32, b"{", expect=None)
        with pytest.raises(Failure, match="cannot read the report"):
            await prune(database, keep=1)
        assert len(await titles(database)) == 4


async def test_the_next_run_finds_the_documents_that_an_interrupted_run_has_left(open_store: OpenStore) -> None:
    async with open_store() as database:
        for number in (1, 2):
            await put(database, number)
        entry = await database.get(number_key("stable", 1))
        assert entry is not None
        await database.delete(entry.key, expect=entry.version)  # as an interrupted run of prune does

        assert len((await prune(database, keep=1)).blobs) == 1
        await require_complete_releases(database)


async def test_releases_that_name_documents_again_while_those_are_pruned_stay_complete(open_store: OpenStore) -> None:
    """A publisher keeps naming documents that prune is about to remove; no release is ever without its documents."""
    async with open_store() as database, open_store() as other:
        await put(database, 1)

        async def publishes() -> None:
            for number in range(2, 12):
                # Every third release names old documents, which the store may have or not.
                await put(database, number, *([layer(100), layer(101)] if number % 3 == 2 else []))
                await require_complete_head(database)

        async def prunes() -> None:
            for _ in range(6):
                await prune(other, keep=1)
                await require_complete_head(other)

        await asyncio.gather(publishes(), prunes())
        assert (await titles(database))[-1] == "stable 11"
        await require_complete_releases(database)


async def test_a_publisher_waits_until_the_lock_is_free(open_store: OpenStore) -> None:
    async with open_store() as database, open_store() as other:
        async with hold_publish_lock(other):
            publishing = asyncio.ensure_future(put(database, 1))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(publishing), 0.5)
            with pytest.raises(Failure, match="somebody else is publishing or pruning there"):
                async with hold_publish_lock(database, patience_sec=0.0):
                    pass
            assert await read_head(database, "stable") == (None, None)
        await publishing
        assert await titles(database) == ["stable 1"]


async def test_a_run_that_has_lost_the_lock_stops(open_store: OpenStore) -> None:
    async with open_store() as database:
        for number in (1, 2):
            await put(database, number)
        async with hold_publish_lock(database) as lock:
            for entry in (await database.list(lock.semaphore.prefix)).entries:
                await database.put(entry.key, b"{}", expect=ANY)
            lock._renewed = 0.0
            with pytest.raises(Failure, match="run the command again"):
                await lock.ensure_held()
