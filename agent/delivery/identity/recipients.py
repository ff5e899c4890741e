"""The recipients of a secret: which keys they have, and how far a sealed secret is from them. No effects.

role=web ──recipient_keys──▶ keys of the enrolled machines that have the label now
`SealedSecret`, its recipients ──compare_keys──▶ `KeyComparison`: who can open it, who is missing, who should not
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ordain.agent.delivery.identity.identities import Identities, settle_record
from ordain.agent.delivery.identity.machine_record import RECOVERY as RECOVERY_KEYS
from ordain.agent.delivery.identity.machine_record import MachineRecord, decode_key
from ordain.agent.delivery.identity.statement import key_id
from ordain.transforms.sealed_secret import KEY, MACHINE, RECOVERY, SealedSecret


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientKeys:
    """The public keys of recipients, by id, with a name for each; ``without`` explains who has none."""

    keys: Mapping[str, bytes] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()


def recipient_keys(recipients: Iterable[str], known: Identities) -> RecipientKeys:
    """Return the keys of ``recipients`` (`sealed_secret.check_recipient`); revoked machines have none."""
    keys: dict[str, bytes] = {}
    names: dict[str, str] = {}
    without: list[str] = []

    def add(name: str, public: bytes) -> None:
        id = key_id(public)
        keys[id] = public
        names.setdefault(id, name)

    for recipient in recipients:
        kind, _, value = recipient.partition("=")
        if recipient == RECOVERY:
            live = {id: record for id, record in known.recovery.items() if not record.revoked}
            for id, record in live.items():
                if conflict := known.conflicts.get(f"{RECOVERY_KEYS}{id}"):  # one of the servers may have revoked it
                    settle = f"`ordainctl secret recovery --revoke {id}` settles it"
                    without.append(f"recovery key {id} was changed on two servers: {conflict}; {settle}")
                else:
                    add("recovery", record.public)
            if not live:
                without.append("there is no recovery key: `ordainctl secret recovery FILE` makes one")
        elif kind == KEY:
            add(recipient[:20], decode_key(value))
        else:
            machines = _machines(kind, value, known)
            if not machines:
                without.append(f"no enrolled machine is {recipient}")
            for machine in machines:
                name = machine.name or machine.machine
                if conflict := known.conflict_of(machine.machine):
                    settle = f"{settle_record(machine.machine)} settles it"
                    without.append(f"the identity of {name} was changed on two servers: {conflict}; {settle}")
                elif machine.encryption:
                    add(name, decode_key(machine.encryption))
                else:
                    without.append(f"{name} has no key for secrets: run `ordainctl fleet enroll` on it")
    return RecipientKeys(keys=keys, names=names, without=tuple(dict.fromkeys(without)))


def _machines(kind: str, value: str, known: Identities) -> Sequence[MachineRecord]:
    live = sorted((r for r in known.machines.values() if not r.revoked), key=lambda r: (r.name, r.machine))
    if kind == MACHINE:
        return [record for record in live if value in (record.name, record.machine)]
    return [record for record in live if value in record.labels.get(kind, ())]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyComparison:
    """The keys of a secret, compared with those of its recipients.

    ``open`` names those who can open it and should. ``stale`` has a reason for each difference.
    """

    open: tuple[str, ...]
    stale: tuple[str, ...]


def compare_keys(secret: SealedSecret, recipients: Iterable[str], known: Identities) -> KeyComparison:
    """Return who can open ``secret``, and how that differs from its ``recipients`` as they are now."""
    wanted = recipient_keys(recipients, known)
    stale = list(wanted.without)
    stale += [
        f"{wanted.names[id]} cannot open it: its key {id} is missing"
        for id in sorted(wanted.keys.keys() - secret.copies)
    ]
    owners = _owners(known)
    for id in sorted(secret.copies.keys() - wanted.keys.keys()):
        stale.append(owners.get(id, f"the key {id} is unknown: that of a machine from before, or of somebody else"))
    can_open = sorted({wanted.names[id] for id in wanted.keys.keys() & secret.copies.keys()})
    return KeyComparison(open=tuple(can_open), stale=tuple(sorted(stale)))


def _owners(known: Identities) -> Mapping[str, str]:
    """Return, by id, why a known key should not be among those of a secret whose recipients do not have it."""
    owners: dict[str, str] = {}
    for machine in known.machines.values():
        if machine.encryption:
            name = machine.name or machine.machine
            why = f"was revoked, and can open it: {machine.revoked}" if machine.revoked else "can open it, and need not"
            owners[key_id(decode_key(machine.encryption))] = f"{name} {why}"
    for id, record in known.recovery.items():
        owners[id] = f"recovery key {id} {'was revoked' if record.revoked else 'can open it, and need not'}"
    return owners
