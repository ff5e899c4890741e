"""Settings → the source they name. What only one kind needs is imported when it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ordain.agent.settings import Settings, Trust
from ordain.agent.sources import Fault, Snapshot, Source, SourceError, credentials
from ordain.agent.sources.database import Database
from ordain.agent.sources.directory import Directory
from ordain.agent.sources.login import Login
from ordain.agent.sources.settings import Kind, SourceSettings
from ordain.agent.sources.watching import Pace
from ordain.transforms.facts import read_facts

if TYPE_CHECKING:
    from ordain.agent.fleet.gate import Gate


class Nowhere:
    """The source of settings that are wrong: nothing is taken from it, so what was applied stays."""

    type = "none"
    location = ""

    async def read(self) -> Snapshot:
        """Raises `SourceError`."""
        raise SourceError("agent.yaml does not say where documents come from", code=Fault.SETTINGS)

    async def changes(self) -> AsyncIterator[None]:
        """One, so that what is wrong is told."""
        yield
        await asyncio.Event().wait()


def open_remote(settings: Settings, root: Path, gate: Gate | None = None) -> Source:
    """The remote source itself, for ordain-source.service. Raises `SourceError`.

    ``gate`` says when it is this machine's turn to take another release.
    """
    if settings.source.type is Kind.HTTP:
        from ordain.agent.sources.http import Asker, Http

        return Http(settings.source, lambda: Asker.of(read_facts(root)))
    from ordain.agent.compile import transforms
    from ordain.agent.release.source import Releases
    from ordain.agent.sources.database_source import DatabaseSource
    from ordain.transforms.names import shared_versions

    database = open_database(settings.source)
    facts = partial(read_facts, root)
    shared = shared_versions(transforms(root))
    if gate:
        gate.database = database
    releases = Releases(database, facts, shared, gate)
    return DatabaseSource(database, facts, shared, releases=releases, unsigned=settings.trust is Trust.OPEN)


def open_database(
    settings: SourceSettings, *, password: Callable[[], str] | None = None, key: str = "", pace: Pace | None = None
) -> Database:
    """The store that is the source. Raises `SourceError`.

    ``password`` and ``key`` (a path) stand in for the credentials of ordain-source.service.
    """
    if settings.type is Kind.DIRECTORY:
        from ordain.agent.sources.directory_database import DirectoryDatabase

        return DirectoryDatabase(Path(settings.path))
    if settings.type not in (Kind.ETCD, Kind.COUCHDB):
        raise SourceError(f"{settings.type} is no store", code=Fault.SETTINGS)
    from ordain.agent.sources.transport import Access, Transport

    key = key or (credentials.path(settings.key) if settings.key else "")
    transport = Transport(Access(endpoints=settings.endpoints, ca=settings.ca, cert=settings.cert, key=key))
    password = password or partial(credentials.secret, settings.credential)
    login = Login(user=settings.user, password=password) if settings.user else None
    if settings.type is Kind.ETCD:
        from ordain.agent.sources.etcd import Etcd

        return Etcd(transport, settings.prefix, login, pace=pace)
    from ordain.agent.sources.couchdb import CouchDb

    return CouchDb(transport, settings.database, login, pace=pace)


def open_source(settings: SourceSettings, root: Path) -> Source:
    """The source as the agent and ordainctl have it: a remote one by way of ordain-source.service."""
    if settings.remote:
        from ordain.agent.sources.handed import Handed

        return Handed(root, settings)
    return Directory(Path(settings.path), root) if settings.type is Kind.DIRECTORY else Nowhere()
