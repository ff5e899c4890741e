"""The setup of a store of etcd in which each machine writes its own slot of a rollout only, and the way to and from it.

`FleetRecord.own_slots` tells machines where to write. Rights are given before they are needed, and taken afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from ordain.agent.delivery.database.database import Database
from ordain.agent.delivery.database.semaphore import LOCKS, OWN, holder_of
from ordain.agent.delivery.identity.enrollment import store_fleet
from ordain.agent.delivery.identity.identities import Identities
from ordain.agent.delivery.identity.machine_record import MachineRecord
from ordain.agent.delivery.setup.deviation import Deviation, FleetUsers
from ordain.agent.delivery.setup.etcd_setup import EtcdRights, role_name
from ordain.agent.delivery.setup.key_rights import Access, KeyRange, allows, below
from ordain.agent.delivery.setup.machine_users import MEMBER, own_role

FLEET = "fleet"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSlots:
    """The rights to slots below ``prefix``: ``accounts`` say how they should be, and ``known`` how they are."""

    database: Database
    rights: EtcdRights
    prefix: str
    accounts: FleetUsers
    known: Identities

    @property
    def _is_on(self) -> bool:
        return self.known.fleet is not None and self.known.fleet.own_slots

    async def deviations(self) -> list[Deviation]:
        """Return how the store differs from the wanted one, in the order in which it can be repaired."""
        lost = await self._lost_users()
        if not self.accounts.own_slots:
            return [*lost, *(await self._shared_again() if self._is_on else [])]
        if self.known.fleet is None:
            what = "has no identities, which machines need to write their own slots only"
            return [Deviation(place=FLEET, what=what, hint="enroll them: ordainctl fleet token")]
        deviations = [*lost, *await self._own_keys()]
        if not self._is_on:
            slots = (entry for entry in (await self.database.list(LOCKS)).entries if not entry.key.startswith(OWN))
            if held := [entry.key for entry in slots if holder_of(entry)]:
                hint = "wait until the rollout is over, or until the slot has expired; then run this again"
                what = f"machines hold slots that have numbers: {', '.join(held)}"
                return [*deviations, Deviation(place=FLEET, what=what, hint=hint)]
            what = "lets each machine write the slots of all"
            change = "let each machine write its own slot only; machines of earlier versions take no more slots"
            deviations.append(self._record(what, change, own_slots=True))
        return [*deviations, *await self._excess_rights()]

    async def _lost_users(self) -> list[Deviation]:
        """Return the machines whose users do not exist, as after a restore: users are not in a backup."""
        users = frozenset(await self.rights.users())
        return [
            Deviation(
                place=f"machine {record.name or machine}",
                what=f"cannot log in: its user {record.store_user} does not exist",
                hint=_enroll_again(record),
            )
            for machine, record in sorted(self.known.machines.items())
            if record.store_user and not record.revoked and record.store_user not in users
        ]

    async def _own_keys(self) -> list[Deviation]:
        """Return the machines that may not write their own slots."""
        deviations = []
        roles = frozenset(await self.rights.roles())
        for machine, record in sorted(self.known.machines.items()):
            role = own_role(self.prefix, machine)
            if record.revoked:
                continue
            if not record.store_user or role not in roles:
                what = "has no user of its own, and so takes no slot"
                deviations.append(
                    Deviation(place=f"machine {record.name or machine}", what=what, hint=_enroll_again(record))
                )
                continue
            key = f"{self.prefix}{OWN}{machine}".encode()
            keys = KeyRange(key, key + b"\0")
            if not allows(await self.rights.grants_of_existing(role), keys, Access.BOTH):
                deviations.append(
                    Deviation(
                        place=f"role {role}",
                        what=f"may not write {self.prefix}{OWN}{machine}",
                        change=f"grant it to read and write {self.prefix}{OWN}{machine}",
                        repair=partial(self.rights.grant, role, keys, Access.BOTH),
                    )
                )
        return deviations

    async def _excess_rights(self) -> list[Deviation]:
        """Return the roles of machines that may write the slots of others."""
        deviations = []
        slots = below(self.prefix + LOCKS)
        shared = await self.rights.roles_of(self.accounts.machine.name) or ()
        for role in sorted({role_name(self.prefix, MEMBER), *shared}):
            for grant in await self.rights.grants(role) or ():
                if not (grant.access & Access.WRITE and grant.keys.overlaps(slots)):
                    continue
                place, what = f"role {role}", f"lets machines write the slots of others, {self.prefix}{LOCKS}"
                if grant.keys == slots:
                    change = f"let it only read {self.prefix}{LOCKS}"
                    repair = partial(self.rights.grant, role, slots, Access.READ)
                    deviations.append(Deviation(place=place, what=what, change=change, repair=repair))
                else:
                    hint = f"etcdctl role revoke-permission {role}, with the range that `etcdctl role get` shows"
                    deviations.append(Deviation(place=place, what=what, hint=hint))
        return deviations

    async def _shared_again(self) -> list[Deviation]:
        role, slots = role_name(self.prefix, MEMBER), below(self.prefix + LOCKS)
        deviations = []
        if not allows(await self.rights.grants(role) or (), slots, Access.BOTH):
            what, change = f"may not write {self.prefix}{LOCKS}", f"grant it to read and write {self.prefix}{LOCKS}"
            repair = partial(self.rights.grant, role, slots, Access.BOTH)
            deviations.append(Deviation(place=f"role {role}", what=what, change=change, repair=repair))
        what = "lets each machine write its own slot only"
        deviations.append(self._record(what, "let each machine write the slots of all", own_slots=False))
        return deviations

    def _record(self, what: str, change: str, *, own_slots: bool) -> Deviation:
        """Return that the record of the fleet has the other rule."""

        async def repair() -> None:
            assert self.known.fleet is not None
            await self.database.write([store_fleet(replace(self.known.fleet, own_slots=own_slots), self.known)])

        return Deviation(place=FLEET, what=what, change=change, repair=repair)


def _enroll_again(record: MachineRecord) -> str:
    """Return the remedy for a machine without a user of its own."""
    name = record.name or record.machine
    return f"as root of etcd: ordainctl fleet token --name {name}; then run `ordainctl fleet enroll` with it there"
