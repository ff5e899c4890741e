"""The writes that a relay accepts from machines: each is a statement that the machine's own key has signed.

    status/ID          a report of the enrolled machine ID, newer than its last one
    locks/…            the slot of an enrolled machine, which its holder has signed; another's slot is not replaced
    enroll/ID          a request whose own key has signed it; it does not replace a better one
    (a removal)        of the machine's own slot, with a proof

The relay holds no key that could sign any of these. All functions raise `SourceError` for a write that is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ordain.agent.delivery.database.database import ANY, StoredEntry, Unchanged
from ordain.agent.delivery.database.relay_wire import DELETE, GET
from ordain.agent.delivery.database.semaphore import LOCKS, OWN, TTL_SEC, holder_of
from ordain.agent.delivery.fleet.report import report_from_json
from ordain.agent.delivery.fleet.report_publisher import STATUS
from ordain.agent.delivery.identity.enrollment import read_request, vouch
from ordain.agent.delivery.identity.identities import Identities
from ordain.agent.delivery.identity.machine_record import REQUESTS
from ordain.agent.delivery.identity.statement import Place, read_statement, signers_of
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.delivery.release.signing import valid_signers
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.machine.facts import MACHINE_ID

MAX_REPORT = 3 << 19
"""The limit for a report; etcd takes no larger value by default."""
MAX_STATEMENT = 1 << 16
MAX_REQUEST = 4 << 10
"""The limit for a request: all of them are listed for each new one."""
VOUCHED_SHARE = 2
"""The limit of waiting requests is so many times higher for those for which somebody vouches."""
_MAX_SEQUENCE = 1 << 53
_SLOT = lazy_pattern(r"locks/[A-Za-z0-9][A-Za-z0-9_.-]{0,99}/[0-9]{1,6}")
_ENROLL = "run `ordainctl fleet enroll` on the machine"


def _refused(what: str, hint: str = "", code: SourceFault = SourceFault.FORBIDDEN) -> SourceError:
    return SourceError(what, code=code, hint=hint)


def _require_size(data: bytes, most: int) -> None:
    if len(data) > most:
        raise _refused(f"{len(data):,} bytes are more than {most:,}", code=SourceFault.TOO_LARGE)


def _require_signed(known: Identities, machine: str, key: str, data: bytes) -> Mapping[str, Any]:
    """Return the statement in ``data`` if the key of the enrolled ``machine`` has signed it for ``key``."""
    statement = read_statement(data)
    if refusal := known.refusal(machine, key, statement, valid_signers, data):
        raise _refused(f"{key}: {refusal.what} [{refusal.code}]", refusal.remedy)
    if known.signer(machine) is None or statement is None:
        raise _refused(f"{key}: the machine is not enrolled, and a relay takes signed texts only", _ENROLL)
    return statement


def accept_report(known: Identities, key: str, data: bytes) -> tuple[str, int]:
    """Return the machine and the sequence of a report that may be queued."""
    _require_size(data, MAX_REPORT)
    machine = key.removeprefix(STATUS)
    statement = _require_signed(known, machine, key, data)
    try:
        report = report_from_json(statement)
    except ValueError as error:
        raise _refused(str(error)) from None
    if report.machine != machine:
        raise _refused(f"{key}: it is the report of another machine, {report.machine[:40]!a}")
    if not 0 < report.sequence < _MAX_SEQUENCE:
        raise _refused(f"{key}: its sequence is not a number above 0")
    return machine, report.sequence


def sequence_of(known: Identities, entry: StoredEntry) -> int:
    """Return the sequence of the report in the store, 0 for a text that is not a genuine one."""
    try:
        return accept_report(known, entry.key, entry.data)[1]
    except SourceError:
        return 0


def require_readable(known: Identities, key: str, proof: object) -> str:
    """Return the machine whose entry ``key`` is, if its ``proof`` shows that it asks itself."""
    machine = key.removeprefix(STATUS)
    _require_proof(known, machine, GET + key, proof)
    return machine


def accept_slot(
    known: Identities,
    key: str,
    data: bytes,
    current: StoredEntry | None,
    *,
    expect: str | None,
    ttl_sec: int,
    provided: Unchanged | None,
    expires: bool,
) -> None:
    """Accept a slot in place of ``current``. ``expires``: the store itself removes slots that nobody renews."""
    _require_size(data, MAX_STATEMENT)
    holder = holder_of(StoredEntry(key=key, data=data, version=""))
    if not MACHINE_ID.fullmatch(holder):
        raise _refused(f"{key}: it names no machine as the holder")
    if key.startswith(OWN) and key != f"{OWN}{holder}":
        raise _refused(f"{key}: it is not a slot of {holder}")
    _require_signed(known, holder, key, data)
    if expect == ANY or not 0 < ttl_sec <= TTL_SEC:
        raise _refused(f"{key}: a slot is taken in a known state, for {TTL_SEC} s at most")
    if provided and not all(prefix.startswith(LOCKS) for prefix in provided.prefixes):
        raise _refused(f"{key}: a slot depends on other slots only")
    other = holder_of(current) if current else ""
    if current and expires and other not in ("", holder) and is_genuine(known, current):
        raise _refused(f"{key}: {other} holds it")


def is_slot(key: str) -> bool:
    """Return whether ``key`` is that of a slot."""
    own = key.removeprefix(OWN)
    return MACHINE_ID.fullmatch(own) is not None if own != key else _SLOT.fullmatch(key) is not None


def is_genuine(known: Identities, slot: StoredEntry) -> bool:
    """Return whether the holder of a slot has signed it."""
    return known.refusal(holder_of(slot), slot.key, read_statement(slot.data), valid_signers, slot.data) is None


def accept_removal(known: Identities, key: str, current: StoredEntry | None, expect: str, proof: object) -> None:
    """Accept that the holder of the slot ``current`` removes it."""
    machine = holder_of(current) if current else ""
    if not key.startswith(LOCKS) or not MACHINE_ID.fullmatch(machine):
        raise _refused(f"{key}: only slots are removed through a relay")
    statement = _require_proof(known, machine, DELETE + key, proof)
    if statement.get("expect") != expect:
        raise _refused(f"{key}: the proof is for another version")


def accept_request(
    known: Identities, key: str, data: bytes, current: StoredEntry | None, waiting: int, most: int, now: float
) -> None:
    """Accept a request for a record in place of ``current``; ``waiting`` is the number of all requests.

    Whoever reaches the relay can send ``most`` invented ones, which must not keep out a machine with a token.
    """
    _require_size(data, MAX_REQUEST)
    if known.fleet is None:
        raise _refused(f"{key}: this fleet has no identities", "as an administrator: ordainctl fleet token")
    fleet = known.fleet.fleet
    entry = StoredEntry(key=key, data=data, version="")
    try:
        request = read_request(entry, fleet, valid_signers)
    except ValueError as error:
        raise _refused(f"{key}: {error}") from None
    is_vouched = bool(vouch(entry, request, known, now, valid_signers).reason)
    if current is None and waiting >= (most * VOUCHED_SHARE if is_vouched else most):
        message = f"{waiting} machines wait for approval, and no more requests are taken"
        hint = "approve or delete them: ordainctl fleet approve"
        raise _refused(message, hint, SourceFault.THROTTLED)
    if current is None or is_vouched:
        return
    try:
        present = read_request(current, fleet, valid_signers)
    except ValueError:
        return
    if present.key != request.key and vouch(current, present, known, now, valid_signers).reason:
        raise _refused(f"{key}: another request of this machine waits, for which a token or an earlier key vouches")


def is_request(key: str) -> bool:
    """Return whether ``key`` is that of a request for a record."""
    return key.startswith(REQUESTS) and MACHINE_ID.fullmatch(key.removeprefix(REQUESTS)) is not None


def _require_proof(known: Identities, machine: str, place: str, proof: object) -> Mapping[str, Any]:
    signer = known.signer(machine)
    if refusal := known.standing_refusal(machine):
        raise _refused(f"{place}: {refusal.what} [{refusal.code}]", refusal.remedy)
    if signer is None:
        raise _refused(f"{place}: the machine is not enrolled, and a relay takes signed texts only", _ENROLL)
    fleet, public = signer
    if not isinstance(proof, Mapping) or not signers_of(Place(fleet=fleet, key=place), proof, [public], valid_signers):
        raise _refused(f"{place}: the key of {known.machines[machine].name or machine} did not sign this")
    return proof
