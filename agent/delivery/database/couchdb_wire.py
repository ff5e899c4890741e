"""The JSON of CouchDB: documents, their leaves, and what was made of them by replication. Pure.

Source: CouchDB's docs, api/document/common.rst and replication/conflicts.rst.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ordain.agent.delivery.database.database import StoredEntry
from ordain.agent.errors import MalformedAnswer

Json = Mapping[str, Any]
Revision = tuple[int, str]
"""Generation and hash; CouchDB takes the highest leaf that is not deleted, on every server the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafRevision:
    """One end of a document's history. ``parent`` is what it was made from, ``None`` for a first revision."""

    revision: Revision
    parent: Revision | None
    deleted: bool
    document: Json


def revision(text: str) -> Revision:
    """A ``_rev``.

    >>> revision("3-ab")
    (3, 'ab')
    """
    number, _, digest = text.partition("-")
    if not number.isdigit() or not digest:
        raise MalformedAnswer(f"{text!r} is no revision")
    return int(number), digest


def rev(found: Revision) -> str:
    """A revision as CouchDB writes it."""
    return f"{found[0]}-{found[1]}"


def leaves(answer: object) -> tuple[LeafRevision, ...]:
    """What ``open_revs=all&revs=true`` answers, highest first."""
    if not isinstance(answer, list):
        raise MalformedAnswer("no list of revisions")
    found = [_leaf(row["ok"]) for row in answer if isinstance(row, dict) and isinstance(row.get("ok"), dict)]
    return tuple(sorted(found, key=lambda leaf: leaf.revision, reverse=True))


def _leaf(document: dict[str, Any]) -> LeafRevision:
    try:
        ids = document["_revisions"]["ids"]
        start = int(document["_revisions"]["start"])
        parent = (start - 1, str(ids[1])) if len(ids) > 1 else None
        return LeafRevision(
            revision=revision(document["_rev"]),
            parent=parent,
            deleted=document.get("_deleted") is True,
            document=document,
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise MalformedAnswer(f"a revision that cannot be read: {error!r}") from error


def winner(found: Iterable[LeafRevision]) -> LeafRevision | None:
    """The leaf that reading shows; None: the document is deleted."""
    return next((leaf for leaf in found if not leaf.deleted), None)


def dispute(found: Iterable[LeafRevision]) -> str:
    """Why nobody can tell which revision of a document is meant, "" if one is.

    Two that are alive: two servers took different writes. One that is alive beside a deleted one that had won over it:
    the deletion brought it back, which nobody asked for.
    """
    found = tuple(found)
    alive = [leaf for leaf in found if not leaf.deleted]
    if len(alive) > 1:
        return f"has {len(alive)} versions in conflict: {', '.join(rev(leaf.revision) for leaf in alive)}"
    gone = [leaf for leaf in found if leaf.deleted and leaf.parent and alive and leaf.parent > alive[0].revision]
    if gone:
        return f"was deleted, which brought back a version that had lost a conflict: {rev(alive[0].revision)}"
    return ""


def entry(document: Json) -> StoredEntry:
    """A document of ours: ``text``, or ``base64`` for what is no text, or itself as JSON (``"ordain": "v1"``)."""
    key, version = document.get("_id"), document.get("_rev")
    if not isinstance(key, str) or not isinstance(version, str):
        raise MalformedAnswer("a document without _id and _rev")
    return StoredEntry(key=key, data=_data(key, document), version=version)


def _data(key: str, document: Json) -> bytes:
    if isinstance(text := document.get("text"), str):
        return text.encode("utf-8", "surrogatepass")
    if isinstance(text := document.get("base64"), str):
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            raise MalformedAnswer(f"{key}: base64 that is none") from None
    if "ordain" in document:
        own = {name: value for name, value in document.items() if not name.startswith("_")}
        return json.dumps(own, indent=2, sort_keys=True, ensure_ascii=False).encode()
    raise MalformedAnswer(f"{key}: holds neither text nor base64, and is no document of ours itself")


def body(key: str, data: bytes, *, after: Revision | None) -> dict[str, Any]:
    """What to write. ``after``: the revision it follows."""
    known = {"_rev": rev(after)} if after else {}
    try:
        return {"_id": key, **known, "text": data.decode()}
    except UnicodeDecodeError:
        return {"_id": key, **known, "base64": base64.b64encode(data).decode()}
