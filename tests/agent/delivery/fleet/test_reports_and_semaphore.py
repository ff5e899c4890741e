"""Semaphore, turns and reports over stores: a directory, and a real cluster of etcd."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from ordain.agent.delivery.database.database import ANY, Database
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.database.etcd import Etcd
from ordain.agent.delivery.database.http_transport import HttpTransport, ServerAccess
from ordain.agent.delivery.database.semaphore import Semaphore
from ordain.agent.delivery.database.watch import WatchTiming
from ordain.agent.delivery.fleet import report_publisher, rollout_gate
from ordain.agent.delivery.fleet.report import PATH, MachineReport, decode_report, encode_report
from ordain.agent.delivery.fleet.report_publisher import ReportPublisher, status_key
from ordain.agent.delivery.fleet.rollout_gate import RolloutGate
from ordain.agent.delivery.protocol import ReleaseReference, SourceError, SourceFault
from ordain.agent.delivery.release import signing
from ordain.agent.delivery.release.manifest import Release, ReleaseDraft, read_release
from ordain.agent.delivery.release.publish import publish
from ordain.agent.delivery.source.database_source import DatabaseSource
from ordain.agent.delivery.source.release_reader import ReleaseReader
from ordain.agent.status import AgentState
from ordain.transforms.model import Facts
from rig import store_servers
from rig.signing_keys import key_of

Open = Callable[[], Database]


@pytest.fixture(params=["directory", "etcd"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Connects to one empty store of each kind in turn; every call is another client."""
    folder = tmp_path / "store"
    folder.mkdir()
    if request.param == "directory":
        return lambda: DirectoryDatabase(folder)
    endpoints = request.getfixturevalue("cluster").endpoints
    return lambda: Etcd(
        HttpTransport(ServerAccess(endpoints=endpoints)), f"/{tmp_path.name}/", timing=WatchTiming(check_sec=1)
    )


@asynccontextmanager
async def opened(store: Open) -> AsyncGenerator[Database, None]:
    database = store()
    try:
        yield database
    finally:
        await database.close()


def slots(database: Database, holder: str, count: int = 2, **more: object) -> Semaphore:
    return Semaphore(database=database, name="stable", count=count, holder=holder, **more)  # type: ignore[arg-type]


async def test_so_many_hold_a_slot_at_a_time_and_no_more(store: Open) -> None:
    async with opened(store) as database:
        everyone = [slots(database, f"m{n}") for n in range(10)]

        held = await asyncio.gather(*(each.acquire() for each in everyone))

        assert sum(held) == 2
        inside = [each for each, ok in zip(everyone, held, strict=True) if ok]
        outside = [each for each, ok in zip(everyone, held, strict=True) if not ok]
        assert await inside[0].renew()
        await inside[0].release()
        assert not await inside[0].renew()
        assert sum([await each.acquire() for each in outside]) == 1


async def test_who_comes_back_has_its_own_slot(store: Open) -> None:
    async with opened(store) as database:
        assert await slots(database, "a", 1).acquire()
        assert await slots(database, "a", 1).acquire()
        assert not await slots(database, "b", 1).acquire()


async def test_the_slot_of_one_that_crashed_expires_by_the_clock_of_who_wants_it(tmp_path: Path) -> None:
    database = DirectoryDatabase(tmp_path)
    now = [0.0]
    gone, waiting = slots(database, "a", 1), slots(database, "b", 1, ttl_sec=60, clock=lambda: now[0])
    assert await gone.acquire()
    assert not await waiting.acquire()
    now[0] = 50
    assert await gone.renew()
    assert not await waiting.acquire()
    now[0] = 109
    assert not await waiting.acquire(), "it was renewed"
    now[0] = 111

    assert await waiting.acquire()
    assert not await gone.renew()
    await gone.release()
    assert await waiting.renew(), "who lost it cannot give it away"


async def test_in_etcd_the_slot_of_one_that_crashed_goes_with_its_lease(
    cluster: store_servers.Cluster, tmp_path: Path
) -> None:
    transport = HttpTransport(ServerAccess(endpoints=cluster.endpoints))
    database = Etcd(transport, f"/{tmp_path.name}/", timing=WatchTiming(check_sec=0.5))
    try:
        assert await slots(database, "a", 1, ttl_sec=1).acquire()
        listing = await database.list("locks/stable/")
        async with aclosing(database.watch(("locks/stable/",), listing.revision)) as woken:
            async for _ in woken:
                if not (await database.list("locks/stable/")).entries:
                    break
        assert await slots(database, "b", 1).acquire()
    finally:
        await database.close()


