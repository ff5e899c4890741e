"""Statements: JSON objects that a key has signed for one place in the store of one fleet.

The signed bytes are three lines, ``ordain statement 1``, the id of the fleet and the key in the store, followed by the
object without ``signatures`` as JSON in ASCII, with sorted keys and without blanks. So a statement that somebody
copies to another key, or to the store of another fleet, is not signed there. The order of statements at one place is
part of their content.

``signatures`` maps ids of keys to signatures, as in the manifest of a release.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ordain.agent.delivery.release.signing import SignatureCheck

SIGNATURES = "signatures"
_FORM = "ordain statement 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place of a statement: a key in the store of the fleet with the id ``fleet``."""

    fleet: str
    key: str


def key_id(public: bytes) -> str:
    """Return the id of a public key: the first 16 digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(public).hexdigest()[:16]


def signed_bytes(place: Place, data: Mapping[str, Any]) -> bytes:
    """Return the bytes that are signed.

    >>> signed_bytes(Place(fleet="f1", key="status/1"), {"b": 1, "a": "ä", "signatures": {}})
    b'ordain statement 1\\nf1\\nstatus/1\\n{"a":"\\\\u00e4","b":1}'
    """
    content = {name: value for name, value in data.items() if name != SIGNATURES}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"{_FORM}\n{place.fleet}\n{place.key}\n{text}".encode()


def parse_statement(data: bytes) -> Mapping[str, Any]:
    """Return the JSON object in ``data``. Raises ValueError."""
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def signer_ids(statement: Mapping[str, Any]) -> frozenset[str]:
    """Return the ids of the keys that claim to have signed the statement."""
    signatures = statement.get(SIGNATURES)
    return frozenset(signatures) if isinstance(signatures, Mapping) else frozenset()


def valid_signers(
    place: Place, statement: Mapping[str, Any], keys: Iterable[bytes], check: SignatureCheck
) -> frozenset[bytes]:
    """Return those of the public ``keys`` that have signed ``statement`` for ``place``."""
    signatures = statement.get(SIGNATURES)
    if not isinstance(signatures, Mapping):
        return frozenset()
    claimed = {key: signatures.get(key_id(key)) for key in keys}
    texts = {key: signature for key, signature in claimed.items() if isinstance(signature, str)}
    return check(signed_bytes(place, statement), texts) if texts else frozenset()
