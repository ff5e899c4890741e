"""CouchDB as a store of documents: `_all_docs` tells the content, `_changes` only that there may be a new one.

Sequences are opaque: they are only handed back to the server. Filters are not used, since a document that stops to
match would vanish from a filtered feed. Documents and releases with their blobs lie in one database, and whatever
machines write (status, locks) in another with the suffix ``-status``, because CouchDB grants rights by database.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from ordain.agent.delivery.database import couchdb_wire
from ordain.agent.delivery.database.couchdb_client import CouchClient
from ordain.agent.delivery.database.database import ABSENT, ANY, Conflict, Listing, StoredEntry, Unchanged, Write
from ordain.agent.delivery.database.http_transport import HttpTransport, require_success
from ordain.agent.delivery.database.json_answers import (
    malformed_as_source_error,
    parse_json_object,
    require_object,
)
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.database.seen_generations import UNKNOWN, SeenGenerations
from ordain.agent.delivery.database.watch import WatchTiming, possible_changes
from ordain.agent.delivery.protocol import SourceError, SourceFault

READ_ONLY = ("documents", "releases", "blobs", "machines")
"""The first parts of the keys that machines only read; all other keys lie in the database that machines write to."""
MOVED = "blobs/"
"""Keys that earlier versions kept in the database that machines write to.

They are still read there, with the version `ABSENT`; a write to such a key removes the old document.
"""
ATTEMPTS = 10
MIN_FEED_SEC = 5.0
"""A server that ends a feed sooner is not serving, as in maintenance."""
KEYS_PER_REQUEST = 50
"""Documents whose leaves are asked for at once; CouchDB looks up to 100 up one by one."""
SETTLE_SEC = 2.0
"""The nodes of a cluster take writes of one document at the same time, and agree on one of them afterwards.

