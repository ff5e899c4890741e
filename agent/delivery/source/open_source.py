"""Settings → the source they name. What only one kind needs is imported when it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ordain.agent.delivery.database import credentials
from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.database.watch import Pace
from ordain.agent.delivery.protocol import Fault, Snapshot, Source, SourceError
from ordain.agent.delivery.source.directory import Directory
from ordain.agent.settings import Settings, Trust
from ordain.agent.source_settings import Kind, SourceSettings
from ordain.transforms.machine.facts import read_facts

if TYPE_CHECKING:
    from ordain.agent.delivery.fleet.rollout_gate import Gate


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
        from ordain.agent.delivery.source.http import Asker, Http

        return Http(settings.source, lambda: Asker.of(read_facts(root)))
    from ordain.agent.delivery.source.database_source import DatabaseSource
    from ordain.agent.delivery.source.release_channel import Releases
    from ordain.transforms.catalog.machine_catalog import transforms
    from ordain.transforms.catalog.names import shared_versions

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
        from ordain.agent.delivery.database.directory import DirectoryDatabase

        return DirectoryDatabase(Path(settings.path))
    if settings.type not in (Kind.ETCD, Kind.COUCHDB):
        raise SourceError(f"{settings.type} is no store", code=Fault.SETTINGS)
    from ordain.agent.delivery.database.http_transport import Access, Transport

    key = key or (credentials.path(settings.key) if settings.key else "")
    transport = Transport(Access(endpoints=settings.endpoints, ca=settings.ca, cert=settings.cert, key=key))
    password = password or partial(credentials.secret, settings.credential)
    login = Login(user=settings.user, password=password) if settings.user else None
    if settings.type is Kind.ETCD:
        from ordain.agent.delivery.database.etcd import Etcd

        return Etcd(transport, settings.prefix, login, pace=pace)
    from ordain.agent.delivery.database.couchdb import CouchDb

    return CouchDb(transport, settings.database, login, pace=pace)


def open_source(settings: SourceSettings, root: Path) -> Source:
    """The source as the agent and ordainctl have it: a remote one by way of ordain-source.service."""
    if settings.remote:
        from ordain.agent.delivery.source.handed_over import Handed

        return Handed(root, settings)
    return Directory(Path(settings.path), root) if settings.type is Kind.DIRECTORY else Nowhere()