def facts(number: int) -> Facts:
    return Facts(id="debian", systemd=257, hostname=f"m{number}", machine_id=f"{number:032x}")


def release(number: int, **rollout: object) -> Release:
    private, signer = key_of(1)
    made = ReleaseDraft(channel="stable", number=number, documents={}, created="now", rollout=rollout or None).release()
    return made.signed(signer.id, signing.sign(private, made.canonical))


async def given_back(database: Database) -> None:
    """Wait until nobody holds a slot."""
    while True:
        if not (await database.list("locks/")).entries:
            return
        await asyncio.sleep(0.02)


class Machine:
    """A source and an agent that takes what it is handed; its turns can be counted."""

    def __init__(self, database: Database, root: Path, number: int) -> None:
        self.root = root
        self.facts = facts(number)
        self.gate = RolloutGate(root=root, machine=self.facts.machine_id, database=database)
        releases = ReleaseReader(database, lambda: self.facts, {}, self.gate)
        self.source = DatabaseSource(database, lambda: self.facts, {}, releases=releases, unsigned=False)
        (root / PATH).parent.mkdir(parents=True)

    def report(self, number: int, phase: AgentState) -> None:
        found = MachineReport(
            machine=self.facts.machine_id, phase=phase, release=ReleaseReference(channel="stable", number=number)
        )
        (self.root / PATH).write_bytes(encode_report(found))

    async def read(self) -> int:
        ((path, data),) = (await self.source.read()).texts
        return read_release(path, data).number


async def test_machines_take_turns_by_the_semaphore_and_a_crashed_one_holds_nobody_up_for_ever(
    store: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_gate, "LOOK_SEC", 0.01)
    monkeypatch.setattr(rollout_gate, "ASK_SEC", (0.02, 0.1))
    async with opened(store) as database:
        await publish(database, release(1), {})
        machines = [Machine(database, tmp_path / f"m{n}", n) for n in range(6)]
        for machine in machines:
            assert await machine.read() == 1, "a machine without a release does not wait"
            machine.report(1, AgentState.CONVERGED)
        await publish(database, release(2, **{"max-parallel": 2}), {})
        at_work: set[int] = set()
        most = 0

        async def follow(n: int, machine: Machine) -> None:
            nonlocal most
            async with aclosing(machine.source.changes()) as changes:
                async for _ in changes:
                    if await machine.read() == 2:
                        break
            at_work.add(n)
            most = max(most, len(at_work))
            machine.report(2, AgentState.APPLYING)
            await asyncio.sleep(0.05)
            at_work.remove(n)
            machine.report(2, AgentState.CONVERGED)

        async with asyncio.timeout(60):
            await asyncio.gather(*(follow(n, machine) for n, machine in enumerate(machines)))
            await given_back(database)

        assert most == 2


async def test_a_turn_outlives_the_connection_it_was_got_by(
    store: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollout_gate, "LOOK_SEC", 0.01)
    async with opened(store) as database:
        await publish(database, release(1), {})
        machine = Machine(database, tmp_path / "m", 1)
        machine.report(1, AgentState.CONVERGED)
        await publish(database, release(2, **{"max-parallel": 1}), {})
        assert await machine.read() == 2
        machine.report(2, AgentState.APPLYING)
        await machine.gate.close()
        assert not await slots(database, "other", 1).acquire()

        again = Machine(database, tmp_path / "again", 1)
        again.report(2, AgentState.CONVERGED)
        assert await again.read() == 2
        async with asyncio.timeout(30):
            await given_back(database)


async def test_a_machine_whose_turn_it_is_not_goes_on_with_the_release_it_has(store: Open, tmp_path: Path) -> None:
    async with opened(store) as database:
        await publish(database, release(1), {})
        machine = Machine(database, tmp_path / "m", 1)
        machine.report(1, AgentState.CONVERGED)
        await publish(database, release(2, stages=["0%", "100%"]), {})

        assert await machine.read() == 1
        assert machine.gate.waiting is not None
        assert "the rollout is at 0%" in machine.gate.waiting.why
        await database.put("releases/stable/rollout", b'{"number": 2, "share": 1.0}', expect=None)
        assert await machine.read() == 2


async def test_opening_a_stage_wakes_those_who_wait(store: Open, tmp_path: Path) -> None:
    async with opened(store) as database:
        await publish(database, release(1), {})
        machine = Machine(database, tmp_path / "m", 1)
        machine.report(1, AgentState.CONVERGED)
        await publish(database, release(2, stages=["0%", "100%"]), {})
        async with asyncio.timeout(30), aclosing(machine.source.changes()) as changes:
            async for _ in changes:
                if await machine.read() == 2:
                    break
                await database.put("releases/stable/rollout", b'{"number": 2, "share": 1.0}', expect=None)


