"""A user of etcd for each enrolled machine: it writes its own report and request, and no other machine's.

    role PREFIX-member      reads documents, releases and records, and takes slots: all of these machines have it
    role PREFIX-m-ID        writes status/ID, enroll/ID and locks/_own/ID
    user NAME               has both

Where each machine writes its own slot only (`FleetUsers.own_slots`), the role that all have only reads slots.

Only etcd's root changes users and roles. Source: etcd's op-guide/authentication/rbac.md.
"""

from __future__ import annotations

from ordain.agent.delivery.database.etcd_client import EtcdClient, NotEnabled
from ordain.agent.delivery.database.etcd_wire import encode
from ordain.agent.delivery.database.semaphore import OWN
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.setup.etcd_setup import permission, role_name
from ordain.agent.delivery.setup.key_rights import below, machine_rights

OWN_KEYS = ("status/", "enroll/", OWN)
"""The prefixes of the keys that a machine writes, each followed by its machine-id."""
MEMBER = "member"
"""The kind of the role that all enrolled machines have."""


def own_role(prefix: str, machine: str) -> str:
    """Return the name of the role that only one machine has."""
    return role_name(prefix, f"m-{machine}")


class EtcdMachineUsers:
    """The users of machines in the etcd behind ``client``, for the keys below ``prefix``. Raises `SourceError`."""

    def __init__(self, client: EtcdClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    async def may_change(self) -> bool:
        """Return whether the login may change users, and etcd checks rights at all."""
        try:
            await self._users()
        except SourceError as error:
            if error.code is SourceFault.FORBIDDEN:
                return False
            raise
        except NotEnabled:
            return False
        return True

    async def create(self, user: str, password: str) -> None:
        """Create a user without rights, or give it this password if it exists."""
        call = "auth/user/changepw" if user in await self._users() else "auth/user/add"
        await self._call(call, name=user, password=password)

    async def admit(self, user: str, machine: str, *, own_slots: bool) -> bool:
        """Give a user the rights of a machine; return whether there is such a user."""
        if user not in await self._users():
            return False
        member, own = role_name(self._prefix, MEMBER), own_role(self._prefix, machine)
        roles = await self._roles()
        if member not in roles:
            await self._call("auth/role/add", name=member)
        for prefix, access in machine_rights(own_slots=own_slots).items():
            if prefix in OWN_KEYS:
                continue
            await self._call("auth/role/grant", name=member, perm=permission(below(self._prefix + prefix), access))
        if own not in roles:
            await self._call("auth/role/add", name=own)
        for prefix in OWN_KEYS:
            key = encode(f"{self._prefix}{prefix}{machine}".encode())
            await self._call("auth/role/grant", name=own, perm={"permType": "READWRITE", "key": key})
        for role in (member, own):
            await self._call("auth/user/grant", user=user, role=role)
        return True

    async def remove(self, user: str, machine: str) -> None:
        """Remove the user and the role of a machine, as far as there are any."""
        if user and user in await self._users():
            await self._call("auth/user/delete", name=user)
        if machine and (own := own_role(self._prefix, machine)) in await self._roles():
            await self._call("auth/role/delete", role=own)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.transport.close()

    async def _users(self) -> frozenset[str]:
        return frozenset((await self._client.call("auth/user/list", {})).get("users", ()))

    async def _roles(self) -> frozenset[str]:
        return frozenset((await self._client.call("auth/role/list", {})).get("roles", ()))

    async def _call(self, path: str, **body: object) -> None:
        await self._client.call(path, body, repeatable=False)
