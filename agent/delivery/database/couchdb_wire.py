"""The JSON of CouchDB: documents, the revisions they end in, and conflicts that replication has left.

Source: CouchDB's documentation, api/document/common.rst and replication/conflicts.rst.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ordain.agent.delivery.database.database import StoredEntry
from ordain.agent.delivery.database.json_answers import as_malformed
from ordain.agent.errors import MalformedAnswer

Json = Mapping[str, Any]
Revision = tuple[int, str]
"""Generation and hash. Every CouchDB server shows the highest leaf that is not deleted."""


_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafRevision:
    """The last revision of one branch of a document's history; ``parent`` is None for a first revision."""

    revision: Revision
    parent: Revision | None
    deleted: bool
    document: Json


def parse_revision(text: str) -> Revision:
    """Read a ``_rev``.

    >>> parse_revision("3-ab")
    (3, 'ab')
    """
    number, _, digest = text.partition("-") if isinstance(text, str) else ("", "", "")
    if not (number.isascii() and number.isdigit() and len(number) <= _MAX_DIGITS and digest):
        raise MalformedAnswer(f"{str(text)[:40]!a} is not a revision")
    return int(number), digest


def rev(revision: Revision) -> str:
    """Return a revision as CouchDB writes it."""
    return f"{revision[0]}-{revision[1]}"


def leaves(answer: object) -> tuple[LeafRevision, ...]:
    """Read the answer to ``open_revs=all&revs=true``; the highest revision is first."""
    if not isinstance(answer, list):
        raise MalformedAnswer("the answer is not a list of revisions")
    rows = [_leaf(row["ok"]) for row in answer if isinstance(row, dict) and isinstance(row.get("ok"), dict)]
    return tuple(sorted(rows, key=lambda leaf: leaf.revision, reverse=True))


@as_malformed("a revision")
def _leaf(document: dict[str, Any]) -> LeafRevision:
    ids = document["_revisions"]["ids"]
    start = int(document["_revisions"]["start"])
    parent = (start - 1, str(ids[1])) if len(ids) > 1 else None
    return LeafRevision(
        revision=parse_revision(document["_rev"]),
        parent=parent,
        deleted=document.get("_deleted") is True,
        document=document,
    )


@as_malformed("a revision")
def branch(document: dict[str, Any]) -> list[str]:
    """Return the revisions from that of a document, which was asked for with ``revs=true``, back to the first known."""
    start, ids = int(document["_revisions"]["start"]), document["_revisions"]["ids"]
    return [rev((start - place, str(id))) for place, id in enumerate(ids)]


def winner(leaves: Iterable[LeafRevision]) -> LeafRevision | None:
    """Return the leaf that CouchDB shows, of leaves with the highest first; None if the document is deleted."""
    return next((leaf for leaf in leaves if not leaf.deleted), None)


def conflict(leaves: Iterable[LeafRevision]) -> str:
    """Return the reason why the leaves do not tell which revision of a document is intended, or "".

    Two live leaves: two servers have accepted different writes. A live leaf beside a deleted one that had won over
    it: the deletion brought the loser back, which nobody asked for.
    """
    leaves = tuple(leaves)
    live = [leaf for leaf in leaves if not leaf.deleted]
    if len(live) > 1:
        return f"has {len(live)} versions in conflict: {', '.join(rev(leaf.revision) for leaf in live)}"
    if any(leaf.deleted and leaf.parent and live and leaf.parent > live[0].revision for leaf in leaves):
        return f"was deleted, which brought back {rev(live[0].revision)}, a version that had lost a conflict"
    return ""


@as_malformed("a document")
def entry(document: Json) -> StoredEntry:
    """Read a document: its field ``text``; ``base64`` for bytes; or itself, as JSON.

    A document of somebody else is JSON as well: whoever uses it finds that it is not what it should be, and no other
    document is affected.
    """
    key, version = document.get("_id"), document.get("_rev")
    if not isinstance(key, str) or not isinstance(version, str):
        raise MalformedAnswer("a document has no _id or no _rev")
    return StoredEntry(key=key, data=_data(document), version=version)


def _data(document: Json) -> bytes:
    if isinstance(text := document.get("text"), str):
        return text.encode("utf-8", "surrogatepass")
    if isinstance(text := document.get("base64"), str):
        with contextlib.suppress(binascii.Error, ValueError):
            return base64.b64decode(text, validate=True)
    own = {name: value for name, value in document.items() if not name.startswith("_")}
    return json.dumps(own, indent=2, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")


def body(key: str, data: bytes, *, after: Revision | None) -> dict[str, Any]:
    """Return the document to write for ``data``; ``after`` is the revision that it follows."""
    previous = {"_rev": rev(after)} if after else {}
    try:
        return {"_id": key, **previous, "text": data.decode()}
    except UnicodeDecodeError:
        return {"_id": key, **previous, "base64": base64.b64encode(data).decode()}
