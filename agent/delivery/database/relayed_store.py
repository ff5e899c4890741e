"""The store of a machine behind a relay: a `Database` of which the relay allows what a machine may do.

Reads come from the last good copy of the relay, which may be older than the store: signed releases say how old they
are. Slots of rollouts are read and written in the store itself. A relay that is cut off from the store is replaced by
the next one, as one that does not answer; if all of them are cut off, what they have is used, and that is a fault of
each (`ask_replaced_servers`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ordain.agent.delivery.database import relay_wire
from ordain.agent.delivery.database.database import Conflict, Listing, StoredEntry, Unchanged, Write
from ordain.agent.delivery.database.http_transport import HttpTransport, Request, Response, require_success
from ordain.agent.delivery.database.json_answers import malformed_as_source_error, parse_json_object, require_object
from ordain.agent.delivery.protocol import SourceError, SourceFault, StoreAway
from ordain.agent.errors import OrdainError
from ordain.transforms.decimal_numbers import is_decimal

Sign = Callable[[str, dict[str, object]], dict[str, object]]
"""Returns data as a statement of the machine for a place, as `identity.machine_key.PrivateKey.sign` does."""
GRACE_SEC = 10.0
"""The time beyond `relay_wire.WAIT_SEC` that a relay may take for a watch."""
PAUSE_SEC = 1.0
"""The shortest pause between two questions of a watch, whatever the relay does."""
_MOST_NAME = 100
_MOST_SETTLE_SEC = 60.0
"""A relay that says more would have a machine wait for its slot without end."""


class RelayedStore:
    """The store behind the relays of ``transport``; see `Database`. ``sign`` makes proofs of the machine, if it can."""

    type = "relay"

    def __init__(self, transport: HttpTransport, sign: Sign | None = None) -> None:
        self.location = ", ".join(transport.access.endpoints)
        self.settle_sec = 0.0
        self.compares_ranges = False
        self.relay = ""
        """The name of the relay that answered last."""
        self._transport = transport
        self._sign = sign
        self._away: dict[str, SourceError] = {}

    async def list(self, *prefixes: str) -> Listing:
        """See `Database.list`; only slots are never older than the store."""
        response = await self._read("list", {"prefixes": list(prefixes)})
        with malformed_as_source_error(response.endpoint):
            value = require_object(response.value, response.endpoint)
            self.settle_sec, self.compares_ranges = _settle_sec(value["settle_sec"]), value["compares_ranges"] is True
            return relay_wire.listing_of(value)

    async def get(self, key: str) -> StoredEntry | None:
        """See `Database.get`."""
        body: dict[str, Any] = {"key": key}
        if key.startswith(relay_wire.PROVEN):
            body["proof"] = self._proof(relay_wire.GET + key, {})
        response = await self._read("get", body)
        with malformed_as_source_error(response.endpoint):
            entry = require_object(response.value, response.endpoint)["entry"]
            return None if entry is None else relay_wire.entry_of(entry)

    async def history(self, key: str, most: int, *, latest: str = "") -> tuple[StoredEntry, ...]:
        """See `Database.history`: a relay keeps none."""
        return ()

    async def write(self, writes: Iterable[Write]) -> None:
        """Raise `SourceError`: machines write single entries only."""
        message = f"{self.location}: documents, releases and records are not written through a relay"
        raise SourceError(message, code=SourceFault.FORBIDDEN, hint="name the store itself: --store URL")

    async def put(
        self, key: str, data: bytes, *, expect: str | None, ttl_sec: int = 0, provided: Unchanged | None = None
    ) -> str:
        """See `Database.put`. The order of reports is that of their sequences, and ``expect`` does not matter."""
        body = {
            "key": key,
            "data": relay_wire.entry_json(StoredEntry(key=key, data=data, version=""))["data"],
            "expect": expect,
            "ttl": ttl_sec,
            "provided": relay_wire.provided_json(provided),
        }
        is_repeatable = key.startswith(relay_wire.PROVEN)
        response = await self._call("put", body, repeatable=is_repeatable)
        with malformed_as_source_error(response.endpoint):
            return str(require_object(response.value, response.endpoint)["version"])

    async def delete(self, key: str, *, expect: str) -> None:
        """See `Database.delete`; the machine proves that it asks for this version to be removed."""
        proof = self._proof(relay_wire.DELETE + key, {"expect": expect})
        await self._call("delete", {"key": key, "expect": expect, "proof": proof}, repeatable=False)

    async def watch(self, prefixes: tuple[str, ...], revision: str) -> AsyncGenerator[None, None]:
        """See `Database.watch`: the relay answers when the entries are others, or after `relay_wire.WAIT_SEC`."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            response = await self._call(
                "watch",
                {"prefixes": list(prefixes), "revision": revision},
                silence_sec=relay_wire.WAIT_SEC + GRACE_SEC,
            )
            if fault := self._away.get(response.endpoint):
                self._transport.leave(response.endpoint, fault)
            with malformed_as_source_error(response.endpoint):
                now = str(require_object(response.value, response.endpoint)["revision"])
            if now != revision:
                revision = now
                yield
            await asyncio.sleep(max(0.0, PAUSE_SEC - (loop.time() - began)))

    async def ask_replaced_servers(self) -> Mapping[str, SourceError]:
        """See `Database.ask_replaced_servers`; relays that are cut off have a fault as well, even if all are."""
        left = dict(await self._transport.ask_replaced())
        for endpoint in [*self._away]:
            transport = HttpTransport(replace(self._transport.access, endpoints=(endpoint,)))
            try:
                self._note(await transport.send(_request("list", {"prefixes": []})))
            except SourceError as error:
                self._away[endpoint] = error
            finally:
                await transport.close()
        return {**left, **self._away}

    async def close(self) -> None:
        """See `Database.close`."""
        await self._transport.close()

    def _proof(self, place: str, data: dict[str, object]) -> dict[str, object] | None:
        return self._sign(place, data) if self._sign else None

    async def _read(self, what: str, body: relay_wire.Json) -> Response:
        """Return the answer of a relay that has its store, or else of the first one that answers."""
        first: Response | None = None
        for _ in self._transport.access.endpoints:
            response = await self._call(what, body)
            if not (fault := self._away.get(response.endpoint)):
                return response
            first = first or response
            self._transport.leave(response.endpoint, fault)
        assert first is not None
        return first

    async def _call(
        self, what: str, body: relay_wire.Json, *, repeatable: bool = True, silence_sec: float = 0.0
    ) -> Response:
        request = _request(what, body, repeatable=repeatable)
        if silence_sec:
            request = replace(request, silence_sec=silence_sec)
        response = await self._transport.send(request)
        self._note(response)
        if response.status == 200:
            return response
        raise _refusal(response)

    def _note(self, response: Response) -> None:
        """Remember the name of the relay, and whether it is cut off from its store."""
        name = response.headers.get(relay_wire.NAME.lower(), "")
        self.relay = name[:_MOST_NAME] if name.isprintable() else ""
        away = response.headers.get(relay_wire.AWAY.lower(), "")
        if is_decimal(away):
            message = f"{response.endpoint}: the store of this relay has not answered for {away[:9]} s"
            hint = "its last good copy is used; look at its log, and at the store"
            self._away[response.endpoint] = SourceError(message, code=SourceFault.UNREACHABLE, hint=hint)
        else:
            self._away.pop(response.endpoint, None)


