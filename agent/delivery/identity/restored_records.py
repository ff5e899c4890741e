"""The records of machines in a backup that may be restored: they undo no revocation, and no use of a token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ordain.agent.delivery.database.database import ABSENT, StoredEntry
from ordain.agent.delivery.database.document_keys import MACHINES
from ordain.agent.delivery.identity.identities import Identities, parse_identities
from ordain.agent.delivery.identity.machine_record import RECOVERY, TOKENS, MachineRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorableRecords:
    """``entries`` are those of a backup that may be written; ``left_out`` maps the others to the reason.

    ``machines`` are the names of machines that the backup admits and the store does not know: they may have been
    revoked after the backup.
    """

    entries: Mapping[str, bytes]
    left_out: Mapping[str, str]
    machines: tuple[str, ...]


def restorable_records(entries: Mapping[str, bytes], known: Identities) -> RestorableRecords:
    """Return which ``entries`` of a backup may be written into a store that has the identities ``known``."""
    stored = (StoredEntry(key=k, data=v, version=ABSENT) for k, v in entries.items() if k.startswith(MACHINES))
    backed_up = parse_identities(tuple(stored))
    left_out = dict(_left_out(backed_up, known))
    return RestorableRecords(
        entries={key: data for key, data in entries.items() if key not in left_out},
        left_out=left_out,
        machines=tuple(
            sorted(
                record.name or machine
                for machine, record in backed_up.machines.items()
                if machine not in known.machines and not record.revoked
            )
        ),
    )


def _left_out(backed_up: Identities, known: Identities) -> Iterator[tuple[str, str]]:
    for id, token in backed_up.tokens.items():
        if not token.used:
            yield f"{TOKENS}{id}", "this join token may have been used after the backup; make another one"
    for machine, record in backed_up.machines.items():
        present = known.machines.get(machine)
        if present and present != record and _changed_at(present) >= _changed_at(record):
            what = "was revoked" if present.revoked else "was enrolled again"
            yield f"{MACHINES}{machine}", f"{present.name or machine} {what} after the backup; its record stays"
    for id, recovery in backed_up.recovery.items():
        present_key = known.recovery.get(id)
        if present_key and present_key.revoked and not recovery.revoked:
            yield f"{RECOVERY}{id}", "this recovery key was revoked after the backup; its record stays"


def _changed_at(record: MachineRecord) -> int:
    return max(record.enrolled, record.revoked_at)
