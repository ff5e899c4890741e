"""etcd v3 as a store of documents, through its JSON gateway.

Reads are linearizable: a server without a quorum does not answer them, so that no stale data is ever used. When a watch
ends, for whatever reason, the keys are listed again. A watch is never resumed, so that bugs of resuming cannot matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, aclosing

from ordain.agent.delivery.database import etcd_wire
from ordain.agent.delivery.database.database import ABSENT, ANY, Conflict, Listing, StoredEntry, Unchanged, Write
from ordain.agent.delivery.database.etcd_client import Compacted, EtcdClient, NotEnabled, TokenRefused, refusal_error
from ordain.agent.delivery.database.http_transport import TRY_NEXT_SERVER, HttpTransport, Response
from ordain.agent.delivery.database.json_answers import malformed_as_source_error, parse_json_object
from ordain.agent.delivery.database.login import Login
from ordain.agent.delivery.database.watch import WatchTiming, possible_changes
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.errors import MalformedAnswer, StoreError

PAGE = 100
"""The keys of one range in one answer."""
RANGES = 100
"""The ranges in one transaction; etcd's limit is 128 by default."""
ATTEMPTS = 3
"""The number of listings that a compaction may interrupt, and of incomplete watches, before giving up."""
MAX_BYTES = 64 << 20
"""The limit for one listing."""
_Entries = dict[str, list[StoredEntry]]
_ENTRY_BYTES = 256
"""The size that an entry is counted with besides its data: also many small keys have a limit."""


class WatchIncomplete(StoreError):
    """The server has not confirmed all watches that it was asked for."""