def _request(what: str, body: relay_wire.Json, *, repeatable: bool = True) -> Request:
    return Request(
        method="POST",
        path=f"{relay_wire.PREFIX}/{what}",
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        repeatable=repeatable,
        json=True,
    )


def _settle_sec(value: Any) -> float:
    if not 0 <= float(value) <= _MOST_SETTLE_SEC:  # also false for NaN
        raise ValueError(f"settle_sec is not a number up to {_MOST_SETTLE_SEC:.0f}")
    return float(value)


def _shown(value: object) -> str:
    """Return a text of a relay in one line, which is logged."""
    return "".join(character if character.isprintable() else "?" for character in str(value)[:500])


def _refusal(response: Response) -> OrdainError:
    """Return the error that an answer with another status than 200 stands for."""
    try:
        value = parse_json_object(response.body, response.endpoint)
    except SourceError:
        value = {}
    if response.status == 409 and isinstance(key := value.get("conflict"), str):
        return Conflict(_shown(key))
    code, reason, hint = (_shown(value.get(name, "")) for name in ("code", "reason", "hint"))
    if code not in {str(fault) for fault in SourceFault} or not reason:
        try:
            require_success(response)
        except SourceError as error:
            return error
        return SourceError(f"{response.endpoint}: the answer is not a relay's", code=SourceFault.NOT_DOCUMENTS)
    kind = StoreAway if response.headers.get(relay_wire.AWAY.lower()) else SourceError
    retry = response.headers.get("retry-after", "")
    return kind(
        f"{response.endpoint}: {reason}",
        code=SourceFault(code),
        hint=hint,
        retry_after_sec=float(retry[:6]) if is_decimal(retry) else 0.0,
    )
