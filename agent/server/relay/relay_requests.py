"""The requests of machines to a relay, over HTTP: bounded bodies, and answers as `relay_wire` describes them.

body ─read, within bounds▶ JSON ─handler▶ `Relay` ─▶ JSON, or a refusal with a status of HTTP
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from aiohttp import web

from ordain.agent.delivery.database import relay_wire
from ordain.agent.delivery.database.database import Conflict
from ordain.agent.delivery.database.relay_wire import Json
from ordain.agent.delivery.protocol import SourceError, SourceFault, StoreAway
from ordain.agent.server.relay.accepted_writes import MAX_REPORT
from ordain.agent.server.relay.relay import READ, Relay

log = logging.getLogger(__name__)
SMALL_BODY = 128 << 10
MAX_BODY = MAX_REPORT * 4 // 3 + (8 << 10)
LARGE_BODIES = 8
"""The bodies above `SMALL_BODY` that are read at a time: the others are asked to come again."""
BODY_SEC, LARGE_BODY_SEC = 10.0, 60.0
LARGE_ANSWER = 1 << 20
LARGE_ANSWERS = 8
"""The listings above `LARGE_ANSWER` that are made and sent at a time, one for each address; others wait."""
TURN_SEC, LARGE_ANSWER_SEC = 20.0, 60.0
"""The longest wait for a turn, and the time to take a large answer."""
CHUNK = 64 << 10
RETRY_SEC = 5
MOST_PREFIXES = 1000
_STATUS = {
    SourceFault.FORBIDDEN: 403,
    SourceFault.TOO_LARGE: 413,
    SourceFault.THROTTLED: 429,
    SourceFault.NOT_DOCUMENTS: 400,
}
"""The status of a refusal; that of any other fault is 503, with which a machine asks the next relay."""

_WAIT_HINT = "nothing to do: the machine asks again"

Handler = Callable[[Json], Awaitable[Json]]


class _BadRequest(SourceError):
    """A request that no version of Ordain sends to a relay of the same version."""

    def __init__(self, what: str) -> None:
        hint = "this version of Ordain, or that of the relay, is too old"
        super().__init__(what, code=SourceFault.NOT_DOCUMENTS, hint=hint)


class RelayRequests:
    """The requests to ``relay``."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._large = asyncio.Semaphore(LARGE_BODIES)
        self._answers = asyncio.Semaphore(LARGE_ANSWERS)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._ended = False

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add all requests to the routes of a server."""
        handlers: Mapping[str, Handler] = {
            "list": self._list,
            "get": self._get,
            "watch": self._watch,
            "put": self._put,
            "delete": self._delete,
        }
        for name, handler in handlers.items():
            router.add_post(f"{relay_wire.PREFIX}/{name}", self._answered(name, handler))

    def end(self) -> None:
        """Answer all watches, because the server ends."""
        self._ended = True
        self._relay.changed.set()

    def _answered(self, name: str, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            began = time.monotonic()
            headers = {relay_wire.NAME: self._relay.name, "Cache-Control": "no-store"}
            status, key = 200, ""
            value: Json = {}
            try:
                async with self._body(request) as body:
                    key = str(body.get("key", ""))[:100]
                    if name == "list" and self._is_large(body):
                        async with self._turn(request.remote or ""):
                            text = json.dumps(await _checked(handler, body))
                            return await _send_large(request, text, {**headers, **self._away()})
                    value = await _checked(handler, body)
            except Conflict as conflict:
                status, value = 409, {"conflict": conflict.key}
            except SourceError as error:
                status = _STATUS.get(error.code, 503)
                value = {"code": error.code, "reason": str(error), "hint": error.hint}
                if status in (429, 503):
                    headers["Retry-After"] = str(RETRY_SEC)
                if isinstance(error, StoreAway):
                    headers[relay_wire.AWAY] = "0"
            headers |= self._away()
            if name in ("put", "delete") or status != 200:
                reason = value.get("reason", "")
                log.info("%s %s %a %d %.3f %a", request.remote, name, key, status, time.monotonic() - began, reason)
            return web.json_response(value, status=status, headers=headers)

        return answer

    def _away(self) -> Mapping[str, str]:
        """Return the header of a relay that is cut off from its store."""
        away_sec = self._relay.away_sec
        return {} if away_sec is None else {relay_wire.AWAY: str(away_sec)}

    @contextlib.asynccontextmanager
    async def _body(self, request: web.Request) -> AsyncIterator[Json]:
        """Yield the JSON object in a request; large ones are few at a time. Raises `SourceError`."""
        length = request.content_length
        if length is None:
            raise _BadRequest("the request has no Content-Length")
        if length > MAX_BODY:
            raise SourceError(f"the body has more than {MAX_BODY:,} bytes", code=SourceFault.TOO_LARGE)
        if length <= SMALL_BODY:
            yield await _read(request, length, BODY_SEC)
            return
        if self._large.locked():
            raise SourceError("too many large reports at a time", code=SourceFault.THROTTLED, hint=_WAIT_HINT)
        async with self._large:
            yield await _read(request, length, LARGE_BODY_SEC)

    def _is_large(self, body: Json) -> bool:
        """Return whether the answer to a listing of the copy takes much memory."""
        try:
            prefixes = _prefixes(body)
        except (LookupError, TypeError, ValueError):
            return False  # it is refused
        if self._relay.copy is None or not all(prefix.startswith(READ) for prefix in prefixes):
            return False
        return sum(len(entry.data) for entry in self._relay.copy.list(prefixes).entries) > LARGE_ANSWER

    @contextlib.asynccontextmanager
    async def _turn(self, address: str) -> AsyncIterator[None]:
        """Wait for the turn of a large answer: who takes it slowly holds up its own address. Raises `SourceError`."""
        own = self._turns.setdefault(address, asyncio.Lock())
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(TURN_SEC):
                    await stack.enter_async_context(own)
                    await stack.enter_async_context(self._answers)
            except TimeoutError:
                message = "too many large listings at a time"
                raise SourceError(message, code=SourceFault.THROTTLED, hint=_WAIT_HINT) from None
            yield

    # -- handlers ----------------------------------------------------------------------------------------------------

    async def _list(self, body: Json) -> Json:
        listing = await self._relay.list(_prefixes(body))
        copy = self._relay.require_copy()
        return {
            **relay_wire.listing_json(listing),
            "settle_sec": copy.settle_sec,
            "compares_ranges": copy.compares_ranges,
        }

    async def _get(self, body: Json) -> Json:
        entry = await self._relay.get(_key(body), body.get("proof"))
        return {"entry": relay_wire.entry_json(entry) if entry else None}

    async def _watch(self, body: Json) -> Json:
        prefixes, revision = _prefixes(body), body["revision"]
        if not all(prefix.startswith(READ) for prefix in prefixes):
            raise SourceError("machines do not watch these keys through a relay", code=SourceFault.FORBIDDEN)
        now = (await self._relay.list(prefixes)).revision
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(relay_wire.WAIT_SEC):
                while now == revision and not self._ended:
                    await self._relay.changed.wait()
                    now = (await self._relay.list(prefixes)).revision
        return {"revision": now}

    async def _put(self, body: Json) -> Json:
        ttl = body["ttl"]
        if not isinstance(ttl, int):
            raise TypeError("ttl is not a number")
        version = await self._relay.put(
            _key(body),
            relay_wire.data_of(body["data"]),
            expect=body["expect"] if body["expect"] is None else str(body["expect"]),
            ttl_sec=ttl,
            provided=relay_wire.provided_of(body["provided"]),
        )
        return {"version": version}

    async def _delete(self, body: Json) -> Json:
        await self._relay.delete(_key(body), str(body["expect"]), body.get("proof"))
        return {}


async def _send_large(request: web.Request, text: str, headers: Mapping[str, str]) -> web.StreamResponse:
    """Send an answer in parts, each after the client has taken those before; cut off who takes it too slowly."""
    data = text.encode()
    response = web.StreamResponse(headers={**headers, "Content-Length": str(len(data))})
    response.content_type = "application/json"
    try:
        async with asyncio.timeout(LARGE_ANSWER_SEC):
            await response.prepare(request)
            for at in range(0, len(data), CHUNK):
                await response.write(data[at : at + CHUNK])
            await response.write_eof()
    except TimeoutError:
        log.warning("%s takes a listing too slowly; its connection is closed", request.remote)
        if request.transport is not None:
            request.transport.abort()
    return response


async def _read(request: web.Request, length: int, longest_sec: float) -> Json:
    try:
        async with asyncio.timeout(longest_sec):
            data = await request.content.readexactly(length)
        body = json.loads(data)
    except (TimeoutError, asyncio.IncompleteReadError):
        message = f"the body did not arrive within {longest_sec:.0f} seconds"
        hint = "check the network between the machine and the relay"
        raise SourceError(message, code=SourceFault.NOT_DOCUMENTS, hint=hint) from None
    except (ValueError, RecursionError):
        raise _BadRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise _BadRequest("the body is not a JSON object")
    return body


async def _checked(handler: Handler, body: Json) -> Json:
    """Return the answer of a handler. Raises `SourceError`, also for a body of another shape."""
    try:
        return await handler(body)
    except (LookupError, TypeError, ValueError) as error:
        raise _BadRequest(f"the request cannot be read: {type(error).__name__}: {error}"[:300]) from None


def _prefixes(body: Json) -> tuple[str, ...]:
    """Return the prefixes in a request, without those that another one covers: each is looked up by itself."""
    prefixes = relay_wire.texts_of(body["prefixes"])
    if len(prefixes) > MOST_PREFIXES or not all(prefix.isprintable() for prefix in prefixes):
        raise ValueError("too many prefixes, or one that is not printable")
    kept: list[str] = []
    for prefix in sorted(prefixes):  # a prefix comes right before those that it covers
        if not kept or not prefix.startswith(kept[-1]):
            kept.append(prefix)
    return tuple(kept)


def _key(body: Json) -> str:
    key: Any = body["key"]
    if not isinstance(key, str) or not key.isprintable() or len(key) > 1000:
        raise TypeError("the key is not a text")
    return key
