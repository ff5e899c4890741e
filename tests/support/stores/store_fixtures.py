"""Empty stores of each kind, for tests of the promises that all of them keep."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from ordain.agent.delivery.database.couchdb import CouchDb
from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.database.directory_database import DirectoryDatabase
from ordain.agent.delivery.database.etcd import Etcd
from ordain.agent.delivery.database.http_transport import HttpTransport, ServerAccess
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.database.watch import WatchTiming

OpenStore = Callable[[], AbstractAsyncContextManager[Database]]
TIMING = WatchTiming(check_sec=0.5, answer_sec=5)


@pytest.fixture(params=["directory", "etcd", "couchdb"])
def connect_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Database]:
    """Return a function that makes a client of one empty store, of each kind in turn."""
    return {"directory": _directory, "etcd": _etcd, "couchdb": _couchdb}[request.param](request, tmp_path)


@pytest.fixture
def open_store(connect_store: Callable[[], Database]) -> OpenStore:
    """Return a function that opens the store of `connect_store` for a ``with`` block."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Database, None]:
        database = connect_store()
        try:
            yield database
        finally:
            await database.close()

    return opened


def _directory(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Database]:
    folder = tmp_path / "store"
    folder.mkdir()
    return lambda: DirectoryDatabase(folder)


def _etcd(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Database]:
    access = ServerAccess(endpoints=request.getfixturevalue("etcd_endpoints"))
    prefix = f"/t{secrets.token_hex(4)}/"
    return lambda: Etcd(HttpTransport(access), prefix, timing=TIMING)


def _couchdb(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Database]:
    server = request.getfixturevalue("pouch")
    name = f"t{secrets.token_hex(4)}"
    for database in (name, f"{name}-status"):
        server.call("PUT", database)
    login = Login(user=server.user, password=lambda: server.password) if server.user else None
    return lambda: CouchDb(HttpTransport(ServerAccess(endpoints=(server.url,))), name, login, timing=TIMING)
