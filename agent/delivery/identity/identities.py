"""The identities of a fleet's machines as its store has them, and whether a statement is the machine's own.

machines/ ──read_identities──▶ `Identities` ──refusal──▶ why a statement at status/ID or locks/… does not count
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ordain.agent.delivery.database.database import Database, StoredEntry
from ordain.agent.delivery.database.document_keys import MACHINES
from ordain.agent.delivery.identity.machine_record import (
    FLEET_KEY,
    RECOVERY,
    TOKENS,
    FleetRecord,
    MachineRecord,
    RecoveryRecord,
    TokenRecord,
    decode_record,
)
from ordain.agent.delivery.identity.statement import Place, signer_ids, signers_of
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.release.signing import SignatureCheck

SETTLE_FLEET = "`ordainctl fleet identity --require` or `--no-require`"
_NOT_READABLE = (SourceFault.FORBIDDEN, SourceFault.EMPTY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The reason why a text of a machine does not count, with its code and a remedy."""

    code: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what} [{self.code}]" + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identities:
    """The records below ``machines/``. ``damaged`` maps keys of records that cannot be read to the reason.

    ``versions`` are those of all entries, for the next write. Without a ``fleet``, no machine was ever enrolled.
    ``conflicts`` maps keys of records that two servers changed differently to the reason (`Listing.conflicts`).
    ``unreadable`` has the reason why the store does not show the records to this user; "": it does.
    """

    fleet: FleetRecord | None = None
    machines: Mapping[str, MachineRecord] = field(default_factory=dict)
    tokens: Mapping[str, TokenRecord] = field(default_factory=dict)
    recovery: Mapping[str, RecoveryRecord] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    conflicts: Mapping[str, str] = field(default_factory=dict)
    unreadable: str = ""

    def refusal(
        self, machine: str, key: str, statement: Mapping[str, Any] | None, check: SignatureCheck, stored: bytes = b""
    ) -> Refusal | None:
        """Return why ``statement`` at ``key`` is not believed to be of ``machine``, or None.

        The statement is None if the text there, ``stored``, is not one.
        """
        if (refusal := self.standing_refusal(machine)) or not (signer := self.signer(machine)):
            return refusal
        return self.forgery(machine, signer, key, statement, check, stored)

    def forgery(
        self,
        machine: str,
        signer: tuple[str, bytes],
        key: str,
        statement: Mapping[str, Any] | None,
        check: SignatureCheck,
        stored: bytes = b"",
    ) -> Refusal | None:
        """Return why ``statement`` at ``key`` is not signed by ``signer``, the `signer` of ``machine``, or None."""
        fleet, public = signer
        if statement and signers_of(Place(fleet=fleet, key=key), statement, [public], check, stored):
            return None
        name = self.machines[machine].name or machine
        if statement and signer_ids(statement):
            what = (
                f"the key of {name} did not sign it for this place: somebody else wrote it, or its key is another one"
            )
        else:
            what = f"it is not signed: somebody else wrote it, or {name} has lost its key"
        remedy = f"run `ordainctl fleet enroll` on {name}; if that does not help, look who else may write there"
        return Refusal(code="ForgedStatement", what=what, remedy=remedy)

    def signer(self, machine: str) -> tuple[str, bytes] | None:
        """Return the id of the fleet and the public key that sign what ``machine`` writes; None: nobody needs to."""
        record = self.machines.get(machine)
        return (self.fleet.fleet, record.public) if self.fleet and record else None

    def standing_refusal(self, machine: str) -> Refusal | None:
        """Return why nothing of ``machine`` counts, whatever it is, or None."""
        if self.fleet is None and FLEET_KEY not in self.damaged:
            return None
        own = f"{MACHINES}{machine}"
        if self.fleet is None or own in self.damaged:
            place = FLEET_KEY if self.fleet is None else own
            what = f"{place} cannot be read: {self.damaged[place]}"
            return Refusal(code="IdentityDamaged", what=what, remedy="restore it from a backup, or delete it")
        record = self.machines.get(machine)
        if FLEET_KEY in self.conflicts and record is None:  # one of the servers may require an identity
            what = f"{FLEET_KEY} was changed on two servers: {self.conflicts[FLEET_KEY]}"
            return Refusal(code="IdentityDamaged", what=what, remedy=f"{SETTLE_FLEET} settles it")
        if record is None:
            if not self.fleet.require:
                return None
            what = "the machine is not enrolled, and this fleet requires it"
            return Refusal(code="NotEnrolled", what=what, remedy="run `ordainctl fleet enroll` on the machine")
        if conflict := self.conflict_of(machine):  # one of the servers may have revoked it
            what = f"the identity of {record.name or machine} was changed on two servers: {conflict}"
            return Refusal(code="IdentityDamaged", what=what, remedy=f"{settle_record(machine)} settles it")
        if record.revoked:
            what = f"the identity of {record.name or machine} was revoked: {record.revoked}"
            remedy = f"`ordainctl fleet approve {machine}` admits the machine again"
            return Refusal(code="IdentityRevoked", what=what, remedy=remedy)
        return None

    def conflict_of(self, machine: str) -> str:
        """Return the reason if two servers changed the record of a machine differently and it is not revoked, or ""."""
        record = self.machines.get(machine)
        return self.conflicts.get(f"{MACHINES}{machine}", "") if record and not record.revoked else ""


