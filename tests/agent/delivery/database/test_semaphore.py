"""The semaphore in a store: a limit for all, and slots that outlive their holder only for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from pathlib import Path

import pytest

from ordain.agent.delivery.database.database import Database, StoredEntry
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.database.semaphore import NoGuard, Semaphore

OpenStore = Callable[[], AbstractAsyncContextManager[Database]]
in_directory_and_etcd = pytest.mark.parametrize("connect_store", ["directory", "etcd"], indirect=True)


def semaphore(database: Database, holder: str, count: int = 2, **more: object) -> Semaphore:
    return Semaphore(database=database, prefix="locks/stable/", count=count, holder=holder, **more)  # type: ignore[arg-type]


@in_directory_and_etcd
async def test_only_as_many_as_there_are_slots_hold_one(open_store: OpenStore) -> None:
    async with open_store() as database:
        everyone = [semaphore(database, f"m{n}") for n in range(10)]

        acquired = await asyncio.gather(*(each.acquire() for each in everyone))

        assert sum(acquired) == 2
        holders = [each for each, ok in zip(everyone, acquired, strict=True) if ok]
        others = [each for each, ok in zip(everyone, acquired, strict=True) if not ok]
        assert await holders[0].renew()
        await holders[0].release()
        assert not await holders[0].renew()
        assert sum([await each.acquire() for each in others]) == 1


class OwnSlots(NoGuard):
    """The guard of a fleet whose machines write their own slots only."""

    has_own_slots = True


@pytest.mark.thorough
@in_directory_and_etcd
async def test_machines_that_write_their_own_slots_only_never_hold_more_than_there_are(open_store: OpenStore) -> None:
    at_work: set[str] = set()
    most = 0
    turns: list[str] = []

    async def work(database: Database, holder: str) -> None:
        nonlocal most
        for _ in range(3):
            slot = semaphore(database, holder, 3, guard=OwnSlots(), may_be_own=True)
            while not await slot.acquire():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            at_work.add(holder)
            most = max(most, len(at_work))
            await asyncio.sleep(0.01)
            assert await slot.renew()
            at_work.remove(holder)
            await slot.release()
            turns.append(holder)

    async with open_store() as database:
        async with asyncio.timeout(120):
            await asyncio.gather(*(work(database, f"m{n}") for n in range(12)))
        assert not (await database.list("locks/")).entries
    assert len(turns) == 36
    assert 1 < most <= 3


@in_directory_and_etcd
async def test_an_own_slot_is_not_taken_if_another_one_was_taken_since_it_was_counted(open_store: OpenStore) -> None:
    async with open_store() as database:
        b = semaphore(database, "b", 1, guard=OwnSlots(), may_be_own=True)

        class Late(OwnSlots):
            async def genuine(self, claims: Sequence[tuple[StoredEntry, str]]) -> frozenset[str]:
                await b.acquire()
                return await super().genuine(claims)

        a = semaphore(database, "a", 1, guard=Late(), may_be_own=True)
        assert not await a.acquire()
        assert await b.renew()


@in_directory_and_etcd
async def test_a_holder_that_returns_gets_its_own_slot_back(open_store: OpenStore) -> None:
    async with open_store() as database:
        assert await semaphore(database, "a", 1).acquire()
        assert await semaphore(database, "a", 1).acquire()
        assert not await semaphore(database, "b", 1).acquire()


async def test_the_slot_of_a_crashed_holder_expires_by_the_clock_of_the_next(tmp_path: Path) -> None:
    database = DirectoryDatabase(tmp_path)
    now = [0.0]
    crashed, waiting = semaphore(database, "a", 1), semaphore(database, "b", 1, ttl_sec=60, clock=lambda: now[0])
    assert await crashed.acquire()
    assert not await waiting.acquire()
    now[0] = 50
    assert await crashed.renew()
    assert not await waiting.acquire()
    now[0] = 109
    assert not await waiting.acquire(), "the slot was renewed"
    now[0] = 111

    assert await waiting.acquire()
    assert not await crashed.renew()
    await crashed.release()
    assert await waiting.renew(), "a holder that has lost its slot cannot release it"


@pytest.mark.parametrize("connect_store", ["etcd"], indirect=True)
async def test_etcd_removes_the_slot_of_a_crashed_holder_with_its_lease(open_store: OpenStore) -> None:
    async with open_store() as database:
        assert await semaphore(database, "a", 1, ttl_sec=1).acquire()
        listing = await database.list("locks/stable/")
        async with aclosing(database.watch(("locks/stable/",), listing.revision)) as changes:
            async for _ in changes:
                if not (await database.list("locks/stable/")).entries:
                    break
        assert await semaphore(database, "b", 1).acquire()


async def test_the_loser_of_a_slot_that_two_have_won_learns_it_before_it_begins(tmp_path: Path) -> None:
    database = DirectoryDatabase(tmp_path)
    database.settle_sec = 2.0
    waits: list[float] = []

    async def another_node_prefers_another_holder(sec: float) -> None:
        waits.append(sec)
        entry = (await database.list("locks/")).entries[0]
        await database.put(entry.key, b'{"holder": "b", "beat": 1}', expect=entry.version)

    async def nothing_happens(sec: float) -> None:
        waits.append(sec)

    assert not await semaphore(database, "a", 1, sleep=another_node_prefers_another_holder).acquire()
    assert await semaphore(database, "c", 2, sleep=nothing_happens).acquire()
    assert waits == [2.0, 2.0]
