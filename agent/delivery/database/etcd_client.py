"""Requests to etcd's JSON gateway: tokens, the errors of all versions, and the check of a server's version."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ordain.agent.delivery.database.etcd_wire import Json
from ordain.agent.delivery.database.http_transport import (
    MAX_REASON,
    HttpTransport,
    LineStream,
    Request,
    Response,
    require_success,
)
from ordain.agent.delivery.database.json_answers import parse_json_object, require_object
from ordain.agent.delivery.database.login import Login, wrong_password
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.errors import StoreError
from ordain.transforms.lazy_patterns import lazy_pattern

OLDEST = (3, 4)
"""The first version with the gateway below /v3."""
_VERSION = lazy_pattern(r"([0-9]{1,4})\.([0-9]{1,4})(?![0-9])")
_REPORT_NO_LEADER = {"Grpc-Metadata-hasleader": "true"}
"""Without this header, a member that has no leader keeps a watch open and stays silent."""
_STREAM_FOREVER_SEC = 86_400.0
"""A watch may be silent for this long: the regular check of the content finds a dead one."""
RENEWALS = 6
"""The most new tokens for one request. Each change of a user or role makes the tokens before it old."""


class Compacted(StoreError):
    """The store no longer has the revision that was asked for."""


class TokenRefused(StoreError):
    """The request has no token, or one that the server does not accept (any more)."""

    def __init__(self, failure: SourceError) -> None:
        self.failure = failure


class NotEnabled(StoreError):
    """The server has no users, so that it cannot authenticate one."""


class EtcdClient:
    """etcd behind an `HttpTransport`; ``answer_sec`` must be longer than the 7 s after which etcd misses a quorum."""

    def __init__(self, transport: HttpTransport, login: Login | None, *, answer_sec: float) -> None:
        self.transport = transport
        self._login = login
        self._answer_sec = answer_sec
        self._token = ""
        self._checked_servers: set[str] = set()

    async def call(self, path: str, body: Json, *, repeatable: bool = True) -> Json:
        """POST ``body`` to ``path`` (such as ``kv/txn``) and return the answer.

        Raises `SourceError`, `Compacted` and `NotEnabled`. A token that the server refuses is renewed, `RENEWALS` times
        at most: with each change of a user or role, etcd refuses the requests that are under way, and older tokens.
        """
        await self._require_supported_server()
        await self._authenticate()
        for _ in range(RENEWALS):
            try:
                return await self._post(path, body, repeatable)
            except TokenRefused as refused:
                await self._renew(refused.failure)
        try:
            return await self._post(path, body, repeatable)
        except TokenRefused as refused:
            raise refused.failure from None

    @asynccontextmanager
    async def watch(self, requests: Iterable[Json]) -> AsyncGenerator[LineStream, None]:
        """Yield the messages of one watch for each of ``requests``. Raises `SourceError`."""
        await self._require_supported_server()
        await self._authenticate()
        request = Request(
            method="POST",
            path="/v3/watch",
            body=pad_for_one_read(json.dumps({"create_request": request}).encode() + b"\n" for request in requests),
            headers={**self._headers(), **_REPORT_NO_LEADER},
            silence_sec=_STREAM_FOREVER_SEC,
        )
        async with self.transport.stream(request) as stream:
            if stream.response.status != 200:
                raise _refusal(stream.response)
            yield stream

    def forget_token(self) -> None:
        """Authenticate again before the next request."""
        self._token = ""

    async def _post(self, path: str, body: Json, repeatable: bool) -> Json:
        response = await self.transport.send(
            Request(
                method="POST",
                path=f"/v3/{path}",
                body=json.dumps(body).encode(),
                headers=self._headers(),
                silence_sec=self._answer_sec,
                repeatable=repeatable,
                json=True,
            )
        )
        if response.status != 200:
            raise _refusal(response)
        return require_object(response.value, response.endpoint)

    def _headers(self) -> Mapping[str, str]:
        return {"Content-Type": "application/json", **({"Authorization": self._token} if self._token else {})}

    async def _authenticate(self) -> None:
        """Get a token, if there is a login and no token yet. A server without users needs none."""
        if self._login is None or self._token:
            return
        body = {"name": self._login.user, "password": self._login.password()}
        try:
            self._token = _header_text((await self._post("auth/authenticate", body, True))["token"])
        except (KeyError, ValueError):
            message = f"{self.transport.endpoint}: the server gave no token"
            raise SourceError(message, code=SourceFault.UNAUTHORIZED) from None
        except TokenRefused as refused:
            raise refused.failure from None
        except NotEnabled:
            pass

    async def _renew(self, failure: SourceError) -> None:
        if self._login is None:
            raise failure
        self._token = ""
        await self._authenticate()

    async def _require_supported_server(self) -> None:
        """Raise `SourceError` unless the current server is etcd of a version that we support; ask each server once."""
        if self.transport.endpoint in self._checked_servers:
            return
        request = Request(path="/version", silence_sec=self._answer_sec, json=True)
        response = require_success(await self.transport.send(request))
        version = str(require_object(response.value, response.endpoint).get("etcdserver", ""))
        numbers = _VERSION.match(version)
        if numbers is None:
            message = f"{response.endpoint}: the server is not etcd"
            raise SourceError(message, code=SourceFault.NOT_DOCUMENTS, hint="check the address")
        if (int(numbers[1]), int(numbers[2])) < OLDEST:
            message = f"{response.endpoint}: etcd {numbers[0]} is too old"
            raise SourceError(message, code=SourceFault.NOT_DOCUMENTS, hint="use etcd 3.4 or later")
        self._checked_servers.add(response.endpoint)


def _header_text(value: object) -> str:
    """Return a text that can be the value of a header. Raises ValueError."""
    if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
        raise ValueError
    return value


def pad_for_one_read(requests: Iterable[bytes]) -> bytes:
    """Return the requests as one body, with blanks in front, so that the gateway reads all of it at once.

    The gateway answers the first request before it reads on, and Go's net/http reads no more of a body once there is
    an answer: the rest is lost, without an error. Its decoder (encoding/json, Decoder.refill) keeps the bytes that it
    has not decoded, and reads as much as its buffer has room for: up to 512 bytes, 1,536, 3,584 and so on.
    """
    body = b"".join(requests)
    room, size = 512, 512
    while room <= len(body):
        room *= 2
        size += room
    return b" " * (size - len(body)) + body


@dataclass(frozen=True, slots=True, kw_only=True)
class _RefusalRule:
    """An exception, and the refusals that it is for: by HTTP status, by gRPC code, or by words of the message."""

    error: Callable[[str], Exception]
    status: int = -1
    code: int = -1
    words: str = ""

    def matches(self, status: int, code: object, reason: str) -> bool:
        """Return whether one of the three matches."""
        return status == self.status or code == self.code or (self.words != "" and self.words in reason)


def _fault(code: SourceFault, hint: str = "") -> Callable[[str], SourceError]:
    return lambda message: SourceError(message, code=code, hint=hint)


def _token_refused(hint: str = "") -> Callable[[str], TokenRefused]:
    return lambda message: TokenRefused(SourceError(message, code=SourceFault.UNAUTHORIZED, hint=hint))


_REFUSAL_RULES = (
    _RefusalRule(words="user name is empty", error=_token_refused("set `user` and `credential` of the source")),
    _RefusalRule(status=401, code=16, error=_token_refused()),
    # Users or roles were changed while the request was under way (etcd, server/etcdserver/apply_auth.go).
    _RefusalRule(words="revision of auth store is old", error=_token_refused()),
    _RefusalRule(words="authentication is not enabled", error=NotEnabled),
    _RefusalRule(words="authentication failed", error=wrong_password),
    _RefusalRule(
        status=403,
        code=7,
        words="permission denied",
        error=_fault(SourceFault.FORBIDDEN, "grant the keys below the prefix to the role of the user"),
    ),
    _RefusalRule(words="has been compacted", error=Compacted),
    _RefusalRule(
        words="database space exceeded",
        error=_fault(SourceFault.FULL, "compact and defragment etcd, then run `etcdctl alarm disarm`"),
    ),
    _RefusalRule(status=429, code=8, error=_fault(SourceFault.THROTTLED)),
    _RefusalRule(
        words="too large",
        error=_fault(SourceFault.TOO_LARGE, "--max-request-bytes of etcd limits it (1.5 MiB by default)"),
    ),
)
"""The first rule that matches decides. Words decide only where status and code mean several things."""


def refusal_error(response: Response, error: Json) -> Exception:
    """Return the exception for an ``error`` of the gateway, which can arrive in a response with status 200."""
    reason = str(error.get("message") or error.get("error") or "")[:MAX_REASON]
    code = error.get("code", error.get("grpc_code"))
    message = f"{response.endpoint}: {reason or f'the server answers {response.status}'}"
    for rule in _REFUSAL_RULES:
        if rule.matches(response.status, code, reason):
            return rule.error(message)
    if not reason:
        try:
            require_success(response)
        except SourceError as failure:
            return failure
    return SourceError(message, code=SourceFault.UNREACHABLE)


def _refusal(response: Response) -> Exception:
    """Return the exception for a response that is not a success."""
    error: Json = {}
    if response.headers.get("content-type", "").startswith("application/json"):
        error = parse_json_object(response.body, response.endpoint)
    return refusal_error(response, error)
