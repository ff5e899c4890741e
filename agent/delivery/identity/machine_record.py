"""The records of a fleet's machines in its store, below ``machines/``, where machines only read.

machines/MACHINE-ID     `MachineRecord`: the public key of a machine that was enrolled
machines/_fleet         `FleetRecord`: the id of the fleet, and its policy
machines/_tokens/ID     `TokenRecord`: the public key of a join token
machines/_recovery/ID   `RecoveryRecord`: the public half of a key that opens secrets when no machine can any more

enroll/MACHINE-ID       `EnrollmentRequest`: a statement of a machine that asks for a record; machines write it
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ordain.agent.delivery.database.document_keys import MACHINES
from ordain.agent.json_codec import from_json
from ordain.agent.model import to_json
from ordain.transforms.lazy_patterns import lazy_pattern

FLEET_KEY = f"{MACHINES}_fleet"
TOKENS = f"{MACHINES}_tokens/"
RECOVERY = f"{MACHINES}_recovery/"
REQUESTS = "enroll/"
FORMAT = 1
MAX_BYTES = 1 << 16
FLEET_ID = lazy_pattern(r"[0-9a-f]{16}")
KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRecord:
    """The identity of a fleet. If ``require`` is set, reports and slots of machines without a record do not count.

    With ``own_slots``, each machine takes slots of rollouts at a key that only it may write, in stores that can do so.
    """

    fleet: str
    require: bool = False
    own_slots: bool = False
    format: int = FORMAT


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineRecord:
    """A machine that was enrolled.

    ``key`` is its Ed25519 key, ``encryption`` an X25519 key for secrets that only it can open ("": it has none); both
    are the base64 of 32 bytes. ``name`` and ``labels`` are those that the administrator enrolled it with. ``enrolled``
    is the time in seconds since 1970, ``by`` the administrator, and ``reason`` names the token, the earlier key or the
    administrator's word; ``token`` is the id of the token. ``revoked`` has the reason why its key no longer counts; "":
    it counts. ``store_user`` is its own user of the store; "": it uses the common one.
    """

    machine: str
    key: str
    encryption: str = ""
    name: str = ""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    enrolled: int = 0
    by: str = ""
    reason: str = ""
    token: str = ""
    revoked: str = ""
    revoked_at: int = 0
    store_user: str = ""
    format: int = FORMAT

    @property
    def public(self) -> bytes:
        """Return the 32 bytes of the key that signs."""
        return decode_key(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """A join token: whoever has its private half may enroll one machine, until ``expires`` (seconds since 1970).

    The machine must be called ``name``, if that is set: its hostname or its machine-id. Its record gets ``labels``.
    ``used`` is the machine-id, and ``used_key`` the key, of the machine that was enrolled by it.
    """

    key: str
    expires: int
    name: str = ""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    by: str = ""
    used: str = ""
    used_key: str = ""
    format: int = FORMAT

    @property
    def public(self) -> bytes:
        """Return the 32 bytes of the key."""
        return decode_key(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryRecord:
    """A recovery key: ``key`` is its X25519 half that everybody may know. ``revoked``: nothing is sealed for it."""

    key: str
    by: str = ""
    made: int = 0
    revoked: str = ""
    format: int = FORMAT

    @property
    def public(self) -> bytes:
        """Return the 32 bytes of the key."""
        return decode_key(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentRequest:
    """A machine's request for a record with ``key``; ``token`` is the id of the token that signed it, if one did."""

    machine: str
    hostname: str
    key: str
    encryption: str = ""
    token: str = ""

    @property
    def public(self) -> bytes:
        """Return the 32 bytes of the key that signs."""
        return decode_key(self.key)


R = TypeVar("R", FleetRecord, MachineRecord, TokenRecord, RecoveryRecord, EnrollmentRequest)


def encode_record(record: FleetRecord | MachineRecord | TokenRecord | RecoveryRecord) -> bytes:
    """Return a record as it is stored: as indented JSON, for people."""
    return json.dumps(to_json(record), indent=1, sort_keys=True).encode() + b"\n"


def decode_record(kind: type[R], data: bytes) -> R:
    """Read a record. Raises ValueError, also for the format of a later version, which may have unknown fields."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
    try:
        record = from_json(kind, json.loads(data))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if getattr(record, "format", FORMAT) > FORMAT:
        raise ValueError("a later version of Ordain wrote it; upgrade this one")
    if isinstance(record, FleetRecord):
        if not FLEET_ID.fullmatch(record.fleet):
            raise ValueError("the id of the fleet is not 16 hexadecimal digits")
        return record
    decode_key(record.key)
    if encryption := getattr(record, "encryption", ""):
        decode_key(encryption)
    return record


def encode_key(public: bytes) -> str:
    """Return a key as text."""
    return base64.b64encode(public).decode()


def decode_key(text: str) -> bytes:
    """Read a key. Raises ValueError.

    >>> decode_key("AA==")
    Traceback (most recent call last):
    ValueError: a key is not the base64 of 32 bytes
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES:
        raise ValueError("a key is not the base64 of 32 bytes")
    return raw
