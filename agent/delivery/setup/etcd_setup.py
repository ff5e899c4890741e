"""etcd as a store for a fleet: roles and users, the keys that they may use, and the members of the cluster.

Source: etcd's op-guide/authentication/rbac.md, and the messages of its JSON gateway in rpc.proto.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from ordain.agent.delivery.database.etcd_client import EtcdClient, NotEnabled
from ordain.agent.delivery.database.etcd_wire import encode
from ordain.agent.delivery.database.http_transport import HttpTransport, Request, ServerAccess
from ordain.agent.delivery.database.json_answers import malformed_as_source_error
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.setup.deviation import Deviation, Examination, Figure, FleetUsers, Repair, StoreUser
from ordain.agent.delivery.setup.key_rights import (
    MACHINE_RIGHTS,
    RELAY_RIGHTS,
    WRITER_RIGHTS,
    Access,
    Grant,
    KeyRange,
    allows,
    below,
    machine_rights,
)

ROOT = "root"
"""The user, and the role, that etcd demands before it checks any right; only it changes users and roles."""
FULL_PERCENT = 80
MOST_LAG = 1000
"""Entries of the log that a member may be behind: a healthy one is behind by a few."""
_ANSWER_SEC = 10.0
_ACCESS = {"READ": Access.READ, "WRITE": Access.WRITE, "READWRITE": Access.BOTH}
_PERMISSION = {access: name for name, access in _ACCESS.items()}
_QUOTA = "etcd_server_quota_backend_bytes"
_NO_LEADER = "0"


class EtcdRights:
    """The users and roles of the etcd behind ``client``. Raises `SourceError`."""

    def __init__(self, client: EtcdClient) -> None:
        self._client = client

    async def close(self) -> None:
        """Close all connections."""
        await self._client.transport.close()

    async def users(self) -> Sequence[str]:
        """Return the names of all users."""
        users: Sequence[str] = (await self._client.call("auth/user/list", {})).get("users", ())
        return users

    async def roles_of(self, user: str) -> Sequence[str] | None:
        """Return the roles of a user; None if the user does not exist."""
        if user not in await self.users():
            return None
        roles: Sequence[str] = (await self._client.call("auth/user/get", {"name": user})).get("roles", ())
        return roles

    async def roles(self) -> Sequence[str]:
        """Return the names of all roles."""
        roles: Sequence[str] = (await self._client.call("auth/role/list", {})).get("roles", ())
        return roles

    async def grants(self, role: str) -> tuple[Grant, ...] | None:
        """Return what a role may do; None if the role does not exist."""
        if role not in await self.roles():
            return None
        return await self.grants_of_existing(role)

    async def grants_of_existing(self, role: str) -> tuple[Grant, ...]:
        """Return what a role may do that `roles` has listed."""
        answer = await self._client.call("auth/role/get", {"role": role})
        return tuple(_grant(permission) for permission in answer.get("perm", ()))

    async def grant(self, role: str, keys: KeyRange, access: Access) -> None:
        """Let a role have ``access`` to ``keys``, instead of the access that it had to exactly these keys."""
        body = {"name": role, "perm": permission(keys, access)}
        await self._client.call("auth/role/grant", body, repeatable=False)


class EtcdSetup:
    """The setup of the keys below ``prefix``; see `StoreSetup`."""

    def __init__(self, access: ServerAccess, prefix: str, login: Login | None, accounts: FleetUsers) -> None:
        self.location = f"{', '.join(access.endpoints)}{prefix}"
        self._prefix = prefix
        self._login = login
        self._accounts = accounts
        self._client = open_client(access, login)
        self._rights = EtcdRights(self._client)
        self._members = {
            endpoint: open_client(
                ServerAccess(endpoints=(endpoint,), ca=access.ca, cert=access.cert, key=access.key), login
            )
            for endpoint in access.endpoints
        }

    async def examine(self) -> Examination:
        """See `StoreSetup.examine`."""
        deviations: list[Deviation] = []
        failure: SourceError | None = None
        try:
            deviations += await self._right_deviations()
        except SourceError as error:  # without a majority nobody can be asked; the members say which of them is away
            if error.code is not SourceFault.UNREACHABLE:
                raise
            failure = error
            deviations.append(
                Deviation(place=self.location, what=f"does not tell its rights: {error}", hint=error.hint)
            )
        with malformed_as_source_error(self.location):
            member_deviations, figures = await self._examine_members()
        if failure and not figures and len(self._members) == 1:
            raise failure
        return Examination(deviations=(*deviations, *member_deviations), figures=figures)

    async def _right_deviations(self) -> list[Deviation]:
        """Return how users and roles differ from those that a fleet needs."""
        with malformed_as_source_error(self.location), _only_root_sees_rights():
            is_enabled = await self._is_authentication_enabled()
            rights = machine_rights(own_slots=self._accounts.own_slots)
            deviations = await self._account_deviations(self._accounts.machine, rights, "machine")
            if self._accounts.writer is not None:
                deviations += await self._account_deviations(self._accounts.writer, WRITER_RIGHTS, "writer")
            if self._accounts.relay is not None:
                deviations += await self._account_deviations(self._accounts.relay, RELAY_RIGHTS, "relay")
                deviations += await self._excess_rights(self._accounts.relay, "a relay")
            deviations += await self._excess_rights(self._accounts.machine, "machines")
            if not is_enabled:
                deviations += await self._authentication_deviations()
        return deviations

    async def close(self) -> None:
        """See `StoreSetup.close`."""
        for client in (self._client, *self._members.values()):
            await client.transport.close()

    async def _is_authentication_enabled(self) -> bool:
        """Return whether etcd checks rights. Version 3.4 cannot be asked: there a login tells."""
        if self._login is None:
            try:
                await self._client.call("auth/role/list", {})
            except SourceError as error:
                if "user name is empty" in str(error):
                    return True
                raise
            return False
        try:
            await self._client.call("auth/authenticate", {"name": self._login.user, "password": self._login.password()})
        except NotEnabled:
            return False
        return True

    async def _account_deviations(self, account: StoreUser, rights: Mapping[str, Access], kind: str) -> list[Deviation]:
        """Return the lack of a user, of its role, and of rights that none of its roles gives."""
        role = role_name(self._prefix, kind)
        deviations: list[Deviation] = []
        roles = await self._rights.roles_of(account.name)
        if roles is None:
            deviations.append(
                Deviation(
                    place=f"user {account.name}",
                    what="does not exist",
                    change="create it",
                    repair=partial(self._create_user, account),
                )
            )
        if ROOT in (roles or ()):
            return []
        grants = [grant for name in roles or () for grant in await self._rights.grants(name) or ()]
        missing = {
            prefix: access
            for prefix, access in rights.items()
            if not allows(grants, below(self._prefix + prefix), access)
        }
        if missing:
            own = await self._rights.grants(role)
            if own is None:
                deviations.append(self._by(f"role {role}", "does not exist", "create it", "auth/role/add", name=role))
            for prefix, access in missing.items():
                keys = below(self._prefix + prefix)
                if not allows(own or (), keys, access):
                    deviations.append(
                        self._by(
                            f"role {role}",
                            f"may not {access} {self._prefix}{prefix}",
                            f"grant it to {access} {self._prefix}{prefix}",
                            "auth/role/grant",
                            name=role,
                            perm=permission(keys, access),
                        )
                    )
            if role not in (roles or ()):
                what, change = f"does not have the role {role}", f"give it the role {role}"
                deviations.append(
                    self._by(f"user {account.name}", what, change, "auth/user/grant", user=account.name, role=role)
                )
        return deviations

    async def _excess_rights(self, account: StoreUser, who: str) -> list[Deviation]:
        """Return the rights of machines, or of a relay, with which one of them can change what the others run."""
        roles = await self._rights.roles_of(account.name) or ()
        if ROOT in roles:
            hint = f"etcdctl user revoke-role {account.name} {ROOT}"
            return [Deviation(place=f"user {account.name}", what="has the role root: it may do everything", hint=hint)]
        deviations = []
        for role in roles:
            for grant in await self._rights.grants(role) or ():
                written = [
                    f"{self._prefix}{prefix}"
                    for prefix, access in MACHINE_RIGHTS.items()
                    if access is Access.READ
                    and grant.access & Access.WRITE
                    and grant.keys.overlaps(below(self._prefix + prefix))
                ]
                if written:
                    what = f"lets {who} write {', '.join(written)}, and so change what other machines run"
                    first = grant.keys.first.decode(errors="replace")
                    hint = (
                        f"etcdctl role revoke-permission {role} {first}, with the range that `etcdctl role get` shows"
                    )
                    deviations.append(Deviation(place=f"role {role}", what=what, hint=hint))
        return deviations

    async def _authentication_deviations(self) -> list[Deviation]:
        """Return that etcd checks no rights, and what is needed before it can."""
        what = "is not enabled: every client may read and write everything"
        if self._login is None or self._login.user != ROOT:
            hint = "use --user root and --password-file FILE, with the password that etcd's root is to have"
            return [Deviation(place="authentication", what=what, hint=hint)]
        deviations: list[Deviation] = []
        if await self._rights.grants(ROOT) is None:
            deviations.append(self._by("role root", "does not exist", "create it", "auth/role/add", name=ROOT))
        roles = await self._rights.roles_of(ROOT)
        if roles is None:
            root = StoreUser(name=ROOT, password=self._login.password)
            create = partial(self._create_user, root)
            deviations.append(Deviation(place="user root", what="does not exist", change="create it", repair=create))
        if ROOT not in (roles or ()):
            change = "give it the role root"
            deviations.append(
                self._by("user root", "does not have the role root", change, "auth/user/grant", user=ROOT, role=ROOT)
            )
        change = "enable it; from then on every client needs a user"
        deviations.append(Deviation(place="authentication", what=what, change=change, repair=self._enable))
        return deviations

    async def _examine_members(self) -> tuple[list[Deviation], tuple[Figure, ...]]:
        """Look at every member that the settings name."""
        deviations: list[Deviation] = []
        figures: list[Figure] = []
        states: dict[str, Mapping[str, Any]] = {}
        for endpoint, client in self._members.items():
            try:
                states[endpoint] = await client.call("maintenance/status", {})
            except SourceError as error:
                deviations.append(Deviation(place=endpoint, what=f"does not answer: {error}", hint=error.hint))
        newest = max((int(state.get("raftIndex", 0)) for state in states.values()), default=0)
        clusters = {str(state["header"].get("cluster_id", "")) for state in states.values()}
        if len(clusters) > 1:
            what, hint = "the endpoints belong to several clusters", "name the members of one cluster only"
            deviations.append(Deviation(place=self.location, what=what, hint=hint))
        for endpoint, state in states.items():
            size, quota = int(state.get("dbSize", 0)), await self._quota(endpoint)
            lag = newest - int(state.get("raftIndex", 0))
            of_quota = f" of {_mebibytes(quota)}" if quota else ""
            figures += [
                Figure(place=endpoint, name="version", value=str(state.get("version", ""))),
                Figure(place=endpoint, name="size", value=f"{_mebibytes(size)}{of_quota}"),
                Figure(place=endpoint, name="behind", value=f"{lag} entries"),
            ]
            if quota and size * 100 > quota * FULL_PERCENT:
                hint = "compact and defragment it, or raise --quota-backend-bytes; a full etcd takes no more writes"
                deviations.append(Deviation(place=endpoint, what=f"is {size * 100 // quota} % full", hint=hint))
            if lag > MOST_LAG:
                what, hint = f"is {lag} entries behind", "check its network and its disk (etcd: maintenance.md)"
                deviations.append(Deviation(place=endpoint, what=what, hint=hint))
            if str(state.get("leader", _NO_LEADER)) == _NO_LEADER:
                what, hint = "knows no leader: there is no majority", "start the members that are missing"
                deviations.append(Deviation(place=endpoint, what=what, hint=hint))
            deviations += [
                Deviation(place=endpoint, what=str(text), hint="see etcd's maintenance.md")
                for text in state.get("errors", ())
            ]
        return deviations, tuple(figures)

    async def _quota(self, endpoint: str) -> int:
        """Return the bytes that the database of a member may have; 0 if it does not say."""
        request = Request(path="/metrics", silence_sec=_ANSWER_SEC)
        with suppress(SourceError, ValueError):
            response = await self._members[endpoint].transport.send(request)
            for line in response.body.decode(errors="replace").splitlines():
                if line.startswith(f"{_QUOTA} "):
                    return int(float(line.split()[1]))
        return 0

    def _by(self, place: str, what: str, change: str, call: str, **body: Any) -> Deviation:
        """Return a deviation that one call repairs."""
        return Deviation(place=place, what=what, change=change, repair=self._call(call, body))

    def _call(self, path: str, body: Mapping[str, Any]) -> Repair:
        async def repair() -> None:
            await self._client.call(path, body, repeatable=False)

        return repair

    async def _create_user(self, account: StoreUser) -> None:
        body = {"name": account.name, "password": account.password()}
        await self._client.call("auth/user/add", body, repeatable=False)

    async def _enable(self) -> None:
        await self._client.call("auth/enable", {}, repeatable=False)
        for client in (self._client, *self._members.values()):
            client.forget_token()


@contextmanager
def _only_root_sees_rights() -> Iterator[None]:
    try:
        yield
    except SourceError as error:
        if error.code is not SourceFault.FORBIDDEN:
            raise
        hint = "etcd shows users and roles to its root only; use --user root"
        raise SourceError(str(error), code=error.code, hint=hint) from error


def role_name(prefix: str, kind: str) -> str:
    """Return the name of a role of the fleet whose keys are below ``prefix``.

    >>> role_name("/ordain/", "machine")
    'ordain-machine'
    """
    return f"{prefix.strip('/').replace('/', '-') or 'ordain'}-{kind}"


def open_client(access: ServerAccess, login: Login | None) -> EtcdClient:
    """Return a client for one question of an administrator after the other."""
    return EtcdClient(HttpTransport(access), login, answer_sec=_ANSWER_SEC)


def permission(keys: KeyRange, access: Access) -> Mapping[str, str]:
    """Return access to keys in etcd's words."""
    return {"permType": _PERMISSION[access], "key": encode(keys.first), "range_end": encode(keys.end or b"\0")}


def _grant(permission: Mapping[str, str]) -> Grant:
    """Return a permission of a role: a field that is zero (READ) is left out, and `\\0` as the end means no end."""
    first = base64.b64decode(permission.get("key", ""))
    end = base64.b64decode(permission.get("range_end", ""))
    keys = KeyRange(first, None if end == b"\0" else end or first + b"\0")
    return Grant(keys, _ACCESS[permission.get("permType", "READ")])


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