NO_IDENTITIES = Identities()


def settle_record(machine: str) -> str:
    """Return the commands that settle a conflict of a machine's record."""
    return f"`ordainctl fleet approve {machine}` or `fleet revoke {machine}`"


async def read_identities(database: Database) -> Identities:
    """Return the identities in the store. Raises `SourceError`.

    A user that may not read them, as in a store that was set up before there were any, gets none, and the reason.
    """
    try:
        listing = await database.list(MACHINES)
    except SourceError as error:
        if error.code not in _NOT_READABLE:
            raise
        return Identities(unreadable=str(error))
    known = parse_identities(listing.entries)
    return replace(known, conflicts={**known.conflicts, **listing.conflicts})


def parse_identities(entries: tuple[StoredEntry, ...]) -> Identities:
    """Return the identities in ``entries``."""
    fleet: FleetRecord | None = None
    machines: dict[str, MachineRecord] = {}
    tokens: dict[str, TokenRecord] = {}
    recovery: dict[str, RecoveryRecord] = {}
    damaged: dict[str, str] = {}
    for entry in entries:
        try:
            if entry.key == FLEET_KEY:
                fleet = decode_record(FleetRecord, entry.data)
            elif entry.key.startswith(TOKENS):
                tokens[entry.key.removeprefix(TOKENS)] = decode_record(TokenRecord, entry.data)
            elif entry.key.startswith(RECOVERY):
                recovery[entry.key.removeprefix(RECOVERY)] = decode_record(RecoveryRecord, entry.data)
            else:
                record = decode_record(MachineRecord, entry.data)
                if entry.key != f"{MACHINES}{record.machine}":
                    raise ValueError("it is the record of another machine")
                machines[record.machine] = record
        except ValueError as error:
            damaged[entry.key] = str(error)
    return Identities(
        fleet=fleet,
        machines=machines,
        tokens=tokens,
        recovery=recovery,
        damaged=damaged,
        versions={entry.key: entry.version for entry in entries},
        conflicts={entry.key: entry.conflict for entry in entries if entry.conflict},
    )


async def read_identity(database: Database, machine: str) -> Identities:
    """Return the identity of one machine and the policy of the fleet; see `read_identities`."""
    try:
        entries = [await database.get(key) for key in (FLEET_KEY, f"{MACHINES}{machine}")]
    except SourceError as error:
        if error.code not in _NOT_READABLE:
            raise
        return Identities(unreadable=str(error))
    return parse_identities(tuple(entry for entry in entries if entry))
