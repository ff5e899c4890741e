"""The file by which ordain-source.service hands documents, their origin and the health of the source to the agent.

    `Handover` ─encode▶ bytes ─decode▶ `Handover`, or a `SourceError`

    ordain-handover 1
    {"location": …, "settings": …, "revision": …, "health": {…} | null, "documents": [[PATH, SIZE], …], "sha256": …}
    the documents, one after the other

`decode` trusts nothing, because the file comes from the process that talks to the network.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from ordain.agent.delivery.protocol import Snapshot, SourceError, SourceFault, SourceHealth
from ordain.agent.model import RawDocuments

MAGIC = b"ordain-handover 1\n"
MAX_DOCUMENTS = 20_000
MAX_HEADER_BYTES = 4 << 20
MAX_BYTES = (64 << 20) + MAX_HEADER_BYTES
_MAX_TEXT = 2000
"""The limit for the characters of each text in the header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """The content of the file; ``settings`` is the digest of the settings of ordain-source.service."""

    location: str
    settings: str
    snapshot: Snapshot
    health: SourceHealth | None = None


def encode(handover: Handover) -> bytes:
    """Return the bytes of the file."""
    texts = handover.snapshot.texts
    body = b"".join(data for _, data in texts)
    header = {
        "location": handover.location,
        "settings": handover.settings,
        "revision": handover.snapshot.revision,
        "waiting": handover.snapshot.waiting,
        "health": asdict(handover.health) if handover.health else None,
        "documents": [[path, len(data)] for path, data in texts],
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    return b"".join((MAGIC, json.dumps(header).encode(), b"\n", body))


def decode(data: bytes) -> Handover:
    """Read the file. Raises `SourceError` (``BadHandover``) for bytes that `encode` does not make."""
    if not data.startswith(MAGIC):
        raise _invalid("it is of another version, or not a handover file")
    end = data.find(b"\n", len(MAGIC), len(MAGIC) + MAX_HEADER_BYTES)
    if end < 0:
        raise _invalid("its header has no end")
    try:
        header = json.loads(data[len(MAGIC) : end])
        body = data[end + 1 :]
        handover = Handover(
            location=_text(header["location"]),
            settings=_text(header["settings"]),
            snapshot=Snapshot(
                texts=_texts(header["documents"], body),
                revision=_text(header["revision"]),
                waiting=_text(header.get("waiting", "")),  # earlier versions write none
            ),
            health=_health(header["health"]),
        )
        if hashlib.sha256(body).hexdigest() != header["sha256"]:
            raise _invalid("its documents have changed since it was written")
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _invalid(f"its header is not valid: {type(error).__name__}") from None
    return handover


def _texts(entries: Any, body: bytes) -> RawDocuments:
    if not isinstance(entries, list) or len(entries) > MAX_DOCUMENTS:
        raise ValueError
    texts = []
    at = 0
    for path, size in entries:
        if type(size) is not int or not 0 <= size <= len(body) - at:
            raise ValueError
        texts.append((_text(path), body[at : at + size]))
        at += size
    if at != len(body):
        raise ValueError
    return tuple(texts)


def _health(data: Any) -> SourceHealth | None:
    if data is None:
        return None
    since = float(data["since"])
    if not 0 <= since < 1e12 or type(data["connected"]) is not bool:
        raise ValueError
    code = SourceFault(data["code"]) if data["code"] else ""
    message, hint = _text(data["what"]), _text(data["hint"])
    return SourceHealth(connected=data["connected"], code=code, what=message, hint=hint, since=since)


def _text(value: Any) -> str:
    """Return a text that can do a terminal no harm. Raises ValueError."""
    if not isinstance(value, str) or len(value) > _MAX_TEXT or not value.isprintable():
        raise ValueError
    return value


def _invalid(message: str) -> SourceError:
    hint = "systemctl restart ordain-source.service"
    message = f"the handover file of ordain-source.service is not valid: {message}"
    return SourceError(message, code=SourceFault.HANDOVER, hint=hint)