(CouchDB, cluster/theory and replication/conflicts.) They copy within milliseconds when all of them work.
"""
_STATE_FIELDS = ("update_seq", "purge_seq", "doc_count", "doc_del_count", "instance_start_time")
_NOT_READABLE = (SourceFault.EMPTY, SourceFault.FORBIDDEN)
_Doubts = list[SourceError]
_Revs = dict[str, str]
_Rows = list[list[dict[str, Any]]]


class CouchDb:
    """The documents in ``database``; see `Database`."""

    type = "couchdb"
    settle_sec = SETTLE_SEC
    compares_ranges = False

    def __init__(
        self, transport: HttpTransport, database: str, login: Login | None = None, *, timing: WatchTiming | None = None
    ) -> None:
        self._timing = timing or WatchTiming()
        self._client = CouchClient(transport, login, answer_sec=self._timing.answer_sec)
        self._transport = transport
        self._database = database
        self.location = f"{', '.join(transport.access.endpoints)}/{database}"
        self._has_queries = True
        self._listed: dict[tuple[str, ...], tuple[object, _Revs]] = {}
        self._generations = SeenGenerations(patience_sec=self._timing.check_sec)

    async def list(self, *prefixes: str) -> Listing:
        """See `Database.list`.

        CouchDB has no snapshots. So the documents are read again until nothing has changed in between: then all of
        them existed at one moment. Keys that machines write change all the time, each by one machine, so there the
        latest of each will do.
        """
        listing = await self._list(prefixes)
        if not prefixes or not all(prefix.startswith(MOVED) for prefix in prefixes):
            return listing
        known = {entry.key for entry in listing.entries}
        old = [entry for entry in await self._old_entries(prefixes) if entry.key not in known]
        entries = tuple(sorted((*listing.entries, *old), key=lambda entry: entry.key))
        return replace(listing, entries=entries)

    async def _old_entries(self, prefixes: tuple[str, ...]) -> Sequence[StoredEntry]:
        """Return the entries at the place where earlier versions kept them; none if that database cannot be read."""
        try:
            with self._parsing():
                rows_of_prefixes = await self._rows(self._path("status"), prefixes, documents=True)
        except SourceError as error:
            if error.code not in _NOT_READABLE:
                raise
            return ()
        with self._parsing():
            entries = (couchdb_wire.entry(row["doc"]) for rows in rows_of_prefixes for row in rows)
            return [replace(entry, version=ABSENT) for entry in entries]

    async def _list(self, prefixes: tuple[str, ...]) -> Listing:
        database = self._path(prefixes[0] if prefixes else READ_ONLY[0])
        for _ in range(ATTEMPTS):
            state = await self._state(database)
            with self._parsing():
                rows = [row for rows in await self._rows(database, prefixes, documents=True) for row in rows]
                entries = tuple(sorted((couchdb_wire.entry(row["doc"]) for row in rows), key=lambda entry: entry.key))
            revs = {entry.key: entry.version for entry in entries}
            is_consistent = True
            conflicts: Mapping[str, str] = {}
            if _are_read_only(prefixes):
                conflicts = await self._conflicts(database, rows)
                with self._parsing():
                    is_consistent = revs == await self._revs(database, prefixes)
            if is_consistent:
                if _are_read_only(prefixes):
                    await self._require_no_rewind(database, prefixes, revs, conflicts)
                self._listed[prefixes] = state, revs
                return Listing(entries=entries, revision=json.dumps(state["update_seq"]), conflicts=conflicts)
        message = f"{self.location}: the documents keep changing while they are read"
        raise SourceError(message, hint="wait until nobody writes there")

    async def get(self, key: str) -> StoredEntry | None:
        """See `Database.get`."""
        leaves = await self._leaves(key)
        leaf = couchdb_wire.winner(leaves)
        with self._parsing():
            if leaf:
                return replace(couchdb_wire.entry(leaf.document), conflict=couchdb_wire.conflict(leaves))
            if not key.startswith(MOVED):
                return None
        old = couchdb_wire.winner(await self._old_leaves(key))
        with self._parsing():
            return replace(couchdb_wire.entry(old.document), version=ABSENT) if old else None

    async def history(self, key: str, most: int, *, latest: str = "") -> tuple[StoredEntry, ...]:
        """See `Database.history`: the revisions that no compaction has removed yet."""
        path = self._document_path(key)
        begin = f"rev={quote(latest, safe='')}&" if latest else ""
        response = await self._client.ask("GET", f"{path}?{begin}revs=true")
        if response.status == 404 or (latest and response.status == 400):
            return ()
        with self._parsing():
            revs = couchdb_wire.branch(require_success(response).value)
        entries = []
        for rev in revs[:most]:
            response = await self._client.ask("GET", f"{path}?rev={rev}")
            if response.status == 404:  # compacted
                break
            with self._parsing():
                document = require_success(response).value
                deleted = document.get("_deleted") is True
                entries.append(_absent(key) if deleted else couchdb_wire.entry(document))
        else:
            if revs[-1].startswith("1-"):
                entries.append(_absent(key))  # nothing was there before the first revision
        return tuple(entries[:most])

    async def write(self, writes: Iterable[Write]) -> None:
        """See `Database.write`: all keys are checked first and then written one by one, without a transaction."""
        await self._write(tuple(writes))

    async def put(
        self, key: str, data: bytes, *, expect: str | None, ttl_sec: int = 0, provided: Unchanged | None = None
    ) -> str:
        """See `Database.put`."""
        return await self._write((Write(key=key, data=data, expect=expect),))

    async def delete(self, key: str, *, expect: str) -> None:
        """See `Database.delete`."""
        await self._write((Write(key=key, data=None, expect=expect),))

    async def _write(self, writes: tuple[Write, ...]) -> str:
        """Write, and return the last revision.

        The new revision follows the highest one, also a deleted one, and all other leaves are deleted. So no conflict
        is left. A document of which no leaf lives is made anew by a body without a revision: CouchDB answers 409 to
        the revision of a deletion then (src/couch/src/couch_db.erl, prep_and_validate_update).
        """
        leaves_of = [await self._leaves(write.key) for write in writes]
        for write, leaves in zip(writes, leaves_of, strict=True):
            current = couchdb_wire.winner(leaves)
            if write.expect not in (ANY, couchdb_wire.rev(current.revision) if current else None):
                raise Conflict(write.key)
        written = ""
        doubts: _Doubts = []
        for write, leaves in zip(writes, leaves_of, strict=True):
            path = self._document_path(write.key)
            if write.data is not None:
                after = leaves[0].revision if couchdb_wire.winner(leaves) else None
                body = couchdb_wire.body(write.key, write.data, after=after)
                written = await self._store("PUT", path, body, write.key, doubts)
            for leaf in leaves if write.data is None else leaves[1:]:
                if not leaf.deleted:
                    await self._store(
                        "DELETE", f"{path}?rev={couchdb_wire.rev(leaf.revision)}", None, write.key, doubts
                    )
            for leaf in await self._old_leaves(write.key) if write.key.startswith(MOVED) else ():
                if not leaf.deleted:
                    path = f"{self._old_path(write.key)}?rev={couchdb_wire.rev(leaf.revision)}"
                    await self._store("DELETE", path, None, write.key, doubts)
        if doubts:
            raise doubts[0]
        return written

    async def _store(self, method: str, path: str, body: object, key: str, doubts: _Doubts) -> str:
        """Send one write and return the new revision. Raises `Conflict` and `SourceError`.

        An error of a write that may last, or be lost, is added to ``doubts``: the writes that belong to it, such as its
        entry in the log, may last as well.
        """
        response = await self._client.ask(method, path, body, repeatable=False)
        if response.status == 409:
            raise Conflict(key)
        if response.status == 413:
            hint = "CouchDB's max_document_size limits it (8 MB by default)"
            raise SourceError(f"{response.endpoint}: {key} is too large", code=SourceFault.TOO_LARGE, hint=hint)
        answer = require_object(require_success(response).value or {}, response.endpoint)
        if response.status == 202:
            # CouchDB, cluster/sharding: fewer copies than the write quorum have it, so that it may be lost with them.
            message = f"{response.endpoint}: {key} was written to fewer nodes than a majority, and may be lost"
            hint = "check the nodes of the cluster; then write it again"
            doubts.append(SourceError(message, code=SourceFault.UNREACHABLE, hint=hint))
        return str(answer.get("rev", ""))

    async def watch(self, prefixes: tuple[str, ...], revision: str) -> AsyncGenerator[None, None]:
        """See `Database.watch`. Ends when the server ends the feed in order."""
        follow = functools.partial(self._follow, prefixes, revision)
        async with aclosing(
            possible_changes(follow, functools.partial(self._has_changed, prefixes), self._timing)
        ) as changes:
            async for _ in changes:
                yield

    async def ask_replaced_servers(self) -> Mapping[str, SourceError]:
        """See `Database.ask_replaced_servers`."""
        return await self._transport.ask_replaced()

    async def close(self) -> None:
        """See `Database.close`."""
        await self._transport.close()

    async def _follow(self, prefixes: tuple[str, ...], revision: str, changed: asyncio.Event) -> None:
        """Read the feed of changes since ``revision`` and set ``changed``, until the server ends the feed in order."""
        since = json.loads(revision) if revision else 0
        options = {
            "feed": "continuous",
            # The server sends a newline this often; when none comes for three times as long, it is dead.
            "heartbeat": str(int(self._timing.answer_sec * 1000)),
            "since": since if isinstance(since, str) else json.dumps(since),
        }
        path = f"{self._path(prefixes[0])}/_changes?{urlencode(options)}"
        endpoint = self._transport.endpoint
        began = time.monotonic()
        try:
            async with AsyncExitStack() as stack:
                opening = self._client.stream(path, idle_sec=3 * self._timing.answer_sec)
                stream = await stack.enter_async_context(opening)
                async for line in stream.lines():
                    if not line.strip():
                        continue
                    row = parse_json_object(line, endpoint)
                    if "last_seq" in row:
                        break
                    if str(row.get("id", "")).startswith(prefixes):
                        changed.set()
                else:
                    raise SourceError(f"{endpoint}: the feed broke off", code=SourceFault.TRUNCATED)
            if time.monotonic() - began < MIN_FEED_SEC:
                message = f"{endpoint}: the server ends every feed at once"
                hint = "check whether the server is in maintenance"
                raise SourceError(message, code=SourceFault.UNREACHABLE, hint=hint)
        except SourceError as error:
            self._transport.leave(endpoint, error)
            raise

    async def _has_changed(self, prefixes: tuple[str, ...]) -> bool:
        """Return whether the content differs from the last listing: a feed can stall, and does not report purges."""
        database = self._path(prefixes[0])
        state = await self._state(database)
        listed = self._listed.get(prefixes)
        if listed is not None and state == listed[0]:
            return False
        with self._parsing():
            revs = await self._revs(database, prefixes)
        if listed is None or revs != listed[1]:
            return True
        self._listed[prefixes] = state, revs
        return False

    async def _state(self, database: str) -> Mapping[str, Any]:
        """Return the sequences and counts of a database; they are equal only if nothing has changed."""
        info = await self._client.get(database)
        if not isinstance(info, dict) or "update_seq" not in info:
            message = f"{self.location}: the server is not CouchDB"
            raise SourceError(message, code=SourceFault.NOT_DOCUMENTS, hint="check the address")
        return {field: info[field] for field in _STATE_FIELDS if field in info}

    async def _revs(self, database: str, prefixes: tuple[str, ...]) -> _Revs:
        rows = await self._rows(database, prefixes, documents=False)
        return {str(row["id"]): str(row["value"]["rev"]) for rows_of_prefix in rows for row in rows_of_prefix}

    async def _rows(self, database: str, prefixes: tuple[str, ...], *, documents: bool) -> _Rows:
        """Return the rows of `_all_docs` for each prefix: by one request where the server can do that."""
        options: dict[str, Any] = {"include_docs": True, "conflicts": True} if documents else {}
        queries = [{"startkey": prefix, "endkey": f"{prefix}\ufff0", **options} for prefix in prefixes]
        if self._has_queries:
            response = await self._client.ask("POST", f"{database}/_all_docs/queries", {"queries": queries})
            if response.status not in (400, 404, 405):
                answer = require_object(require_success(response).value, response.endpoint)
                return [result["rows"] for result in answer["results"]]
            self._has_queries = False
        paths = (
            f"{database}/_all_docs?{urlencode({name: json.dumps(value) for name, value in query.items()})}"
            for query in queries
        )
        return [result["rows"] for result in await asyncio.gather(*map(self._client.get, paths))]

    async def _require_no_rewind(
        self, database: str, prefixes: tuple[str, ...], revs: _Revs, conflicts: Mapping[str, str]
    ) -> None:
        """Raise `SourceError` if documents are older than they were, until they have been so for the time of a check.

        A conflict is told as such: the deletion of one version brings an older one back.
        """
        gone: dict[str, int] = {}
        if missing := self._generations.missing(prefixes, revs):
            answer = await self._client.post(f"{database}/_all_docs", {"keys": missing})
            with self._parsing():
                gone = {str(row["key"]): _generation(row.get("value")) for row in answer["rows"]}
        with self._parsing():
            listed = {key: _generation({"rev": rev}) for key, rev in revs.items() if key not in conflicts}
        if older := self._generations.older(prefixes, listed, gone, time.monotonic()):
            shown = older[0] if len(older) == 1 else f"{older[0]} and {len(older) - 1} more"
            message = (
                f"{self._transport.endpoint} shows an earlier version than before of {shown}: this node is behind, or"
                " the store was restored from a backup, or made anew"
            )
            hint = f"nothing to do: if that stays so for {self._timing.check_sec:.0f} s, it is used"
            error = SourceError(message, code=SourceFault.REWOUND, hint=hint)
            self._transport.leave(self._transport.endpoint, error)
            raise error

    async def _conflicts(self, database: str, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
        """Return the reasons why it is not clear which revision of a document is intended, by key."""
        with self._parsing():
            ids = [str(row["id"]) for row in rows]
            suspects = {str(row["id"]) for row in rows if row["doc"].get("_conflicts")}
        for first in range(0, len(ids), KEYS_PER_REQUEST):
            # `_conflicts` does not name deleted leaves; this feed does.
            path = f"{database}/_changes?filter=_doc_ids&style=all_docs"
            answer = await self._client.post(path, {"doc_ids": ids[first : first + KEYS_PER_REQUEST]})
            with self._parsing():
                suspects |= {str(row["id"]) for row in answer["results"] if len(row["changes"]) > 1}
        reasons = {key: couchdb_wire.conflict(await self._leaves(key)) for key in sorted(suspects)}
        return {key: reason for key, reason in reasons.items() if reason}

    async def _old_leaves(self, key: str) -> tuple[couchdb_wire.LeafRevision, ...]:
        """Return the leaves at the place where earlier versions kept ``key``; none if they cannot be read."""
        try:
            return await self._leaves(key, self._old_path(key))
        except SourceError as error:
            if error.code not in _NOT_READABLE:
                raise
            return ()

    async def _leaves(self, key: str, path: str = "") -> tuple[couchdb_wire.LeafRevision, ...]:
        response = await self._client.ask("GET", f"{path or self._document_path(key)}?open_revs=all&revs=true")
        if response.status == 404:
            await self._state(self._path(key))  # raises if the whole database is gone
            return ()
        with self._parsing():
            return couchdb_wire.leaves(require_success(response).value)

    def _path(self, key: str) -> str:
        """Return the path of the database that holds ``key``."""
        suffix = "" if _are_read_only((key,)) else "-status"
        return f"/{quote(self._database + suffix, safe='')}"

    def _old_path(self, key: str) -> str:
        return f"{self._path('status')}/{_quoted(key)}"

    def _document_path(self, key: str) -> str:
        return f"{self._path(key)}/{_quoted(key)}"

    def _parsing(self) -> AbstractContextManager[None]:
        return malformed_as_source_error(self.location)


def _quoted(key: str) -> str:
    """Return a key as a part of a path; the server refuses one that is not Unicode, as keys of etcd can be."""
    return quote(key, safe="", errors="surrogatepass")


def _generation(value: Mapping[str, Any] | None) -> int:
    """Return the generation in a row of `_all_docs`, also of a deletion; `UNKNOWN` for a document without any."""
    return couchdb_wire.parse_revision(value["rev"])[0] if value else UNKNOWN


def _absent(key: str) -> StoredEntry:
    return StoredEntry(key=key, data=b"", version=ABSENT)


def _are_read_only(prefixes: tuple[str, ...]) -> bool:
    """Return whether machines only read all keys with these prefixes."""
    return all(prefix.partition("/")[0] in READ_ONLY for prefix in prefixes)
