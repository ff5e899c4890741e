"""What ordain-source.service does on one machine, followed from outside; and stores that can be harmed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ordain.agent.delivery.database.backoff import Backoff
from ordain.agent.delivery.database.database import ANY, Database
from ordain.agent.delivery.database.watch import WatchTiming
from ordain.agent.delivery.protocol import SourceError, SourceFault, SourceHealth
from ordain.agent.delivery.source.database_source import DatabaseSource
from ordain.agent.delivery.source.handover_file import Handover, decode
from ordain.agent.delivery.source.handover_source import NAME
from ordain.agent.delivery.source.source_factory import open_database
from ordain.agent.source_daemon.fetcher import Fetcher
from ordain.agent.source_settings import SourceKind, SourceSettings
from ordain.transforms.model import Facts
from rig import store_servers

HANDOVER = NAME
# aiohttp 3.8 leaves a socket to the garbage collector when it is cancelled while it connects.
IGNORE_OPEN_SOCKET = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)
PATIENCE_SEC = 20.0
TIMING = WatchTiming(check_sec=0.3, answer_sec=1.0)
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
class SourceMachine:
    """What ordain-source.service does on one machine, and what the agent would get of it."""

    settings: SourceSettings
    folder: Path
    password: str = ""
    timing: WatchTiming = TIMING

    def database(self, timing: WatchTiming | None = None) -> Database:
        return open_database(self.settings, password=lambda: self.password, timing=timing or self.timing)

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
        return decode((self.folder / "run" / HANDOVER).read_bytes())

    @property
    def texts(self) -> list[bytes]:
        return [data for _, data in self.handed().snapshot.texts]

    @property
    def health(self) -> SourceHealth:
        health = self.handed().health
        assert health is not None
        return health

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait for something to be so."""
        try:
            async with asyncio.timeout(PATIENCE_SEC):
                while True:
                    if (self.folder / "run" / HANDOVER).exists() and what():
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"still {self.handed()}")

    async def has(self, *texts: bytes) -> None:
        """Wait until just these documents are handed over, and the source is well."""
        await self.until(lambda: self.texts == list(texts) and self.health.connected)

    async def fails(self, code: SourceFault, *texts: bytes) -> None:
        """Wait until the source is known to fail; these documents stay."""
        await self.until(lambda: self.health.code == code)
        assert self.texts == list(texts)
        assert not self.health.connected


class HarmableStore:
    """One store that can be harmed. ``down`` and ``up`` are kill -9 and a start with the data it had."""

    kind: SourceKind
    settings: SourceSettings

    def down(self) -> None: ...
    def up(self) -> None: ...
    def signal(self, number: signal.Signals) -> None: ...

    async def wipe(self, database: Database) -> None:
        for entry in (await database.list("documents/")).entries:
            await database.delete(entry.key, expect=ANY)


class DirectoryStore(HarmableStore):
    def __init__(self, path: Path) -> None:
        self.settings = SourceSettings(type=SourceKind.DIRECTORY, path=str(path))
        self._path = path

    def down(self) -> None:
        self._path.rename(self._path.with_name("away"))

    def up(self) -> None:
        self._path.with_name("away").rename(self._path)


class EtcdStore(HarmableStore):
    def __init__(self, cluster: store_servers.EtcdCluster) -> None:
        self.cluster = cluster
        self.settings = SourceSettings(type=SourceKind.ETCD, endpoints=cluster.endpoints)

    def down(self) -> None:
        for member in self.cluster.members:
            member.end()

    def up(self) -> None:
        self.cluster.start(*self.cluster.members)
        self.cluster.ready()

    def signal(self, number: signal.Signals) -> None:
        for member in self.cluster.members:
            member.signal(number)


class CouchStore(HarmableStore):
    def __init__(self, pouch: store_servers.PouchServer) -> None:
        self.pouch = pouch
        self.settings = SourceSettings(type=SourceKind.COUCHDB, endpoints=(pouch.url,))

    def down(self) -> None:
        self.pouch.end()

    def up(self) -> None:
        self.pouch.start()

    def signal(self, number: signal.Signals) -> None:
        self.pouch.signal(number)


@contextlib.asynccontextmanager
async def writing_to(machine: SourceMachine) -> AsyncGenerator[Database, None]:
    """Somebody who writes documents, and has more patience."""
    database = machine.database(replace(machine.timing, answer_sec=max(15.0, machine.timing.answer_sec)))
    try:
        yield database
    finally:
        await database.close()


async def put_until_accepted(database: Database, key: str, data: bytes) -> None:
    """Put, until a server takes it: one may die with the answer, and the others elect another leader."""
    async with asyncio.timeout(PATIENCE_SEC):
        while True:
            with contextlib.suppress(SourceError):
                await database.put(key, data, expect=ANY)
                return