class Etcd:
    """The keys below ``prefix`` (such as ``/ordain/``); see `Database`."""

    type = "etcd"
    settle_sec = 0.0
    compares_ranges = True

    def __init__(
        self, transport: HttpTransport, prefix: str, login: Login | None = None, *, timing: WatchTiming | None = None
    ) -> None:
        self._timing = timing or WatchTiming()
        self._client = EtcdClient(transport, login, answer_sec=self._timing.answer_sec)
        self._transport = transport
        self.prefix = prefix if prefix.endswith("/") else f"{prefix}/"
        self.location = ", ".join(transport.access.endpoints)
        self._highest_revision = 0
        self._watched_server = ""
        self._listed: dict[tuple[str, ...], tuple[tuple[int, int], ...]] = {}

    async def list(self, *prefixes: str) -> Listing:
        """See `Database.list`."""
        for _ in range(ATTEMPTS):
            with contextlib.suppress(Compacted):
                return await self._list(prefixes)
        message = f"{self.location}: the store is compacted faster than it can be read"
        raise SourceError(message, code=SourceFault.UNREACHABLE)

    async def _list(self, prefixes: tuple[str, ...]) -> Listing:
        known = self._highest_revision
        entries, header = await self._read_pages(prefixes)
        if header is None:
            return Listing(entries=(), revision="")
        self._require_no_rewind(header, known)
        self._listed[prefixes] = tuple(
            (len(entries[prefix]), max((int(entry.version) for entry in entries[prefix]), default=0))
            for prefix in prefixes
        )
        in_order = sorted((entry for part in entries.values() for entry in part), key=lambda entry: entry.key)
        return Listing(entries=tuple(in_order), revision=str(header.revision))

    async def _read_pages(self, prefixes: tuple[str, ...]) -> tuple[_Entries, etcd_wire.Header | None]:
        """Return the entries of each prefix and the header, from all pages at the revision of the first page.

        Raises `Compacted` and `SourceError`.
        """
        entries: _Entries = {prefix: [] for prefix in prefixes}
        pending = [(prefix, "") for prefix in prefixes]
        header: etcd_wire.Header | None = None
        size = 0
        while pending:
            batch, pending = pending[:RANGES], pending[RANGES:]
            spans = [
                etcd_wire.span(self.prefix + prefix, after=after and self.prefix + after) for prefix, after in batch
            ]
            revision = header.revision if header else 0
            answer = await self._call("kv/txn", etcd_wire.ranges(spans, limit=PAGE, revision=revision))
            with self._parsing():
                pages = etcd_wire.pages(answer, self.prefix)
                header = header or etcd_wire.header(answer)
                if len(pages) != len(batch):
                    raise MalformedAnswer(f"it has {len(pages)} ranges of {len(batch)}")
            for (prefix, after), page in zip(batch, pages, strict=True):
                entries[prefix] += page.entries
                size += sum(_ENTRY_BYTES + len(entry.data) for entry in page.entries)
                if page.more and page.entries:
                    last = page.entries[-1].key
                    if etcd_wire.key_bytes(last) <= etcd_wire.key_bytes(after):
                        message = f"{self.location}: the pages of a range do not go on after {after[:200]!a}"
                        raise SourceError(message, code=SourceFault.NOT_DOCUMENTS)
                    pending.append((prefix, last))
            if size > MAX_BYTES:
                what = ", ".join(prefixes[:3])
                message = f"{self.location}: the keys below {what} hold more than {MAX_BYTES:,} bytes"
                hint = "look for large ones, such as those of other programs, and remove them"
                raise SourceError(message, code=SourceFault.TOO_LARGE, hint=hint)
        return entries, header

    async def get(self, key: str) -> StoredEntry | None:
        """See `Database.get`."""
        answer = await self._call("kv/txn", etcd_wire.ranges([{"key": etcd_wire.encode(self.prefix + key)}], limit=1))
        with self._parsing():
            return next(iter(etcd_wire.pages(answer, self.prefix)[0].entries), None)

    async def history(self, key: str, most: int, *, latest: str = "") -> tuple[StoredEntry, ...]:
        """See `Database.history`: the versions since the last compaction."""
        entries: list[StoredEntry] = []
        try:
            revision = etcd_wire.number(latest or None)
        except MalformedAnswer:
            return ()
        span = {"key": etcd_wire.encode(self.prefix + key)}
        if latest:
            answer = await self._call("kv/txn", etcd_wire.newest([span]))
            with self._parsing():
                if revision > etcd_wire.header(answer).revision:
                    return ()
        while len(entries) < most:
            try:
                answer = await self._client.call("kv/txn", etcd_wire.ranges([span], limit=1, revision=revision))
            except (Compacted, NotEnabled):
                break
            with self._parsing():
                entry = next(iter(etcd_wire.pages(answer, self.prefix)[0].entries), None)
                created = etcd_wire.created(answer)
            if entry is None or (latest and not entries and entry.version != latest):
                break
            entries.append(entry)
            revision = int(entry.version) - 1
            if created > revision:
                entries.append(StoredEntry(key=key, data=b"", version=ABSENT))
                break
        return tuple(entries[:most])

    async def write(self, writes: Iterable[Write]) -> None:
        """See `Database.write`: one transaction."""
        await self._write(writes)

    async def put(
        self, key: str, data: bytes, *, expect: str | None, ttl_sec: int = 0, provided: Unchanged | None = None
    ) -> str:
        """See `Database.put`; a lease of this key alone removes it after ``ttl_sec``."""
        lease = ""
        if ttl_sec:
            granted = await self._call("lease/grant", {"TTL": str(ttl_sec)})
            with self._parsing():
                lease = str(etcd_wire.number(granted["ID"]))
        return await self._write([Write(key=key, data=data, expect=expect)], lease, provided)

    async def delete(self, key: str, *, expect: str) -> None:
        """See `Database.delete`."""
        await self._write([Write(key=key, data=None, expect=expect)])

    async def _write(self, writes: Iterable[Write], lease: str = "", provided: Unchanged | None = None) -> str:
        """Do all writes in one transaction and return its revision. Raises `Conflict`."""
        writes = tuple(writes)
        body = etcd_wire.transaction(
            [(self.prefix + write.key, write) for write in writes],
            lease=lease,
            unchanged=[etcd_wire.span(self.prefix + prefix) for prefix in provided.prefixes] if provided else (),
            revision=int(provided.revision) if provided else 0,
        )
        answer = await self._call("kv/txn", body, repeatable=False)
        with self._parsing():
            if answer.get("succeeded") is True:
                return str(etcd_wire.header(answer).revision)
            versions = etcd_wire.versions(answer, self.prefix)
        different = (write.key for write in writes if write.expect not in (ANY, versions.get(write.key)))
        raise Conflict(next(different, writes[0].key))

    async def watch(self, prefixes: tuple[str, ...], revision: str) -> AsyncGenerator[None, None]:
        """See `Database.watch`. Ends when the store has compacted the changes that come next."""
        follow = functools.partial(self._follow, prefixes, int(revision or 0))
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

    async def _follow(self, prefixes: tuple[str, ...], revision: int, changed: asyncio.Event) -> None:
        """Watch all prefixes after ``revision`` and set ``changed``, until the watch ends."""
        for _ in range(ATTEMPTS):
            with contextlib.suppress(WatchIncomplete):
                return await self._listen(prefixes, revision, changed)
        message = f"{self._transport.endpoint}: the server did not confirm all watches"
        raise SourceError(message, code=SourceFault.UNREACHABLE)

    async def _listen(self, prefixes: tuple[str, ...], revision: int, changed: asyncio.Event) -> None:
        requests = [
            {**etcd_wire.span(self.prefix + prefix), "start_revision": str(revision + 1)} for prefix in prefixes
        ]
        endpoint = self._watched_server = self._transport.endpoint
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self._timing.answer_sec):
                    stream = await stack.enter_async_context(self._client.watch(requests))
                lines = stream.lines()
                await self._wait_until_created(lines, len(requests), revision, stream.response, changed)
                async for line in lines:
                    if line.strip() and self._has_events(line, revision, stream.response):
                        changed.set()
            raise SourceError(f"{endpoint}: the server ended the watch", code=SourceFault.UNREACHABLE)
        except TimeoutError:
            late = SourceError(f"{endpoint}: no answer in time", code=SourceFault.UNREACHABLE)
            self._transport.leave(endpoint, late)
            raise late from None
        except SourceError as error:
            if error.code in TRY_NEXT_SERVER:
                self._transport.leave(endpoint, error)
            raise
        except Compacted:
            changed.set()

    async def _wait_until_created(
        self, lines: AsyncIterator[bytes], count: int, revision: int, response: Response, changed: asyncio.Event
    ) -> None:
        """Wait until the server has created ``count`` watches. Raises `WatchIncomplete` if it does not.

        `pad_for_one_read` explains how the gateway may lose some of them. The wait for each is long: a server that is
        late is only busy, and machines that ask again too early would keep it busy.
        """
        try:
            while count:
                async with asyncio.timeout(self._timing.answer_sec):
                    line = await anext(lines, b"")
                if not line:
                    return
                if line.strip() and self._has_events(line, revision, response):
                    changed.set()
                count -= b'"created":true' in line
        except TimeoutError:
            raise WatchIncomplete from None

    def _has_events(self, line: bytes, revision: int, response: Response) -> bool:
        """Return whether a message of the stream reports changes. Raises the error if it ends the watch."""
        event = parse_json_object(line, response.endpoint)
        if error := event.get("error"):
            raise self._refusal(response, error if isinstance(error, Mapping) else {})
        result = event.get("result")
        if not isinstance(result, Mapping):
            message = f"{response.endpoint}: the messages of the watch are not etcd's"
            raise SourceError(message, code=SourceFault.NOT_DOCUMENTS)
        if result.get("canceled"):
            # The server leaves the stream open without end.
            if result.get("compact_revision"):
                raise Compacted
            reason = str(result.get("cancel_reason") or "the server canceled the watch")
            raise self._refusal(response, {"message": reason})
        with self._parsing():
            if result.get("created") and etcd_wire.header(result).revision < revision:
                self._highest_revision = 0
                raise self._rewound(etcd_wire.header(result).revision, revision)
        return bool(result.get("events"))

    def _refusal(self, response: Response, error: etcd_wire.Json) -> Exception:
        failure = refusal_error(response, error)
        if isinstance(failure, TokenRefused):
            self._client.forget_token()
            return failure.failure
        return failure

    async def _has_changed(self, prefixes: tuple[str, ...]) -> bool:
        """Return whether the content differs from the last listing."""
        spans = [etcd_wire.span(self.prefix + prefix) for prefix in prefixes]
        known = self._highest_revision
        answer = await self._call("kv/txn", etcd_wire.newest(spans))
        with self._parsing():
            self._require_no_rewind(etcd_wire.header(answer), known)
            state = etcd_wire.state(answer)
        if self._transport.endpoint != self._watched_server:
            # Another server has answered in its place, so that the watch on it may be dead as well.
            raise SourceError(f"{self._watched_server}: no answer in time", code=SourceFault.UNREACHABLE)
        return state != self._listed.get(prefixes)

    def _require_no_rewind(self, header: etcd_wire.Header, known: int) -> None:
        """Raise `SourceError`, once, if the store is older than it was: a restored backup, or another store.

        ``known`` is the highest revision at the time of the request: of two requests at a time, the answer to the
        earlier one may come last.
        """
        if header.revision < known:
            self._highest_revision = header.revision
            raise self._rewound(header.revision, known)
        self._highest_revision = max(self._highest_revision, header.revision)

    def _rewound(self, now: int, before: int) -> SourceError:
        message = (
            f"{self.location}: the revision was {before:,} and is {now:,} now: the store was restored from a backup,"
            " or is another store"
        )
        return SourceError(message, code=SourceFault.REWOUND, hint="nothing to do: its documents are read again")

    async def _call(self, path: str, body: etcd_wire.Json, *, repeatable: bool = True) -> etcd_wire.Json:
        try:
            return await self._client.call(path, body, repeatable=repeatable)
        except NotEnabled as error:
            raise SourceError(str(error), code=SourceFault.UNREACHABLE) from None

    def _parsing(self) -> AbstractContextManager[None]:
        return malformed_as_source_error(self._transport.endpoint)
