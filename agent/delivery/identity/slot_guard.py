"""Slots of rollouts that their holders sign: a slot that another machine wrote, or a revoked one holds, is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ordain.agent.delivery.database.database import Database, StoredEntry
from ordain.agent.delivery.database.document_keys import MACHINES
from ordain.agent.delivery.identity.identities import Identities, parse_identities
from ordain.agent.delivery.identity.machine_key import PrivateKey
from ordain.agent.delivery.identity.machine_record import FLEET_KEY
from ordain.agent.delivery.identity.statement import read_statement
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.release import signing
from ordain.transforms.machine.facts import MACHINE_ID


@dataclass(slots=True, kw_only=True)
class IdentityGuard:
    """The `SlotGuard` of a machine with ``key``, or without one: then it signs nothing, and believes as all do.

    The records are read at each check, those of holders only, and none in a fleet without identities.
    """

    database: Database
    key: PrivateKey | None
    is_signing: bool = False
    has_own_slots: bool = False

    def sign(self, key: str, slot: dict[str, object]) -> dict[str, object]:
        """See `SlotGuard.sign`."""
        return self.key.sign(key, slot) if self.key else slot

    async def genuine(self, claims: Sequence[tuple[StoredEntry, str]]) -> frozenset[str]:
        """See `SlotGuard.genuine`."""
        known = await self._identities({holder for _, holder in claims if MACHINE_ID.fullmatch(holder)})
        self.is_signing = known.fleet is not None
        self.has_own_slots = known.fleet is not None and known.fleet.own_slots
        return frozenset(
            entry.key
            for entry, holder in claims
            if known.refusal(holder, entry.key, read_statement(entry.data), signing.valid_signers) is None
        )

    async def _identities(self, holders: set[str]) -> Identities:
        """Return the records of ``holders``; none if this machine may not read them, as before there were any."""
        try:
            fleet = await self.database.get(FLEET_KEY)
            if fleet is None:
                return Identities()
            entries = [await self.database.get(f"{MACHINES}{holder}") for holder in sorted(holders)]
        except SourceError as error:
            if error.code is not SourceFault.FORBIDDEN:
                raise
            return Identities(unreadable=str(error))
        return parse_identities((fleet, *(entry for entry in entries if entry)))
