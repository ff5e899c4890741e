"""Enrollment: who vouches for the request of a machine, and the writes that enroll it. No effects.

request ──vouch──▶ `Voucher`: a join token, the machine's earlier key, or nobody (an administrator decides)
        ──enroll─▶ writes: the token is used, machines/ID has the key, an earlier record of the name is revoked
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ordain.agent.delivery.database.database import StoredEntry, Write
from ordain.agent.delivery.database.document_keys import MACHINES
from ordain.agent.delivery.identity.identities import Identities
from ordain.agent.delivery.identity.machine_key import PrivateKey
from ordain.agent.delivery.identity.machine_record import (
    FLEET_KEY,
    REQUESTS,
    TOKENS,
    EnrollmentRequest,
    FleetRecord,
    MachineRecord,
    TokenRecord,
    decode_record,
    encode_key,
    encode_record,
)
from ordain.agent.delivery.identity.statement import Place, key_id, parse_statement, signers_of
from ordain.agent.delivery.release.signing import SignatureCheck
from ordain.agent.errors import Failure
from ordain.agent.model import to_json
from ordain.transforms.machine.facts import HOSTNAME, MACHINE_ID


@dataclass(frozen=True, slots=True, kw_only=True)
class Voucher:
    """The reason to enroll a machine without asking anybody, "" if there is none; ``doubt`` tells why there is none.

    ``token`` is the id of the token to use up; ``name`` and ``labels`` are for the record. ``is_earlier_key`` is set if
    the machine had a registered key already, and so also the password of its user of the store.
    """

    reason: str = ""
    doubt: str = ""
    token: str = ""
    name: str = ""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_earlier_key: bool = False


def request_key(machine: str) -> str:
    """Return the key of a machine's request."""
    return f"{REQUESTS}{machine}"


def make_request(
    request: EnrollmentRequest, key: PrivateKey, token: PrivateKey | None = None, earlier: PrivateKey | None = None
) -> dict[str, object]:
    """Return ``request``, signed by the machine's ``key``, and by the ``token`` and its ``earlier`` key if it has them.

    Raises `Failure` for a token of another fleet.
    """
    if token and token.fleet != key.fleet:
        raise Failure(
            f"the token is for the fleet {token.fleet}, and the store is that of {key.fleet}; ask for another"
        )
    request = replace(request, key=encode_key(key.public), token=token.id if token else "")
    statement: dict[str, object] = to_json(request)
    for signer in (key, token, earlier):
        if signer:
            statement = signer.sign(request_key(request.machine), statement)
    return statement


def read_request(entry: StoredEntry, fleet: str, check: SignatureCheck) -> EnrollmentRequest:
    """Return the request in ``entry``. Raises ValueError unless its own key has signed it for its place."""
    request = decode_record(EnrollmentRequest, entry.data)
    if not MACHINE_ID.fullmatch(request.machine) or entry.key != request_key(request.machine):
        raise ValueError("it is the request of another machine")
    if not HOSTNAME.fullmatch(request.hostname):
        raise ValueError("the name of the machine is not a host name")
    if not signers_of(Place(fleet=fleet, key=entry.key), parse_statement(entry.data), [request.public], check):
        raise ValueError("its own key did not sign it for this fleet")
    return request


def vouch(
    entry: StoredEntry, request: EnrollmentRequest, known: Identities, now: float, check: SignatureCheck
) -> Voucher:
    """Return who vouches for a request that `read_request` has read. ``now`` is the administrator's clock."""
    assert known.fleet is not None
    place, statement = Place(fleet=known.fleet.fleet, key=entry.key), parse_statement(entry.data)
    record = known.machines.get(request.machine)
    conflict = known.conflict_of(request.machine)  # one of the servers may have revoked it
    is_valid = record and not record.revoked and not conflict
    has_earlier = bool(record and is_valid and signers_of(place, statement, [record.public], check))
    # The key that signs is given to the process that talks to the network: it must not bring in a key for secrets.
    changes_secrets = bool(record and record.encryption not in ("", request.encryption))
    if record and has_earlier and not changes_secrets:
        reason = f"key {key_id(record.public)}, which the machine had before"
        return Voucher(reason=reason, name=record.name, labels=record.labels, is_earlier_key=True)
    if not request.token and has_earlier:
        return Voucher(doubt="its earlier key cannot vouch for another key for secrets", is_earlier_key=True)
    if not request.token and conflict:
        return Voucher(doubt=f"its identity was changed on two servers: {conflict}")
    if not request.token:
        return Voucher(doubt="nobody vouches for it")
    token = known.tokens.get(request.token)
    if token is None:
        return Voucher(doubt=f"there is no token {request.token}")
    if not signers_of(place, statement, [token.public], check):
        return Voucher(doubt=f"token {request.token} did not sign it")
    if doubt := _token_doubt(token, request, known, now):
        return Voucher(doubt=f"token {request.token} {doubt}")
    reason = f"token {request.token}"
    name = token.name if HOSTNAME.fullmatch(token.name) and token.name != request.machine else request.hostname
    return Voucher(reason=reason, token=request.token, name=name, labels=token.labels)


