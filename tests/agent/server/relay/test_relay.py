"""Machines behind a relay of a real etcd read, report and wait as beside it; nothing of a stranger passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from ordain.agent.delivery.database.database import ANY, Database
from ordain.agent.delivery.database.etcd import Etcd
from ordain.agent.delivery.database.http_transport import HttpTransport, ServerAccess
from ordain.agent.delivery.database.watch import WatchTiming
from ordain.agent.delivery.fleet import rollout_gate
from ordain.agent.delivery.fleet.reports import read_reports
from ordain.agent.delivery.release.publish import publish
from rig.stores import store_servers
from rig.stores.relay_server import RunningRelay, running_relay
from rig.stores.tcp_proxy import Proxy
from support.stores.relayed_site import BASE, SiteMachine, found_fleet, number_read, release

TIMING = WatchTiming(check_sec=0.5, answer_sec=2)


@pytest.fixture
def etcd(etcd_here: None) -> Iterator[store_servers.EtcdCluster]:
    """Return an etcd that a test may end and start again."""
    with store_servers.EtcdCluster(count=1) as cluster:
        yield cluster


@asynccontextmanager
async def opened(etcd: store_servers.EtcdCluster) -> AsyncGenerator[Etcd]:
    """Open the store itself."""
    store = Etcd(HttpTransport(ServerAccess(endpoints=etcd.endpoints)), "/ordain/", timing=TIMING)
    try:
        yield store
    finally:
        await store.close()


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(60):
        while not await is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def until_connected(running: RunningRelay) -> None:
    async def is_connected() -> bool:
        return running.relay.away_sec is None

    await until(is_connected)


async def until_cut_off(running: RunningRelay) -> None:
    async def is_cut_off() -> bool:
        return running.relay.away_sec is not None

    await until(is_cut_off)


async def until_copied(running: RunningRelay, key: str) -> None:
    async def is_copied() -> bool:
        copy = running.relay.copy
        return copy is not None and copy.get(key) is not None

    await until(is_copied)


async def until_queue_is_empty(running: RunningRelay) -> None:
    async def is_empty() -> bool:
        return not len(running.relay.queue)

    await until(is_empty)


async def test_a_machine_reads_and_reports_through_a_relay(etcd: store_servers.EtcdCluster, tmp_path: Path) -> None:
    machine = SiteMachine(tmp_path, 1)
    async with opened(etcd) as store, opened(etcd) as of_relay:
        await found_fleet(store, machine)
        await store.put("documents/common/layer/base", BASE, expect=None)
        async with running_relay(of_relay, tmp_path / "state", "relay1") as running:
            await until_connected(running)
            machine.urls = (running.url,)
            source = machine.source()
            assert (await source.read()).texts == (("common/layer/base", BASE),)
            async with aclosing(source.changes()) as changes, asyncio.timeout(60):
                await anext(changes)
                await store.put("documents/hostname=m1/layer/own", BASE.replace(b"base", b"own"), expect=None)
                await anext(changes)
                while len((await source.read()).texts) < 2:
                    await anext(changes)
            await source.close()

            assert await machine.report(generation=7)
            await until_queue_is_empty(running)
        reports = await read_reports(store)
        assert [(r.hostname, r.generation, r.behind) for r in reports.machines] == [("m1", 7, "relay1")]
        assert not reports.refused


async def test_machines_take_turns_in_a_rollout_through_a_relay(
    etcd: store_servers.EtcdCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_gate, "CHECK_SEC", 0.01)
    first, second = (SiteMachine(tmp_path, number) for number in (1, 2))
    async with opened(etcd) as store, opened(etcd) as of_relay:
        await found_fleet(store, first, second, own_slots=True)
        await publish(store, release(1), {})
        async with running_relay(of_relay, tmp_path / "state") as running:
            await until_connected(running)
            for machine in (first, second):
                machine.urls = (running.url,)
                machine.write_status(1)
            sources = [machine.source(unsigned=False) for machine in (first, second)]
            await publish(store, release(2, stages=["0%", "100%"], **{"max-parallel": 1}), {})
            await until_copied(running, "releases/stable/2")
            assert [await number_read(source) for source in sources] == [1, 1]
            gates = [source._releases.gate for source in sources if source._releases]
            assert all(gate and gate.waiting and "the rollout is at 0%" in gate.waiting.why for gate in gates)

            await store.put("releases/stable/rollout", b'{"number": 2, "share": 1.0}', expect=ANY)
            await until_copied(running, "releases/stable/rollout")
            assert [await number_read(source) for source in sources] == [2, 1], "one at a time"
            (slot,) = (await store.list("locks/")).entries
            assert slot.key == f"locks/_own/{first.id}"
            first.write_status(2)

            async def has_turn() -> bool:
                return await number_read(sources[1]) == 2

            await until(has_turn)
            second.write_status(2)

            async def is_free() -> bool:
                return not (await store.list("locks/")).entries

            await until(is_free)
            for source in sources:
                await source.close()


async def test_a_relay_that_is_cut_off_serves_its_copy_queues_reports_and_lets_machines_wait(
    etcd: store_servers.EtcdCluster, tmp_path: Path
) -> None:
    machine = SiteMachine(tmp_path, 1)
    async with opened(etcd) as store, opened(etcd) as of_relay:
        await found_fleet(store, machine)
        await publish(store, release(1), {})
        await publish(store, release(2, **{"max-parallel": 1}), {})
        async with running_relay(of_relay, tmp_path / "state") as running:
            await until_connected(running)
            await until_copied(running, "releases/stable/2")
        etcd.members[0].end()

        async with running_relay(of_relay, tmp_path / "state") as running:  # also after a restart
            machine.urls = (running.url,)
            machine.write_status(1)
            source = machine.source(unsigned=False)
            assert await number_read(source) == 1
            gate = source._releases.gate if source._releases else None
            assert gate
            assert gate.waiting
            assert "its store does not answer" in gate.waiting.why
            assert [*await source.ask_replaced_servers()] == [running.url], "the machine knows that it is cut off"
            for generation in (1, 2):
                assert await machine.report(1, generation=generation)
            assert len(running.relay.queue) == 1, "the newest report of a machine"
            await source.close()
        async with running_relay(of_relay, tmp_path / "state") as running:  # it outlasts another restart
            assert len(running.relay.queue) == 1
            etcd.start(etcd.members[0])
            etcd.ready()
            await until_queue_is_empty(running)
        (report,) = (await read_reports(store)).machines
        assert (report.generation, report.behind) == (2, "relay1")


async def test_a_relay_that_dies_is_not_noticed_by_machines_that_know_two(
    etcd: store_servers.EtcdCluster, tmp_path: Path
) -> None:
    machine = SiteMachine(tmp_path, 1)
    async with opened(etcd) as store, opened(etcd) as a, opened(etcd) as b:
        await found_fleet(store, machine)
        await store.put("documents/common/layer/base", BASE, expect=None)
        async with (
            running_relay(a, tmp_path / "a", "relay1") as first,
            running_relay(b, tmp_path / "b", "relay2") as second,
        ):
            await until_connected(first)
            await until_connected(second)
            machine.urls = (first.url, second.url)
            source = machine.source()
            assert len((await source.read()).texts) == 1
            assert await machine.report(generation=1)
            await until_queue_is_empty(first)
            async with aclosing(source.changes()) as changes, asyncio.timeout(60):
                await anext(changes)
                await first.kill()
                await store.put("documents/common/layer/more", BASE.replace(b"base", b"more"), expect=None)
                while len((await source.read()).texts) < 2:
                    await anext(changes)
            assert await machine.report(generation=2)
            await until_queue_is_empty(second)
            (report,) = (await read_reports(store)).machines
            assert (report.generation, report.behind, report.dropped) == (2, "relay2", 0)
            await source.close()


async def test_a_machine_prefers_a_relay_that_has_its_store(etcd: store_servers.EtcdCluster, tmp_path: Path) -> None:
    machine = SiteMachine(tmp_path, 1)
    async with opened(etcd) as store, opened(etcd) as a, Proxy(etcd.endpoints[0]) as proxy:
        cut = Etcd(HttpTransport(ServerAccess(endpoints=(proxy.url,))), "/ordain/", timing=TIMING)
        await found_fleet(store, machine)
        async with (
            running_relay(cut, tmp_path / "cut", "cut") as first,
            running_relay(a, tmp_path / "a", "connected") as second,
        ):
            await until_connected(first)
            await until_connected(second)
            proxy.freeze()
            await until_cut_off(first)
            await store.put("documents/common/layer/base", BASE, expect=None)
            await until_copied(second, "documents/common/layer/base")
            machine.urls = (first.url, second.url)
            source = machine.source()
            assert len((await source.read()).texts) == 1
            assert [*await source.ask_replaced_servers()] == [first.url]
            proxy.thaw()
            await until_connected(first)
            assert not await source.ask_replaced_servers()
            await source.close()
        await cut.close()


@pytest.mark.thorough
@pytest.mark.parametrize("connect_store", ["couchdb", "directory"], indirect=True)
async def test_a_relay_of_another_store_copies_forwards_and_gives_turns(
    connect_store: Callable[[], Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_gate, "CHECK_SEC", 0.01)
    machine = SiteMachine(tmp_path, 1)
    store, of_relay = connect_store(), connect_store()
    await found_fleet(store, machine)
    await publish(store, release(1), {})
    async with running_relay(of_relay, tmp_path / "state") as running:
        await until_connected(running)
        machine.urls = (running.url,)
        machine.write_status(1)
        source = machine.source(unsigned=False)
        await publish(store, release(2, **{"max-parallel": 1}), {})
        await until_copied(running, "releases/stable/2")
        assert await number_read(source) == 2
        assert len((await store.list("locks/")).entries) == 1
        assert await machine.report(2)

        async def is_free() -> bool:
            return not (await store.list("locks/")).entries

        await until(is_free)
        await until_queue_is_empty(running)
        await source.close()
    (report,) = (await read_reports(store)).machines
    assert (report.release.number, report.behind) == (2, "relay1")
    for database in (store, of_relay):
        await database.close()


@pytest.mark.thorough
async def test_200_machines_read_report_and_follow_one_relay(etcd: store_servers.EtcdCluster, tmp_path: Path) -> None:
    machines = [SiteMachine(tmp_path, number) for number in range(1, 201)]
    async with opened(etcd) as store, opened(etcd) as of_relay:
        await found_fleet(store, *machines)
        await publish(store, release(1), {})
        async with running_relay(of_relay, tmp_path / "state") as running:
            await until_connected(running)

            async def follow(machine: SiteMachine) -> None:
                machine.urls = (running.url,)
                source = machine.source(unsigned=False)
                assert await number_read(source) == 1
                assert await machine.report(1)
                async with aclosing(source.changes()) as changes:
                    async for _ in changes:
                        if await number_read(source) == 2:
                            break
                assert await machine.report(2)
                await source.close()

            async with asyncio.timeout(300):
                following = [asyncio.create_task(follow(machine)) for machine in machines]
                await publish(store, release(2), {})
                await asyncio.gather(*following)
            await until_queue_is_empty(running)
        reports = await read_reports(store)
        assert [report.release.number for report in reports.machines] == [2] * 200
        assert not reports.refused
