"""etcd v3 as a database of documents, through its JSON gateway.

Reads are linearizable: a server without a quorum answers none, and is never taken at its stale word. After whatever
ends a watch the keys are listed again; no watch is ever resumed, so that no bug of resuming is ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, contextmanager

from ordain.agent.delivery.database import etcd_wire
from ordain.agent.delivery.database.database import ANY, GONE, Conflict, Listing, StoredEntry, Write
from ordain.agent.delivery.database.etcd_client import Compacted, EtcdClient, NotEnabled, TokenRefused, parsed, refusal
from ordain.agent.delivery.database.http_transport import HttpTransport, Response
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.database.watch import WatchTiming, hints
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.errors import MalformedAnswer, StoreError

PAGE = 100
"""Keys of one range in one answer."""
RANGES = 100
"""In one transaction; etcd takes 128 unless told otherwise."""
ATTEMPTS = 3
"""Listings that a compaction overtakes, and watches that are not heard, before giving up."""
MAX_BYTES = 64 << 20
"""Of all that one listing may hold."""
_FOREVER_SEC = 86_400.0
"""A watch may be silent for so long: the check is what finds a dead one."""
_OTHER_SERVER = (SourceFault.UNREACHABLE, SourceFault.TRUNCATED, SourceFault.TLS)


class WatchIncomplete(StoreError):
    """A server has not heard all that it was asked."""


class Etcd:
    """The keys below ``prefix`` (``/ordain/``)."""

    type = "etcd"

    def __init__(
        self, transport: HttpTransport, prefix: str, login: Login | None = None, *, pace: WatchTiming | None = None
    ) -> None:
        self._pace = pace or WatchTiming()
        self._client = EtcdClient(transport, login, answer_sec=self._pace.answer_sec)
        self._transport = transport
        self.prefix = prefix if prefix.endswith("/") else f"{prefix}/"
        self.location = ", ".join(transport.access.endpoints)
        self._highest = 0
        self._watched = ""
        self._listed: dict[tuple[str, ...], tuple[tuple[int, int], ...]] = {}

    async def list(self, *prefixes: str) -> Listing:
        """See `Database.list`."""
        for _ in range(ATTEMPTS):
            try:
                return await self._list(prefixes)
            except Compacted:
                continue
        raise SourceError(f"{self.location}: compacted faster than it can be read", code=SourceFault.UNREACHABLE)

    async def _list(self, prefixes: tuple[str, ...]) -> Listing:
        found: dict[str, list[StoredEntry]] = {prefix: [] for prefix in prefixes}
        rest = [(prefix, "") for prefix in prefixes]
        header: etcd_wire.Header | None = None
        size = 0
        while rest:
            now, rest = rest[:RANGES], rest[RANGES:]
            spans = [etcd_wire.span(self.prefix + prefix, after=after and self.prefix + after) for prefix, after in now]
            revision = header.revision if header else 0
            answer = await self._call("kv/txn", etcd_wire.ranges(spans, limit=PAGE, revision=revision))
            with self._understood():
                pages = etcd_wire.pages(answer, self.prefix)
                header = header or etcd_wire.header(answer)
            for (prefix, _), page in zip(now, pages, strict=True):
                found[prefix] += page.entries
                size += sum(len(entry.data) for entry in page.entries)
                if page.more and page.entries:
                    rest.append((prefix, page.entries[-1].key))
            if size > MAX_BYTES:
                what = f"{self.location}: more than {MAX_BYTES:,} bytes of documents"
                raise SourceError(what, code=SourceFault.TOO_LARGE)
        if header is None:
            return Listing(entries=(), revision="")
        self._not_rewound(header)
        states = ((len(found[p]), max((int(e.version) for e in found[p]), default=0)) for p in prefixes)
        self._listed[prefixes] = tuple(states)
        entries = sorted((entry for each in found.values() for entry in each), key=lambda entry: entry.key)
        return Listing(entries=tuple(entries), revision=str(header.revision))

    async def get(self, key: str) -> StoredEntry | None:
        """See `Database.get`."""
        answer = await self._call("kv/txn", etcd_wire.ranges([{"key": etcd_wire.encode(self.prefix + key)}], limit=1))
        with self._understood():
            return next(iter(etcd_wire.pages(answer, self.prefix)[0].entries), None)

    async def history(self, key: str, most: int) -> tuple[StoredEntry, ...]:
        """See `Database.history`: back to the last compaction."""
        found: list[StoredEntry] = []
        span, at = {"key": etcd_wire.encode(self.prefix + key)}, 0
        while len(found) < most:
            try:
                answer = await self._client.call("kv/txn", etcd_wire.ranges([span], limit=1, revision=at))
            except (Compacted, NotEnabled):
                break
            with self._understood():
                entry = next(iter(etcd_wire.pages(answer, self.prefix)[0].entries), None)
                created = etcd_wire.created(answer)
            if entry is None:
                break
            found.append(entry)
            at = int(entry.version) - 1
            if created > at:
                found.append(StoredEntry(key=key, data=b"", version=GONE))
                break
        return tuple(found[:most])

    async def write(self, changes: Iterable[Write]) -> None:
        """See `Database.write`: one transaction."""
        await self._write(changes)

    async def put(self, key: str, data: bytes, *, expect: str | None, ttl_sec: int = 0) -> str:
        """See `Database.put`; the time to live is a lease's, of this key alone."""
        lease = ""
        if ttl_sec:
            lease = str((await self._call("lease/grant", {"TTL": str(ttl_sec)}))["ID"])
        return await self._write([Write(key=key, data=data, expect=expect)], lease)

    async def delete(self, key: str, *, expect: str) -> None:
        """See `Database.delete`."""
        await self._write([Write(key=key, data=None, expect=expect)])

    async def _write(self, changes: Iterable[Write], lease: str = "") -> str:
        changes = tuple(changes)
        body = etcd_wire.transaction([(self.prefix + change.key, change) for change in changes], lease=lease)
        answer = await self._call("kv/txn", body, repeatable=False)
        with self._understood():
            if answer.get("succeeded") is True:
                return str(etcd_wire.header(answer).revision)
            there = etcd_wire.versions(answer, self.prefix)
        unlike = (c.key for c in changes if c.expect != ANY and c.expect != there.get(c.key))
        raise Conflict(next(unlike, changes[0].key))

    async def watch(self, prefixes: tuple[str, ...], revision: str) -> AsyncGenerator[None, None]:
        """See `Database.watch`. Ends where the store has compacted what comes next."""
        follow = functools.partial(self._follow, prefixes, int(revision or 0))
        async with aclosing(hints(follow, functools.partial(self._changed, prefixes), self._pace)) as woken:
            async for _ in woken:
                yield

    async def close(self) -> None:
        """See `Database.close`."""
        await self._transport.close()

    async def _follow(self, prefixes: tuple[str, ...], revision: int, woken: asyncio.Event) -> None:
        for _ in range(ATTEMPTS):
            with contextlib.suppress(WatchIncomplete):
                return await self._listen(prefixes, revision, woken)
        what = f"{self._transport.endpoint}: has not heard all that is to be watched"
        raise SourceError(what, code=SourceFault.UNREACHABLE)

    async def _listen(self, prefixes: tuple[str, ...], revision: int, woken: asyncio.Event) -> None:
        requests = [
            {**etcd_wire.span(self.prefix + prefix), "start_revision": str(revision + 1)} for prefix in prefixes
        ]
        endpoint = self._watched = self._transport.endpoint
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._pace.answer_sec):
                    opening = self._client.watch(requests, idle_sec=_FOREVER_SEC)
                    stream = await stack.enter_async_context(opening)
                lines = stream.lines()
                await self._created(lines, len(requests), revision, stream.answer, woken)
                async for line in lines:
                    if line.strip() and self._take(line, revision, stream.answer):
                        woken.set()
            what = f"{endpoint}: ended the watch"
            raise SourceError(what, code=SourceFault.UNREACHABLE)
        except TimeoutError:
            self._transport.rotate()
            raise SourceError(f"{endpoint}: no answer in time", code=SourceFault.UNREACHABLE) from None
        except SourceError as error:
            if error.code in _OTHER_SERVER and self._transport.endpoint == endpoint:
                self._transport.rotate()
            raise
        except Compacted:
            woken.set()

    async def _created(
        self, lines: AsyncIterator[bytes], count: int, revision: int, answer: Response, woken: asyncio.Event
    ) -> None:
        """Wait until the server has created ``count`` watches. Raises `WatchIncomplete` if it does not.

        See `taken_at_once` for what the gateway may do to the rest of them. A server that is late is only busy: with
        less patience, the machines that ask again are what keeps it so.
        """
        try:
            while count:
                async with asyncio.timeout(self._pace.answer_sec):
                    line = await anext(lines, b"")
                if not line:
                    return
                if line.strip() and self._take(line, revision, answer):
                    woken.set()
                count -= b'"created":true' in line
        except TimeoutError:
            raise WatchIncomplete from None

    def _take(self, line: bytes, revision: int, answer: Response) -> bool:
        """Whether a message of the stream brings a change. Raises what ends the watch."""
        message = parsed(line, answer.endpoint)
        if error := message.get("error"):
            raise self._refusal(answer, error if isinstance(error, Mapping) else {})
        result = message.get("result")
        if not isinstance(result, Mapping):
            raise SourceError(f"{answer.endpoint}: a watch that is none of etcd's", code=SourceFault.NOT_DOCUMENTS)
        if result.get("canceled"):
            # The server leaves the stream open, for ever.
            if result.get("compact_revision"):
                raise Compacted
            raise self._refusal(answer, {"message": str(result.get("cancel_reason") or "canceled the watch")})
        with self._understood():
            if result.get("created") and etcd_wire.header(result).revision < revision:
                self._highest = 0
                raise self._rewound(etcd_wire.header(result).revision, revision)
        return bool(result.get("events"))

    def _refusal(self, answer: Response, error: etcd_wire.Json) -> Exception:
        failure = refusal(answer, error)
        if isinstance(failure, TokenRefused):
            self._client.forget_token()
            return failure.failure
        return failure

    async def _changed(self, prefixes: tuple[str, ...]) -> bool:
        """Whether the store holds something else than was listed last."""
        answer = await self._call(
            "kv/txn", etcd_wire.newest(etcd_wire.span(self.prefix + prefix) for prefix in prefixes)
        )
        with self._understood():
            self._not_rewound(etcd_wire.header(answer))
            state = etcd_wire.state(answer)
        if self._transport.endpoint != self._watched:
            # It answered to others only: the watch on it may be dead as well.
            raise SourceError(f"{self._watched}: no answer in time", code=SourceFault.UNREACHABLE)
        return state != self._listed.get(prefixes)

    def _not_rewound(self, header: etcd_wire.Header) -> None:
        """Raises `SourceError`, once, where the store is older than it was: restored from a backup, or another."""
        before, self._highest = self._highest, header.revision
        if header.revision < before:
            raise self._rewound(header.revision, before)

    def _rewound(self, now: int, before: int) -> SourceError:
        what = f"{self.location}: at revision {now:,} after {before:,}: restored from a backup, or another store"
        return SourceError(what, code=SourceFault.REWOUND, hint="its documents are read anew")

    async def _call(self, path: str, body: etcd_wire.Json, *, repeatable: bool = True) -> etcd_wire.Json:
        try:
            return await self._client.call(path, body, repeatable=repeatable)
        except NotEnabled as error:
            raise SourceError(str(error), code=SourceFault.UNREACHABLE) from None

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except MalformedAnswer as error:
            what = f"{self._transport.endpoint}: {error}"
            raise SourceError(what, code=SourceFault.NOT_DOCUMENTS) from None
