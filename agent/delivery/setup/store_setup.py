"""Open the setup of the store that settings name. Modules that only one kind needs are imported when it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.setup.deviation import FleetUsers, StoreSetup
from ordain.agent.source_settings import SourceKind, SourceSettings

if TYPE_CHECKING:
    from ordain.agent.delivery.setup.etcd_setup import EtcdRights
    from ordain.agent.delivery.setup.machine_users import EtcdMachineUsers


def open_setup(
    settings: SourceSettings, accounts: FleetUsers, *, password: Callable[[], str], key: str = ""
) -> StoreSetup:
    """Return the setup of the store that ``settings`` name; ``key`` is a path. Raises `SourceError`."""
    if settings.type is SourceKind.DIRECTORY:
        from ordain.agent.delivery.setup.directory_setup import DirectorySetup

        return DirectorySetup(Path(settings.path))
    if settings.type not in (SourceKind.ETCD, SourceKind.COUCHDB):
        message = f"a source of type {settings.type} is not a store"
        raise SourceError(message, code=SourceFault.SETTINGS, hint="use etcd, couchdb or directory")
    from ordain.agent.delivery.database.http_transport import ServerAccess

    access = ServerAccess(endpoints=settings.endpoints, ca=settings.ca, cert=settings.cert, key=key)
    login = Login(user=settings.user, password=password) if settings.user else None
    if settings.type is SourceKind.ETCD:
        from ordain.agent.delivery.setup.etcd_setup import EtcdSetup

        return EtcdSetup(access, settings.prefix, login, accounts)
    from ordain.agent.delivery.setup.couchdb_setup import CouchDbSetup

    return CouchDbSetup(access, settings.database, login, accounts)


def open_rights(settings: SourceSettings, *, password: Callable[[], str], key: str = "") -> EtcdRights | None:
    """Return the users and roles of the store, None for a store that has no rights by key."""
    if settings.type is not SourceKind.ETCD:
        return None
    from ordain.agent.delivery.database.http_transport import ServerAccess
    from ordain.agent.delivery.setup.etcd_setup import EtcdRights, open_client

    access = ServerAccess(endpoints=settings.endpoints, ca=settings.ca, cert=settings.cert, key=key)
    login = Login(user=settings.user, password=password) if settings.user else None
    return EtcdRights(open_client(access, login))


def open_machine_users(
    settings: SourceSettings, *, password: Callable[[], str], key: str = ""
) -> EtcdMachineUsers | None:
    """Return the users of machines in the store, None for a store that has no rights by key, or no login."""
    if settings.type is not SourceKind.ETCD or not settings.user:
        return None
    from ordain.agent.delivery.database.http_transport import ServerAccess
    from ordain.agent.delivery.setup.etcd_setup import open_client
    from ordain.agent.delivery.setup.machine_users import EtcdMachineUsers

    access = ServerAccess(endpoints=settings.endpoints, ca=settings.ca, cert=settings.cert, key=key)
    return EtcdMachineUsers(open_client(access, Login(user=settings.user, password=password)), settings.prefix)
