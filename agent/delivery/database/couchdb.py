"""CouchDB as a database of documents: `_all_docs` is the truth, `_changes` the hint.

Sequences are opaque and only handed back; filters are not used, since what stops to match would vanish from a filtered
feed. Documents and releases lie in one database, what machines write (status, locks) in another with the suffix
``-status``: CouchDB grants rights by database.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from typing import Any
from urllib.parse import quote, urlencode

from ordain.agent.delivery.database import couchdb_wire
from ordain.agent.delivery.database.couchdb_client import CouchClient, row
from ordain.agent.delivery.database.database import ANY, GONE, Conflict, Listing, StoredEntry, Write
from ordain.agent.delivery.database.http_transport import HttpTransport, require_success
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.database.watch import WatchTiming, hints
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.errors import MalformedAnswer

READ = ("documents", "releases")
"""The first parts of keys in the database itself; others are in the one for what machines write."""
ATTEMPTS = 10
LEAST_FEED_SEC = 5.0
"""A feed that the server ends before is a server that does not serve (maintenance)."""
AT_ONCE = 50
"""Documents whose leaves are asked for in one request; CouchDB looks up to 100 up one by one."""
_Revs = dict[str, str]
_Rows = list[list[dict[str, Any]]]


class CouchDb:
    """The documents of ``database``."""

    type = "couchdb"

    def __init__(
        self, transport: HttpTransport, database: str, login: Login | None = None, *, pace: WatchTiming | None = None
    ) -> None:
        self._pace = pace or WatchTiming()
        self._client = CouchClient(transport, login, answer_sec=self._pace.answer_sec)
        self._transport = transport
        self._database = database
        self.location = f"{', '.join(transport.access.endpoints)}/{database}"
        self._ranges_at_once = True
        self._listed: dict[tuple[str, ...], tuple[object, _Revs]] = {}

    async def list(self, *prefixes: str) -> Listing:
        """See `Database.list`: documents are read, and read again until nothing moved meanwhile; then all of it was
        there at once. Of what machines write it is the latest of each."""
        database = self._path(prefixes[0] if prefixes else READ[0])
        for _ in range(ATTEMPTS):
            mark = await self._mark(database)
            with self._understood():
                rows = [row for rows in await self._rows(database, prefixes, documents=True) for row in rows]
                entries = tuple(sorted((couchdb_wire.entry(row["doc"]) for row in rows), key=lambda entry: entry.key))
            revs = {entry.key: entry.version for entry in entries}
            # What machines write is written all the time, each by one machine: there the latest will do.
            whole = not _read_only(prefixes)
            if not whole:
                await self._undisputed(database, rows)
                whole = revs == await self._revs(database, prefixes)
            if whole:
                self._listed[prefixes] = mark, revs
                return Listing(entries=entries, revision=json.dumps(mark["update_seq"]))
        raise SourceError(f"{self.location}: written to all the time, so that no reading of it is whole")

    async def get(self, key: str) -> StoredEntry | None:
        """See `Database.get`."""
        found = couchdb_wire.winner(await self._leaves(key))
        with self._understood():
            return couchdb_wire.entry(found.document) if found else None

    async def history(self, key: str, most: int) -> tuple[StoredEntry, ...]:
        """See `Database.history`: what no compaction has taken yet."""
        path = self._document(key)
        answer = await self._client.ask("GET", f"{path}?revs_info=true")
        if answer.status == 404:
            return ()
        with self._understood():
            known = json.loads(require_success(answer).body)["_revs_info"]
            there = [row["rev"] for row in known if row["status"] in ("available", "deleted")][:most]
        found = []
        for rev in there:
            document = await self._client.get(f"{path}?rev={rev}")
            with self._understood():
                gone = document.get("_deleted") is True
                found.append(StoredEntry(key=key, data=b"", version=GONE) if gone else couchdb_wire.entry(document))
        return tuple(found)

    async def write(self, changes: Iterable[Write]) -> None:
        """See `Database.write`: all looked at first, then one by one, as CouchDB has no transactions."""
        await self._write(tuple(changes))

    async def put(self, key: str, data: bytes, *, expect: str | None, ttl_sec: int = 0) -> str:
        """See `Database.put`."""
        return await self._write((Write(key=key, data=data, expect=expect),))

    async def delete(self, key: str, *, expect: str) -> None:
        """See `Database.delete`."""
        await self._write((Write(key=key, data=None, expect=expect),))

    async def _write(self, changes: tuple[Write, ...]) -> str:
        """What is written follows the highest revision, also a deleted one, and ends all others: no dispute is left."""
        found = [await self._leaves(change.key) for change in changes]
        for change, leaves in zip(changes, found, strict=True):
            there = couchdb_wire.winner(leaves)
            if change.expect not in (ANY, couchdb_wire.rev(there.revision) if there else None):
                raise Conflict(change.key)
        written = ""
        for change, leaves in zip(changes, found, strict=True):
            path = self._document(change.key)
            if change.data is not None:
                body = couchdb_wire.body(change.key, change.data, after=leaves[0].revision if leaves else None)
                written = await self._store("PUT", path, body, change.key)
            for leaf in leaves if change.data is None else leaves[1:]:
                if not leaf.deleted:
                    await self._store("DELETE", f"{path}?rev={couchdb_wire.rev(leaf.revision)}", None, change.key)
        return written

    async def _store(self, method: str, path: str, body: object, key: str) -> str:
        answer = await self._client.ask(method, path, body, repeatable=False)
        if answer.status == 409:
            raise Conflict(key)
        if answer.status == 413:
            what = f"{answer.endpoint}: {key} is too large for it"
            raise SourceError(what, code=SourceFault.TOO_LARGE, hint="max_document_size, 8 MB unless set")
        found = json.loads(require_success(answer).body or b"{}")
        return str(found.get("rev", ""))

    async def watch(self, prefixes: tuple[str, ...], revision: str) -> AsyncGenerator[None, None]:
        """See `Database.watch`. Ends where the server ends the feed in order."""
        follow = functools.partial(self._follow, prefixes, revision)
        async with aclosing(hints(follow, functools.partial(self._changed, prefixes), self._pace)) as woken:
            async for _ in woken:
                yield

    async def close(self) -> None:
        """See `Database.close`."""
        await self._transport.close()

    async def _follow(self, prefixes: tuple[str, ...], revision: str, woken: asyncio.Event) -> None:
        since = json.loads(revision) if revision else 0
        asked = {
            "feed": "continuous",
            # A newline so often; without one for three times as long the server is dead.
            "heartbeat": str(int(self._pace.answer_sec * 1000)),
            "since": since if isinstance(since, str) else json.dumps(since),
        }
        path = f"{self._path(prefixes[0])}/_changes?{urlencode(asked)}"
        endpoint = self._transport.endpoint
        began = time.monotonic()
        try:
            async with AsyncExitStack() as stack:
                opening = self._client.stream(path, idle_sec=3 * self._pace.answer_sec)
                stream = await stack.enter_async_context(opening)
                async for line in stream.lines():
                    if not line.strip():
                        continue
                    change = row(line, endpoint)
                    if "last_seq" in change:
                        break
                    if str(change.get("id", "")).startswith(prefixes):
                        woken.set()
                else:
                    raise SourceError(f"{endpoint}: the feed broke off", code=SourceFault.TRUNCATED)
            if time.monotonic() - began < LEAST_FEED_SEC:
                what = f"{endpoint}: ends every feed at once"
                raise SourceError(what, code=SourceFault.UNREACHABLE, hint="is it in maintenance?")
        except SourceError:
            if self._transport.endpoint == endpoint:
                self._transport.rotate()
            raise

    async def _changed(self, prefixes: tuple[str, ...]) -> bool:
        """Whether the store holds something else than was listed last: a feed can stall, and purges are in none."""
        database = self._path(prefixes[0])
        mark = await self._mark(database)
        listed = self._listed.get(prefixes)
        if listed is not None and mark == listed[0]:
            return False
        with self._understood():
            revs = await self._revs(database, prefixes)
        if listed is None or revs != listed[1]:
            return True
        self._listed[prefixes] = mark, revs
        return False

    async def _mark(self, database: str) -> Mapping[str, Any]:
        """The state of a whole database in its own words: equal when nothing has changed, at least."""
        found = await self._client.get(database)
        if not isinstance(found, dict) or "update_seq" not in found:
            raise SourceError(
                f"{self.location}: is no CouchDB", code=SourceFault.NOT_DOCUMENTS, hint="is the address right?"
            )
        words = ("update_seq", "purge_seq", "doc_count", "doc_del_count", "instance_start_time")
        return {word: found[word] for word in words if word in found}

    async def _revs(self, database: str, prefixes: tuple[str, ...]) -> _Revs:
        rows = await self._rows(database, prefixes, documents=False)
        return {str(row["id"]): str(row["value"]["rev"]) for each in rows for row in each}

    async def _rows(self, database: str, prefixes: tuple[str, ...], *, documents: bool) -> _Rows:
        """The rows of `_all_docs` for each prefix; in one request where the server can."""
        also: dict[str, Any] = {"include_docs": True, "conflicts": True} if documents else {}
        queries = [{"startkey": prefix, "endkey": f"{prefix}\ufff0", **also} for prefix in prefixes]
        if self._ranges_at_once:
            answer = await self._client.ask("POST", f"{database}/_all_docs/queries", {"queries": queries})
            if answer.status not in (400, 404, 405):
                return [found["rows"] for found in json.loads(require_success(answer).body)["results"]]
            self._ranges_at_once = False
        paths = (
            f"{database}/_all_docs?{urlencode({name: json.dumps(value) for name, value in query.items()})}"
            for query in queries
        )
        return [found["rows"] for found in await asyncio.gather(*map(self._client.get, paths))]

    async def _undisputed(self, database: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raises `SourceError` for a document of which nobody can tell what is meant."""
        ids = [str(row["id"]) for row in rows]
        several = {str(row["id"]) for row in rows if row["doc"].get("_conflicts")}
        for first in range(0, len(ids), AT_ONCE):
            asked = f"{database}/_changes?filter=_doc_ids&style=all_docs"
            found = await self._client.post(asked, {"doc_ids": ids[first : first + AT_ONCE]})
            with self._understood():
                several |= {str(row["id"]) for row in found["results"] if len(row["changes"]) > 1}
        for key in sorted(several):
            if why := couchdb_wire.dispute(await self._leaves(key)):
                hint = f"ordainctl documents put {key.rpartition('/')[2]}.yaml settles it"
                raise SourceError(f"{self.location}: {key} {why}", code=SourceFault.CONFLICT, hint=hint)

    async def _leaves(self, key: str) -> tuple[couchdb_wire.LeafRevision, ...]:
        answer = await self._client.ask("GET", f"{self._document(key)}?open_revs=all&revs=true")
        if answer.status == 404:
            await self._mark(self._path(key))  # is the whole database gone?
            return ()
        with self._understood():
            return couchdb_wire.leaves(json.loads(require_success(answer).body))

    def _path(self, key: str) -> str:
        """The path of the database that holds a key."""
        apart = "" if _read_only((key,)) else "-status"
        return f"/{quote(self._database + apart, safe='')}"

    def _document(self, key: str) -> str:
        return f"{self._path(key)}/{quote(key, safe='')}"

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except MalformedAnswer as error:
            raise SourceError(f"{self.location}: {error}", code=SourceFault.NOT_DOCUMENTS) from None
        except (KeyError, TypeError, ValueError) as error:
            what = f"{self.location}: an answer that is none of CouchDB's: {error!r}"
            raise SourceError(what, code=SourceFault.NOT_DOCUMENTS) from None


def _read_only(prefixes: tuple[str, ...]) -> bool:
    """Whether these are keys that machines only read."""
    return all(prefix.partition("/")[0] in READ for prefix in prefixes)
