"""Making the source or store that settings name. Modules that only one type needs are imported when it is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.database.watch import WatchTiming
from ordain.agent.delivery.protocol import Snapshot, Source, SourceError, SourceFault, ignore
from ordain.agent.delivery.source import service_credentials
from ordain.agent.delivery.source.directory_source import DirectorySource
from ordain.agent.settings import Settings, Trust
from ordain.agent.source_settings import STORES, SourceKind, SourceSettings
from ordain.transforms.machine.facts import read_facts

if TYPE_CHECKING:
    from ordain.agent.delivery.database.relayed_store import Sign
    from ordain.agent.delivery.fleet.rollout_gate import RolloutGate


class NoSource:
    """The source of settings that are not valid: it has no documents, so that the applied ones stay."""

    type = "none"
    location = ""

    async def read(self) -> Snapshot:
        """Raise `SourceError`."""
        message = "agent.yaml does not name a valid source"
        raise SourceError(message, code=SourceFault.SETTINGS, hint="correct `source` in agent.yaml")

    async def changes(self, begun: Callable[[], None] = ignore) -> AsyncIterator[None]:
        """Yield once, so that the error is reported."""
        yield
        await asyncio.Event().wait()


def open_remote(
    settings: Settings,
    root: Path,
    gate: RolloutGate | None = None,
    login: Login | None = None,
    sign: Sign | None = None,
) -> Source:
    """Return the remote source itself, for ordain-source.service. Raises `SourceError`.

    ``gate`` decides when it is this machine's turn to take a new release. ``login`` is the machine's own, and ``sign``
    makes its statements for a relay.
    """
    if settings.source.type is SourceKind.HTTP:
        from ordain.agent.delivery.source.http_source import HttpSource, MachineIdentity

        return HttpSource(settings.source, lambda: MachineIdentity.of(read_facts(root)))
    from ordain.agent.delivery.source.database_source import DatabaseSource
    from ordain.agent.delivery.source.release_reader import ReleaseReader
    from ordain.transforms.catalog.machine_catalog import machine_transforms
    from ordain.transforms.catalog.names import shared_versions

    database = open_database(settings.source, login=login, sign=sign)
    facts = partial(read_facts, root)
    shared = shared_versions(machine_transforms(root))
    if gate:
        gate.database = database
    releases = ReleaseReader(database, facts, shared, gate)
    return DatabaseSource(database, facts, shared, releases=releases, unsigned=settings.trust is Trust.OPEN)


def open_database(
    settings: SourceSettings,
    *,
    password: Callable[[], str] | None = None,
    key: str = "",
    login: Login | None = None,
    timing: WatchTiming | None = None,
    sign: Sign | None = None,
) -> Database:
    """Return the store that ``settings`` name. Raises `SourceError`.

    ``password`` and ``key`` (a path) replace the credentials of ordain-source.service, and ``login`` the user that the
    settings name. ``sign`` makes the statements of this machine for a relay.
    """
    if settings.type is SourceKind.DIRECTORY:
        from ordain.agent.delivery.database.directory_database import DirectoryDatabase

        return DirectoryDatabase(Path(settings.path))
    if settings.type not in STORES:
        message = f"a source of type {settings.type} is not a store"
        raise SourceError(message, code=SourceFault.SETTINGS, hint="use etcd, couchdb, relay or directory")
    from ordain.agent.delivery.database.http_transport import HttpTransport, ServerAccess

    key = key or (service_credentials.credential_path(settings.key) if settings.key else "")
    access = ServerAccess(endpoints=settings.endpoints, ca=settings.ca, cert=settings.cert, key=key)
    transport = HttpTransport(access)
    if settings.type is SourceKind.RELAY:
        from ordain.agent.delivery.database.relayed_store import RelayedStore

        return RelayedStore(transport, sign)
    if login is None and settings.user:
        password = password or partial(service_credentials.read_secret, settings.credential)
        login = Login(user=settings.user, password=password)
    if settings.type is SourceKind.ETCD:
        from ordain.agent.delivery.database.etcd import Etcd

        return Etcd(transport, settings.prefix, login, timing=timing)
    from ordain.agent.delivery.database.couchdb import CouchDb

    return CouchDb(transport, settings.database, login, timing=timing)


def open_source(settings: SourceSettings, root: Path) -> Source:
    """Return the source for the agent and ordainctl, which get a remote one by ordain-source.service."""
    if settings.remote:
        from ordain.agent.delivery.source.handover_source import HandoverSource

        return HandoverSource(root, settings)
    return DirectorySource(Path(settings.path), root) if settings.type is SourceKind.DIRECTORY else NoSource()
