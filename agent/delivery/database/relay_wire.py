"""The protocol between a relay and the machines behind it: JSON over HTTP, a restricted `Database`.

    POST /relay/v1/list    {prefixes}                               ▶ a listing
    POST /relay/v1/get     {key, proof}                             ▶ an entry
    POST /relay/v1/watch   {prefixes, revision}                     ▶ {revision}, as soon as it is another one
    POST /relay/v1/put     {key, data, expect, ttl, provided}       ▶ {version}
    POST /relay/v1/delete  {key, expect, proof}                     ▶ {}

Data is base64. A refusal is {code, reason, hint}, whose code is a `SourceFault`, or {conflict: KEY} with status 409.
Each answer names the relay (`NAME`), and says since when it is cut off from its store (`AWAY`), if it is.
docs/design/relay.md has the rules of the relay.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from ordain.agent.delivery.database.database import Listing, StoredEntry, Unchanged

PREFIX = "/relay/v1"
NAME = "Ordain-Relay"
"""The header with the name of the relay …"""
AWAY = "Ordain-Store-Away"
"""… and the one of a relay whose store does not answer: the seconds since its last copy."""
WAIT_SEC = 50.0
"""The longest time that a relay holds the answer to a watch."""
GET, DELETE = "relay/get/", "relay/delete/"
"""The places that the proofs of a machine are signed for, followed by the key: they are not keys of any store."""
PROVEN = "status/"
"""The prefix of keys that only their machines read: the request has a proof."""

Json = Mapping[str, Any]


def entry_json(entry: StoredEntry) -> Json:
    """Return an entry as JSON."""
    conflict = {"conflict": entry.conflict} if entry.conflict else {}
    return {"key": entry.key, "data": base64.b64encode(entry.data).decode(), "version": entry.version, **conflict}


def entry_of(value: Json) -> StoredEntry:
    """Read an entry. Raises LookupError, TypeError and ValueError."""
    return StoredEntry(
        key=_text(value["key"]),
        data=data_of(value["data"]),
        version=_text(value["version"]),
        conflict=_text(value.get("conflict", "")),
    )


def listing_json(listing: Listing) -> Json:
    """Return a listing as JSON."""
    return {
        "entries": [entry_json(entry) for entry in listing.entries],
        "revision": listing.revision,
        "conflicts": dict(listing.conflicts),
    }


def listing_of(value: Json) -> Listing:
    """Read a listing. Raises LookupError, TypeError and ValueError."""
    return Listing(
        entries=tuple(entry_of(entry) for entry in value["entries"]),
        revision=_text(value["revision"]),
        conflicts={_text(key): _text(reason) for key, reason in value["conflicts"].items()},
    )


def data_of(text: object) -> bytes:
    """Read data. Raises TypeError and ValueError."""
    return base64.b64decode(_text(text), validate=True)


def provided_json(provided: Unchanged | None) -> Json | None:
    """Return a condition as JSON."""
    return {"prefixes": list(provided.prefixes), "revision": provided.revision} if provided else None


def provided_of(value: Json | None) -> Unchanged | None:
    """Read a condition. Raises LookupError, TypeError and ValueError."""
    if value is None:
        return None
    return Unchanged(prefixes=texts_of(value["prefixes"]), revision=_text(value["revision"]))


def texts_of(value: object) -> tuple[str, ...]:
    """Return a list of texts as a tuple. Raises TypeError."""
    if not isinstance(value, list):
        raise TypeError("not a list of texts")
    return tuple(_text(text) for text in value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
