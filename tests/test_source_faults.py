"""What can go wrong with a store, done to real ones. Whatever it is: the documents that were had last stay.

Each test is one fault; those that any store can have run on each. pouchdb-server stands in for CouchDB; what it cannot
do (opaque sequences, purges, the ends of feeds) is scripted: `rig.fake_couch`.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ordain.agent.sources import Fault, Health
from ordain.agent.sources.backoff import Backoff
from ordain.agent.sources.database import ANY, Database
from ordain.agent.sources.database_source import DatabaseSource
from ordain.agent.sources.fetcher import Fetcher
from ordain.agent.sources.handed import NAME
from ordain.agent.sources.handover import Handover, decode
from ordain.agent.sources.opening import open_database
from ordain.agent.sources.settings import Kind, SourceSettings
from ordain.agent.sources.watching import Pace
from ordain.transforms.model import Facts
from rig import stores
from rig.proxy import Proxy

PATIENCE_SEC = 30.0
PACE = Pace(check_sec=0.3, answer_sec=1.0)
FACTS = Facts(
    id="debian",
    like=(),
    version="12",
    systemd=252,
    arch="x86-64",
    virtualization="none",
    hostname="web3",
    machine_id="0" * 31 + "3",
    mac=(),
    root="disk",
)
BASE = "documents/common/layer/base"
FIRST = b"ordain: v1\nkind: Layer\nname: base\nvalues: {n: 1}\n"
SECOND = FIRST.replace(b"1}", b"2}")


@dataclass(slots=True)
class Machine:
    """What ordain-source.service does on one machine, and what the agent would get of it."""

    settings: SourceSettings
    folder: Path
    password: str = ""
    pace: Pace = PACE
    reads: int = 0
    codes: list[Fault | str] = field(default_factory=list)

    def database(self) -> Database:
        return open_database(self.settings, password=lambda: self.password, pace=self.pace)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Fetches, with next to no pauses."""
        for name in ("run", "state"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        database = self.database()
        source = DatabaseSource(database, lambda: FACTS, {})
        fetcher = Fetcher(
            lambda: source,
            self.settings,
            folder=self.folder / "run",
            state=self.folder / "state",
            backoff=Backoff(uniform=lambda low, high: 0.05),
        )
        task = asyncio.ensure_future(fetcher.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await database.close()

    def handed(self) -> Handover:
        return decode((self.folder / "run" / NAME).read_bytes())

    @property
    def texts(self) -> list[bytes]:
        return [data for _, data in self.handed().snapshot.texts]

    @property
    def health(self) -> Health:
        health = self.handed().health
        assert health is not None
        return health

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait for something to be so."""
        try:
            async with asyncio.timeout(PATIENCE_SEC):
                while True:
                    if (self.folder / "run" / NAME).exists() and what():
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"still {self.handed()}")

    async def has(self, *texts: bytes) -> None:
        """Wait until just these documents are handed over, and the source is well."""
        await self.until(lambda: self.texts == list(texts) and self.health.connected)

    async def fails(self, code: Fault, *texts: bytes) -> None:
        """Wait until the source is known to fail; these documents stay."""
        await self.until(lambda: self.health.code == code)
        assert self.texts == list(texts)
        assert not self.health.connected


class Store:
    """One store that can be harmed. ``down`` and ``up`` are kill -9 and a start with the data it had."""

    kind: Kind
    settings: SourceSettings

    def down(self) -> None: ...
    def up(self) -> None: ...
    def signal(self, number: signal.Signals) -> None: ...

    async def wipe(self, database: Database) -> None:
        for entry in (await database.list("documents/")).entries:
            await database.delete(entry.key, expect=ANY)


class DirectoryStore(Store):
    def __init__(self, path: Path) -> None:
        self.settings = SourceSettings(type=Kind.DIRECTORY, path=str(path))
        self._path = path

    def down(self) -> None:
        self._path.rename(self._path.with_name("away"))

    def up(self) -> None:
        self._path.with_name("away").rename(self._path)


class EtcdStore(Store):
    def __init__(self, cluster: stores.Cluster) -> None:
        self.cluster = cluster
        self.settings = SourceSettings(type=Kind.ETCD, endpoints=cluster.endpoints)

    def down(self) -> None:
        for member in self.cluster.members:
            member.end()

    def up(self) -> None:
        self.cluster.start(*self.cluster.members)
        self.cluster.ready()

    def signal(self, number: signal.Signals) -> None:
        for member in self.cluster.members:
            member.signal(number)


class CouchStore(Store):
    def __init__(self, pouch: stores.Pouch) -> None:
        self.pouch = pouch
        self.settings = SourceSettings(type=Kind.COUCHDB, endpoints=(pouch.url,))

    def down(self) -> None:
        self.pouch.end()

    def up(self) -> None:
        self.pouch.start()

    def signal(self, number: signal.Signals) -> None:
        self.pouch.signal(number)


SERVERS = ("etcd", "couchdb")
EVERY = ("directory", *SERVERS)


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A store of its own, to be harmed."""
    if reason := {"etcd": stores.missing, "couchdb": stores.missing_pouch}.get(request.param, str)():
        pytest.skip(reason)
    if request.param == "etcd":
        with stores.Cluster(count=1) as cluster:
            yield EtcdStore(cluster)
    elif request.param == "couchdb":
        with stores.Pouch() as pouch:
            yield CouchStore(pouch)
    else:
        (tmp_path / "store").mkdir()
        yield DirectoryStore(tmp_path / "store")


every = pytest.mark.parametrize("store", EVERY, indirect=True)
servers = pytest.mark.parametrize("store", SERVERS, indirect=True)
on_etcd = pytest.mark.parametrize("store", ["etcd"], indirect=True)
on_couchdb = pytest.mark.parametrize("store", ["couchdb"], indirect=True)


@pytest.fixture
def machine(store: Store, tmp_path: Path) -> Machine:
    return Machine(settings=store.settings, folder=tmp_path / "machine")


def unreachable(store: Store) -> Fault:
    return Fault.UNREADABLE if isinstance(store, DirectoryStore) else Fault.UNREACHABLE


@contextlib.asynccontextmanager
async def admin(machine: Machine) -> AsyncGenerator[Database, None]:
    """Somebody who writes documents."""
    database = machine.database()
    try:
        yield database
    finally:
        await database.close()


@every
async def test_01_unreachable_at_boot(store: Store, machine: Machine) -> None:
    async with admin(machine) as database:
        await database.put(BASE, FIRST, expect=None)
    async with machine.running():
        await machine.has(FIRST)
    store.down()
    (machine.folder / "run" / NAME).unlink()  # a boot
    async with machine.running():
        await machine.fails(unreachable(store), FIRST)
        store.up()
        await machine.has(FIRST)


@every
async def test_02_no_cache_and_no_source(store: Store, machine: Machine) -> None:
    store.down()
    async with machine.running():
        await machine.fails(unreachable(store))
        store.up()
        await machine.fails(Fault.EMPTY)
        async with admin(machine) as database:
            await database.put(BASE, FIRST, expect=None)
        await machine.has(FIRST)


@every
async def test_03_lost_for_long_and_back(store: Store, machine: Machine) -> None:
    async with admin(machine) as database:
        await database.put(BASE, FIRST, expect=None)
    async with machine.running():
        await machine.has(FIRST)
        for _ in range(2):
            store.down()
            await machine.fails(unreachable(store), FIRST)
            store.up()
            await machine.has(FIRST)
        async with admin(machine) as database:
            await database.put(BASE, SECOND, expect=ANY)
        await machine.has(SECOND)


@servers
async def test_04_a_frozen_server(store: Store, machine: Machine) -> None:
    async with admin(machine) as database:
        await database.put(BASE, FIRST, expect=None)
    async with machine.running():
        await machine.has(FIRST)
        store.signal(signal.SIGSTOP)
        await machine.fails(Fault.UNREACHABLE, FIRST)
        store.signal(signal.SIGCONT)
        await machine.has(FIRST)


@servers
async def test_04_a_network_that_swallows_everything(store: Store, machine: Machine) -> None:
    async with Proxy(store.settings.endpoints[0]) as proxy, admin(machine) as database:
        machine.settings = replace(store.settings, endpoints=(proxy.url,))
        await database.put(BASE, FIRST, expect=None)
        async with machine.running():
            await machine.has(FIRST)
            proxy.freeze()
            await database.put(BASE, SECOND, expect=ANY)
            await machine.fails(Fault.UNREACHABLE, FIRST)
            proxy.thaw()
            await machine.has(SECOND)


@servers
async def test_05_an_answer_that_ends_within_a_line(store: Store, machine: Machine) -> None:
    async with Proxy(store.settings.endpoints[0]) as proxy, admin(machine) as database:
        machine.settings = replace(store.settings, endpoints=(proxy.url,))
        machine.pace = replace(PACE, check_sec=60.0)
        await database.put(BASE, FIRST, expect=None)
        async with machine.running():
            await machine.has(FIRST)
            seen = proxy.connections
            proxy.cut()
            await database.put(BASE, SECOND, expect=ANY)
            await machine.has(SECOND)
            assert proxy.connections > seen


@every
async def test_13_nothing_is_no_answer(store: Store, machine: Machine) -> None:
    async with admin(machine) as database:
        await database.put(BASE, FIRST, expect=None)
        async with machine.running():
            await machine.has(FIRST)
            await store.wipe(database)
            await machine.fails(Fault.EMPTY, FIRST)
            await database.put(BASE, SECOND, expect=None)
            await machine.has(SECOND)
