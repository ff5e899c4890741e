"""A scripted CouchDB, for everything that pouchdb-server cannot do.

These are opaque sequences, rewinds, purges, ends of feeds, and refusals. The answers have the form that CouchDB 3 gives
them (its documentation, api/database/changes.rst). Nothing is stored.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Feed = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


class FakeCouchDb:
    """A server of the ``documents``, which map ids to text.

    ``feed`` serves `_changes`; the default sends heartbeats without end. If ``refuse`` is set, it answers everything.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.documents: dict[str, str] = {}
        self.revs: dict[str, str] = {}
        self.sequence = "1-g1AAAA"
        self.feed: Feed = silent_feed
        self.refuse: Callable[[], web.Response] | None = None
        self.feeds: list[str] = []
        self.asked = 0
        self.moving = False
        """True: every document changes between any two requests."""
        self._tls = tls

    def put(self, key: str, text: str, rev: str = "1-a") -> None:
        """Add a document without a row in the feed."""
        self.documents[key], self.revs[key] = text, rev
        self.moved()

    def moved(self) -> None:
        """Advance the sequence as CouchDB does."""
        self.sequence = f"{int(self.sequence.partition('-')[0]) + 1}-g1AAAA"

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls, shutdown_timeout=0.1)
        await self._site.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Return the URL of the server."""
        port = self._runner.addresses[0][1]
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.refuse is not None:
            return self.refuse()
        path = request.path
        if path == "/_session":
            return web.json_response({"ok": True}, headers={"Set-Cookie": "AuthSession=abc; Version=1; HttpOnly"})
        if path.endswith("/_all_docs/queries"):
            queries = (await request.json())["queries"]
            for key in self.revs if self.moving else ():
                self.revs[key] = f"{int(self.revs[key].partition('-')[0]) + 1}-a"
            return web.json_response({"results": [{"rows": self._rows(query)} for query in queries]})
        if path.endswith("/_changes") and request.method == "POST":
            ids = (await request.json())["doc_ids"]
            rows = [{"id": i, "seq": self.sequence, "changes": [{"rev": self.revs[i]}]} for i in ids if i in self.revs]
            return web.json_response({"results": rows, "last_seq": self.sequence, "pending": 0})
        if path.endswith("/_changes"):
            self.feeds.append(request.query["since"])
            response = web.StreamResponse()
            await response.prepare(request)
            await self.feed(request, response)
            return response
        return web.json_response({"db_name": "ordain", "update_seq": self.sequence, "purge_seq": 0})

    def _rows(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        found = []
        for key in sorted(self.documents):
            if query["startkey"] <= key <= query["endkey"]:
                row: dict[str, Any] = {"id": key, "key": key, "value": {"rev": self.revs[key]}}
                if query.get("include_docs"):
                    row["doc"] = {"_id": key, "_rev": self.revs[key], "text": self.documents[key]}
                found.append(row)
        return found


async def silent_feed(request: web.Request, response: web.StreamResponse) -> None:
    """Send a feed without changes."""
    while True:
        await response.write(b"\n")
        await asyncio.sleep(0.1)


def feed_of(*found: dict[str, Any], then: Feed = silent_feed) -> Feed:
    """Return a feed that sends ``found`` first, and then continues with ``then``."""

    async def feed(request: web.Request, response: web.StreamResponse) -> None:
        for row in found:
            await response.write(json.dumps(row).encode() + b"\n")
        await then(request, response)

    return feed


async def ending_feed(request: web.Request, response: web.StreamResponse) -> None:
    """End the feed in order, as in maintenance."""
    await response.write(b'{"last_seq":"9-g1AAAA","pending":0}\n')