def written(root: Path, **more: object) -> MachineReport:
    found = MachineReport(machine="0" * 32, hostname="web3", phase=AgentState.CONVERGED, **more)  # type: ignore[arg-type]
    path = root / PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".new").write_bytes(encode_report(found))
    path.with_suffix(".new").rename(path)
    return found


async def told(database: Database, wanted: Callable[[MachineReport], bool]) -> MachineReport:
    async with asyncio.timeout(30):
        while True:
            entry = await database.get(status_key("0" * 32))
            if entry and wanted(found := decode_report(entry.data)):
                return found
            await asyncio.sleep(0.01)


async def test_a_report_goes_to_the_store_and_again_when_it_changes(
    store: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_publisher, "PACE_SEC", 0.0)
    written(tmp_path, generation=1)
    async with opened(store) as database:
        task = asyncio.create_task(ReportPublisher(root=tmp_path, open=store).run())
        assert (await told(database, lambda r: r.generation == 1)).seen > 1_700_000_000
        written(tmp_path, generation=2)
        assert (await told(database, lambda r: r.generation == 2)).hostname == "web3"
        task.cancel()
        await asyncio.wait([task])


async def test_writing_status_never_wakes_who_watches_the_configuration(store: Open, tmp_path: Path) -> None:
    async with opened(store) as database:
        await publish(database, release(1), {})
        machine = Machine(database, tmp_path / "m", 1)
        await machine.read()
        async with aclosing(machine.source.changes()) as changes:
            await anext(changes)
            waking = asyncio.ensure_future(anext(changes))
            for number in range(20):
                await database.put(f"status/{number}", b"{}", expect=None)
                await database.put(f"locks/stable/{number}", b"{}", expect=None)
            await asyncio.sleep(0.3)
            assert not waking.done()
            await publish(database, release(2), {})
            await asyncio.wait_for(waking, 30)


class Full(DirectoryDatabase):
    """A store that takes nothing, as one over its quota or one that denies it."""

    def __init__(self, root: Path, times: list[str]) -> None:
        super().__init__(root)
        self.times = times

    async def put(self, key: str, data: bytes, *, expect: str | None, ttl_sec: int = 0) -> str:
        if self.times:
            raise SourceError(self.times.pop(), code=SourceFault.FORBIDDEN)
        return await super().put(key, data, expect=expect, ttl_sec=ttl_sec)


async def test_what_the_store_does_not_take_is_counted_and_nothing_else_is_done_about_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "store").mkdir()
    written(tmp_path)
    database = Full(tmp_path / "store", ["permission denied", "database space exceeded"])
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    task = asyncio.create_task(ReportPublisher(root=tmp_path, open=lambda: database, sleep=sleep).run())
    found = await told(DirectoryDatabase(tmp_path / "store"), lambda r: True)
    task.cancel()
    await asyncio.wait([task])

    assert found.dropped == 2
    assert len([p for p in pauses if p > 0]) == 2
    assert [r.message for r in caplog.records if "not written back" in r.message] == [
        "the status is not written back: database space exceeded [Forbidden]"
    ]


async def test_two_machines_of_one_id_are_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_publisher, "PACE_SEC", 0.0)
    (tmp_path / "store").mkdir()
    database = DirectoryDatabase(tmp_path / "store")
    written(tmp_path, generation=1)
    task = asyncio.create_task(ReportPublisher(root=tmp_path, open=lambda: DirectoryDatabase(tmp_path / "store")).run())
    await told(database, lambda r: r.generation == 1)
    await database.put(status_key("0" * 32), b'{"machine": "another"}', expect=ANY)
    written(tmp_path, generation=2)
    await told(database, lambda r: r.generation == 2)
    task.cancel()
    await asyncio.wait([task])

    assert "machine-ids are to be unique" in caplog.text


def test_a_report_is_read_back_and_nonsense_is_refused() -> None:
    full = MachineReport(
        machine="x", facts=facts(1), labels={"role": ("web",)}, release=ReleaseReference(channel="a", number=1)
    )

    assert decode_report(encode_report(full)) == full
    assert decode_report(json.dumps({"machine": "x", "later": 1}).encode()).machine == "x"
    for bad in (b"", b"[]", b'"x"', b"null", b'{"machine": "x", "phase": "?"}', b'{"a":' * 99999):
        with pytest.raises(ValueError):  # noqa: PT011 - any message will do
            decode_report(bad)
