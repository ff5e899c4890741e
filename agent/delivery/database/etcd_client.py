"""Calls of etcd's JSON gateway: a token, the errors of every version, and servers that differ."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ordain.agent.delivery.database.etcd_wire import Json
from ordain.agent.delivery.database.http_transport import HttpTransport, LineStream, Response, require_success
from ordain.agent.delivery.database.login import LOCKOUT_SEC, Login
from ordain.agent.delivery.protocol import SourceError, SourceFault
from ordain.agent.errors import StoreError

OLDEST = (3, 4)
"""Its gateway is the first below /v3."""
_NO_LEADER = {"Grpc-Metadata-hasleader": "true"}
"""A member without a leader answers watches with silence unless asked to say so."""


class Compacted(StoreError):
    """The revision asked for is no more."""


class TokenRefused(StoreError):
    """There is no token, or the server does not know it (any more)."""

    def __init__(self, failure: SourceError) -> None:
        self.failure = failure


class EtcdClient:
    """etcd behind a `HttpTransport`; ``answer_sec`` must be longer than the 7 s it takes to miss a quorum."""

    def __init__(self, transport: HttpTransport, login: Login | None, *, answer_sec: float) -> None:
        self.transport = transport
        self._login = login
        self._answer_sec = answer_sec
        self._token = ""
        self._known: set[str] = set()

    async def call(self, path: str, body: Json, *, repeatable: bool = True) -> Json:
        """POST to ``path`` (``kv/txn``). Raises `SourceError`, and `Compacted`.

        A token that is refused is renewed once.
        """
        await self._gate()
        await self._authenticate()
        try:
            return await self._post(path, body, repeatable)
        except TokenRefused as refused:
            await self._renew(refused.failure)
        try:
            return await self._post(path, body, repeatable)
        except TokenRefused as refused:
            raise refused.failure from None

    @asynccontextmanager
    async def watch(self, requests: Iterable[Json], *, idle_sec: float) -> AsyncGenerator[LineStream, None]:
        """A stream of watches, one for each of ``requests``. Raises `SourceError`."""
        await self._gate()
        await self._authenticate()
        body = taken_at_once(json.dumps({"create_request": request}).encode() + b"\n" for request in requests)
        headers = {**self._headers(), **_NO_LEADER}
        async with self.transport.stream("POST", "/v3/watch", body=body, headers=headers, idle_sec=idle_sec) as stream:
            if stream.answer.status != 200:
                self._refuse(stream.answer)
            yield stream

    def forget_token(self) -> None:
        """Authenticate anew before the next call."""
        self._token = ""

    async def _post(self, path: str, body: Json, repeatable: bool) -> Json:
        answer = await self.transport.request(
            "POST",
            f"/v3/{path}",
            body=json.dumps(body).encode(),
            headers=self._headers(),
            answer_sec=self._answer_sec,
            repeatable=repeatable,
        )
        if answer.status != 200:
            self._refuse(answer)
        return parsed(require_success(answer).body, answer.endpoint)

    def _refuse(self, answer: Response) -> None:
        """Raises what an answer that is none stands for; 3.6 has no ``error`` beside ``message``."""
        error = {}
        if answer.headers.get("content-type", "").startswith("application/json"):
            error = parsed(answer.body, answer.endpoint)
        raise refusal(answer, error)

    def _headers(self) -> Mapping[str, str]:
        return {"Content-Type": "application/json", **({"Authorization": self._token} if self._token else {})}

    async def _authenticate(self) -> None:
        if self._login is None or self._token:
            return
        body = {"name": self._login.user, "password": self._login.password()}
        try:
            self._token = str((await self._post("auth/authenticate", body, True))["token"])
        except KeyError:
            raise SourceError(f"{self.transport.endpoint}: gave no token", code=SourceFault.UNAUTHORIZED) from None
        except TokenRefused as refused:
            raise refused.failure from None
        except NotEnabled:
            pass

    async def _renew(self, failure: SourceError) -> None:
        if self._login is None:
            raise failure
        self._token = ""
        await self._authenticate()

    async def _gate(self) -> None:
        """Learn of a server that was not asked before whether it is one for us."""
        if self.transport.endpoint in self._known:
            return
        answer = require_success(await self.transport.request("GET", "/version", answer_sec=self._answer_sec))
        version = str(parsed(answer.body, answer.endpoint).get("etcdserver", ""))
        numbers = version.split(".")
        if len(numbers) < 2 or not all(n.isdigit() for n in numbers[:2]):
            raise SourceError(
                f"{answer.endpoint}: is no etcd", code=SourceFault.NOT_DOCUMENTS, hint="is the address right?"
            )
        if (int(numbers[0]), int(numbers[1])) < OLDEST:
            what = f"{answer.endpoint}: etcd {version} is too old"
            raise SourceError(what, code=SourceFault.NOT_DOCUMENTS, hint="3.4 or later")
        self._known.add(answer.endpoint)


def taken_at_once(requests: Iterable[bytes]) -> bytes:
    """The requests as one body, with blanks in front, of which the gateway has read all once it has read one request.

    It answers the first before it reads on, and Go's net/http reads no more of a body once there is an answer: what was
    not read yet is lost, and nobody says so. Its decoder (encoding/json, Decoder.refill) keeps what it has not
    understood, and reads as much as its buffer has room for: up to 512 bytes, 1,536, 3,584 and so on.
    """
    body = b"".join(requests)
    room, size = 512, 512
    while room <= len(body):
        room *= 2
        size += room
    return b" " * (size - len(body)) + body


class NotEnabled(StoreError):
    """The server has no users: a user is no use."""


def parsed(body: bytes, endpoint: str) -> dict[str, Any]:
    """A JSON object. Raises `SourceError`."""
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SourceError(f"{endpoint}: answers something else than JSON", code=SourceFault.NOT_DOCUMENTS)
    return found


def refusal(answer: Response, error: Json) -> Exception:
    """What an error of the gateway stands for, by status and code; texts decide only where these say too little."""
    message = str(error.get("message") or error.get("error") or "")
    code = error.get("code", error.get("grpc_code"))
    what = f"{answer.endpoint}: {message or f'answers {answer.status}'}"
    if answer.status == 401 or code == 16 or "user name is empty" in message:
        hint = "" if "empty" not in message else "name a `user` and a `credential`"
        return TokenRefused(SourceError(what, code=SourceFault.UNAUTHORIZED, hint=hint))
    if "authentication is not enabled" in message:
        return NotEnabled(what)
    if "authentication failed" in message:
        hint = "is the password that of the user?"
        return SourceError(what, code=SourceFault.UNAUTHORIZED, hint=hint, retry_after_sec=LOCKOUT_SEC)
    if answer.status == 403 or code == 7 or "permission denied" in message:
        return SourceError(what, code=SourceFault.FORBIDDEN, hint="grant the user's role the keys below the prefix")
    if "has been compacted" in message:
        return Compacted(message)
    if code == 8 and "space" in message:
        return SourceError(what, code=SourceFault.FULL, hint="compact, defragment, then `etcdctl alarm disarm`")
    if answer.status == 429 or code == 8:
        return SourceError(what, code=SourceFault.THROTTLED)
    if "too large" in message:
        return SourceError(what, code=SourceFault.TOO_LARGE, hint="--max-request-bytes of etcd, 1.5 MiB unless set")
    if not message:
        try:
            require_success(answer)
        except SourceError as failure:
            return failure
    return SourceError(what, code=SourceFault.UNREACHABLE)
