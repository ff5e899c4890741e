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
from dataclasses import dataclass, field
from typing import Any

from ordain.agent.delivery.release.signing import SignatureCheck, valid_signers

SIGNATURES = "signatures"
_FORM = "ordain statement 1"
_MOST_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place of a statement: a key in the store of the fleet with the id ``fleet``."""

    fleet: str
    key: str


@dataclass(slots=True)
class RememberedSignatures:
    """A `SignatureCheck` that checks the same signature once: most reports are the same when they are read again."""

    _signers: dict[bytes, frozenset[bytes]] = field(default_factory=dict)

    def check(self, data: bytes, signatures: Mapping[bytes, str]) -> frozenset[bytes]:
        """See `SignatureCheck`."""
        claims = [part for key, signature in sorted(signatures.items()) for part in (key, signature.encode())]
        digest = hashlib.sha256(b"\0".join((*claims, data))).digest()
        if digest not in self._signers:
            if len(self._signers) >= _MOST_REMEMBERED:
                self._signers.clear()
            self._signers[digest] = valid_signers(data, signatures)
        return self._signers[digest]


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


def read_statement(data: bytes) -> Mapping[str, Any] | None:
    """Return the JSON object in ``data``, None if it is something else."""
    try:
        return parse_statement(data)
    except ValueError:
        return None


def signer_ids(statement: Mapping[str, Any]) -> frozenset[str]:
    """Return the ids of the keys that claim to have signed the statement."""
    signatures = statement.get(SIGNATURES)
    return frozenset(signatures) if isinstance(signatures, Mapping) else frozenset()


def signers_of(
    place: Place, statement: Mapping[str, Any], keys: Iterable[bytes], check: SignatureCheck
) -> frozenset[bytes]:
    """Return those of the public ``keys`` that have signed ``statement`` for ``place``."""
    signatures = statement.get(SIGNATURES)
    if not isinstance(signatures, Mapping):
        return frozenset()
    claimed = {key: signatures.get(key_id(key)) for key in keys}
    texts = {key: signature for key, signature in claimed.items() if isinstance(signature, str)}
    return check(signed_bytes(place, statement), texts) if texts else frozenset()