def _token_doubt(token: TokenRecord, request: EnrollmentRequest, known: Identities, now: float) -> str:
    """Return why the token does not admit the machine, or ""."""
    if conflict := known.conflicts.get(f"{TOKENS}{request.token}"):
        return f"was changed on two servers, and may have been used: {conflict}"
    if token.used and (token.used, token.used_key) != (request.machine, request.key):
        return f"was used before, by {token.used}"
    if now > token.expires:
        return "has expired"
    if token.name and token.name not in (request.hostname, request.machine):
        return f"is for {token.name}"
    record = known.machines.get(request.machine)
    is_changed = record and (record.revoked or record.key != request.key or known.conflict_of(record.machine))
    if record and is_changed and token.name not in (record.name, record.machine):
        return f"is not for a machine that is enrolled already, as {record.name or record.machine} is"
    if not token.name and (holder := holder_of_name(known, request.hostname, request.machine)):
        return f"is not for the name {request.hostname}, which {holder.machine} has"
    return ""


def holder_of_name(known: Identities, name: str, machine: str) -> MachineRecord | None:
    """Return the other machine that is enrolled under ``name``."""
    records = known.machines.values()
    return next((r for r in records if r.name == name and r.machine != machine and not r.revoked), None)


def enroll(
    request: EnrollmentRequest, voucher: Voucher, known: Identities, *, by: str, now: float, store_user: str = ""
) -> tuple[Write, ...]:
    """Return the writes that enroll the machine: the token first, so that a crash in between uses it up.

    ``store_user`` is the machine's new user of the store; "": it keeps the one that it can still log in as.
    """
    writes = []
    if voucher.token:
        token = replace(known.tokens[voucher.token], used=request.machine, used_key=request.key)
        writes.append(_write(f"{TOKENS}{voucher.token}", token, known))
    name = voucher.name or request.hostname
    before = known.machines.get(request.machine)
    if before and is_kept(before, request, voucher):
        store_user = store_user or before.store_user
    record = MachineRecord(
        machine=request.machine,
        key=request.key,
        encryption=request.encryption,
        name=name,
        labels=voucher.labels,
        enrolled=int(now),
        by=by,
        reason=voucher.reason,
        token=voucher.token,
        store_user=store_user,
    )
    writes.append(_write(f"{MACHINES}{request.machine}", record, known))
    if holder := holder_of_name(known, name, request.machine):
        revoked = replace(holder, revoked=f"{request.machine} is called {name} now", revoked_at=int(now))
        writes.append(_write(f"{MACHINES}{holder.machine}", revoked, known))
    return tuple(writes)


def is_kept(before: MachineRecord, request: EnrollmentRequest, voucher: Voucher) -> bool:
    """Return whether the machine can still log in as the user of the store that it had."""
    return (voucher.is_earlier_key or before.key == request.key) and not before.revoked


def revoke(machine: str, known: Identities, *, reason: str, now: float) -> Write:
    """Return the write after which the machine's key no longer counts. Its record stays, so that it is known why."""
    return _write(f"{MACHINES}{machine}", replace(known.machines[machine], revoked=reason, revoked_at=int(now)), known)


def store_fleet(fleet: FleetRecord, known: Identities) -> Write:
    """Return the write of the fleet's own record."""
    return _write(FLEET_KEY, fleet, known)


def add_token(key: PrivateKey, token: TokenRecord) -> Write:
    """Return the write that makes a join token valid."""
    return Write(key=f"{TOKENS}{key.id}", data=encode_record(replace(token, key=encode_key(key.public))), expect=None)


def spent_tokens(known: Identities, now: float) -> tuple[Write, ...]:
    """Return the writes that remove tokens that are used or expired, and that nobody will ask about any more."""
    ended = (id for id, token in known.tokens.items() if now > token.expires)
    return tuple(Write(key=f"{TOKENS}{id}", data=None, expect=known.versions[f"{TOKENS}{id}"]) for id in sorted(ended))


def _write(key: str, record: FleetRecord | MachineRecord | TokenRecord, known: Identities) -> Write:
    return Write(key=key, data=encode_record(record), expect=known.versions.get(key))
