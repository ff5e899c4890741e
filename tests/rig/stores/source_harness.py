"""The work of ordain-source.service on one machine, seen from outside, and stores that tests can harm."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ordain.agent.delivery.backoff import Backoff
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
from rig.stores import store_servers

HANDOVER = NAME
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
    """The work of ordain-source.service on one machine, and the documents that the agent gets from it."""

    settings: SourceSettings
    folder: Path
    password: str = ""
    timing: WatchTiming = TIMING

    def database(self, timing: WatchTiming | None = None) -> Database:
        return open_database(self.settings, password=lambda: self.password, timing=timing or self.timing)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None, None]:
        """Fetch documents, with almost no pauses between attempts."""
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

    def handover(self) -> Handover:
        return decode((self.folder / "run" / HANDOVER).read_bytes())

    @property
    def texts(self) -> list[bytes]:
        return [data for _, data in self.handover().snapshot.texts]

    @property
    def health(self) -> SourceHealth:
        health = self.handover().health
        assert health is not None
        return health

    async def until(self, what: Callable[[], bool]) -> None:
        """Wait until ``what`` returns true."""
        try:
            async with asyncio.timeout(PATIENCE_SEC):
                while True:
                    if (self.folder / "run" / HANDOVER).exists() and what():
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"still {self.handover()}")

    async def wait_for_documents(self, *texts: bytes) -> None:
        """Wait until exactly these documents are handed over, and the source is connected."""
        await self.until(lambda: self.texts == list(texts) and self.health.connected)

    async def wait_for_fault(self, code: SourceFault, *texts: bytes) -> None:
        """Wait until the source is reported with this fault; require that these documents are still handed over."""
        await self.until(lambda: self.health.code == code)
        assert self.texts == list(texts)
        assert not self.health.connected


class HarmableStore:
    """A store that a test can harm: ``down`` kills it (kill -9), ``up`` starts it again with its data."""

    kind: SourceKind
    settings: SourceSettings
    password = ""

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
    def __init__(self, server: store_servers.CouchServer) -> None:
        self._server = server
        self.settings = new_couchdb_databases(server)
        self.password = server.password

    @property
    def pouch(self) -> store_servers.PouchServer:
        """Return the server, to kill and freeze. Skips the test if it is not ours."""
        if not isinstance(self._server, store_servers.PouchServer):
            pytest.skip("the test kills or freezes the server, which is not possible with that of ORDAIN_COUCHDB")
        return self._server

    def down(self) -> None:
        self.pouch.end()

    def up(self) -> None:
        self.pouch.start()

    def signal(self, number: signal.Signals) -> None:
        self.pouch.signal(number)


def new_couchdb_databases(server: store_servers.CouchServer) -> SourceSettings:
    """Create the two databases of an empty store and return its settings."""
    name = f"t{secrets.token_hex(4)}"
    for database in (name, f"{name}-status"):
        server.call("PUT", database)
    return SourceSettings(type=SourceKind.COUCHDB, endpoints=(server.url,), database=name, user=server.user)


@contextlib.asynccontextmanager
async def writing_to(machine: SourceMachine) -> AsyncGenerator[Database, None]:
    """Open the store of ``machine`` as somebody who writes documents, with longer timeouts."""
    database = machine.database(replace(machine.timing, answer_sec=max(15.0, machine.timing.answer_sec)))
    try:
        yield database
    finally:
        await database.close()


async def put_until_accepted(database: Database, key: str, data: bytes) -> None:
    """Put until a server accepts it: a server may die during its answer, and the others then elect another leader."""
    async with asyncio.timeout(PATIENCE_SEC):
        while True:
            with contextlib.suppress(SourceError):
                await database.put(key, data, expect=ANY)
                return
