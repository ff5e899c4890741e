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

MAX_FAILURES = 5
"""`[chttpd_auth_lockout] max_failures` (CouchDB, config/auth.html; src/couch/src/couch_auth_lockout.erl)."""
LOCKED = "Account is temporarily locked due to multiple authentication failures"
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
        self.password = ""
        """If set, a session needs it; after `MAX_FAILURES` other ones the user is locked."""
        self.failures = 0
        self.has_quorum = True
        """False: a write reaches fewer nodes than a majority."""
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
            if (refused := await self._refuse_login(request)) is not None:
                return refused
            return web.json_response({"ok": True}, headers={"Set-Cookie": "AuthSession=abc; Version=1; HttpOnly"})
        if path.endswith("/_all_docs/queries"):
            queries = (await request.json())["queries"]
            for key in self.revs if self.moving else ():
                self.revs[key] = f"{int(self.revs[key].partition('-')[0]) + 1}-a"
            return web.json_response({"results": [{"rows": self._rows(query)} for query in queries]})
        if path.endswith("/_all_docs") and request.method == "POST":
            return web.json_response({"rows": [self._row(key) for key in (await request.json())["keys"]]})
        if path.endswith("/_changes") and request.method == "POST":
            ids = (await request.json())["doc_ids"]
            rows = [{"id": i, "seq": self.sequence, "changes": [{"rev": self.revs[i]}]} for i in ids if i in self.revs]
            return web.json_response({"results": rows, "last_seq": self.sequence, "pending": 0})
        if path.endswith("/_changes"):
            self.feeds.append(request.query["since"])
            if request.query["since"] != "0" and not request.query["since"].endswith("-g1AAAA"):
                # CouchDB, src/fabric/src/fabric_view_changes.erl: a sequence that the server cannot unpack.
                reason = "Malformed sequence supplied in 'since' parameter."
                return web.json_response({"error": "bad_request", "reason": reason}, status=400)
            response = web.StreamResponse()
            await response.prepare(request)
            await self.feed(request, response)
            return response
        if path.startswith(("/ordain/", "/ordain-status/")):
            return await self._serve_document(request, path.partition("/")[2].partition("/")[2])
        if path not in ("/ordain", "/ordain-status"):
            return web.json_response({"error": "not_found", "reason": "Database does not exist."}, status=404)
        return web.json_response({"db_name": "ordain", "update_seq": self.sequence, "purge_seq": 0})

    async def _refuse_login(self, request: web.Request) -> web.Response | None:
        """Return the answer to a wrong password, and to every password once the user is locked."""
        if not self.password:
            return None
        if self.failures >= MAX_FAILURES:
            return web.json_response({"error": "forbidden", "reason": LOCKED}, status=403)
        if (await request.json())["password"] == self.password:
            return None
        self.failures += 1
        return web.json_response({"error": "unauthorized", "reason": "Name or password is incorrect."}, status=401)

    async def _serve_document(self, request: web.Request, key: str) -> web.Response:
        """Answer for one document; a write with less than a quorum is 202 (CouchDB, cluster/sharding.html)."""
        if request.method == "PUT":
            self.put(key, (await request.json())["text"])
            return web.json_response(
                {"ok": True, "id": key, "rev": self.revs[key]}, status=201 if self.has_quorum else 202
            )
        return web.json_response({"error": "not_found", "reason": "missing"}, status=404)

    def _row(self, key: str) -> dict[str, Any]:
        """Return the row of a key that was asked for (CouchDB, api/database/bulk-api.html, `_all_docs` by POST)."""
        if key not in self.revs:
            return {"key": key, "error": "not_found"}
        deleted = {} if key in self.documents else {"deleted": True}
        return {"id": key, "key": key, "value": {"rev": self.revs[key], **deleted}, "doc": None}

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
