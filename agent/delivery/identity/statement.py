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
from ordain.transforms.lazy_patterns import lazy_pattern

SIGNATURES = "signatures"
_FORM = "ordain statement 1"
_ONE_SIGNATURE = lazy_pattern(rb'"signatures":\{"([0-9a-f]{16})":"([A-Za-z0-9+/]{86}==)"\}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place of a statement: a key in the store of the fleet with the id ``fleet``."""

    fleet: str
    key: str


def key_id(public: bytes) -> str:
    """Return the id of a public key: the first 16 digits of the SHA-256 of its 32 bytes."""
    return hashlib.sha256(public).hexdigest()[:16]


def encode_statement(statement: Mapping[str, Any]) -> bytes:
    """Return a statement as it is stored: in the form that is signed, so that readers need not encode it again."""
    return _canonical(statement).encode()


def signed_bytes(place: Place, data: Mapping[str, Any]) -> bytes:
    """Return the bytes that are signed.

    >>> signed_bytes(Place(fleet="f1", key="status/1"), {"b": 1, "a": "ä", "signatures": {}})
    b'ordain statement 1\\nf1\\nstatus/1\\n{"a":"\\\\u00e4","b":1}'
    """
    content = {name: value for name, value in data.items() if name != SIGNATURES}
    return _head(place) + _canonical(content).encode()


def _head(place: Place) -> bytes:
    return f"{_FORM}\n{place.fleet}\n{place.key}\n".encode()


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _cut(data: Mapping[str, Any], stored: bytes) -> bytes | None:
    """Return ``stored`` without its signature: the text that was signed if it was written in the form that is signed.

    None if there is not exactly one signature in that form. If the rest is not in it, no key has signed the result. It
    is the text of ``data`` without `SIGNATURES`, because ``data`` has exactly this signature: the cut is at the
    outermost level, or the text would have another one there.
    """
    cuts = list(_ONE_SIGNATURE.finditer(stored)) if stored else []
    if len(cuts) != 1 or data.get(SIGNATURES) != {cuts[0][1].decode(): cuts[0][2].decode()}:
        return None
    before, after = stored[: cuts[0].start()], stored[cuts[0].end() :]
    return before.removesuffix(b",") + after if after.startswith(b"}") else before + after.removeprefix(b",")


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
    place: Place, statement: Mapping[str, Any], keys: Iterable[bytes], check: SignatureCheck, stored: bytes = b""
) -> frozenset[bytes]:
    """Return those of the public ``keys`` that have signed ``statement`` for ``place``.

    ``stored`` is the text that it was read from, if that is known: encoding it again takes half as long as a check.
    """
    signatures = statement.get(SIGNATURES)
    if not isinstance(signatures, Mapping):
        return frozenset()
    claimed = {key: signatures.get(key_id(key)) for key in keys}
    texts = {key: signature for key, signature in claimed.items() if isinstance(signature, str)}
    if texts and (text := _cut(statement, stored)) and (signers := check(_head(place) + text, texts)):
        return signers
    return check(signed_bytes(place, statement), texts) if texts else frozenset()
