"""Calls of CouchDB: a session where it has them, the password itself where not, and errors by their status."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from http.cookies import CookieError, SimpleCookie
from typing import Any

from ordain.agent.delivery.database.http_transport import HttpTransport, LineStream, Response, require_success
from ordain.agent.delivery.database.login import LOCKOUT_SEC, Login
from ordain.agent.delivery.protocol import SourceError, SourceFault

COOKIE = "AuthSession"


class CouchClient:
    """CouchDB behind a `HttpTransport`."""

    def __init__(self, transport: HttpTransport, login: Login | None, *, answer_sec: float) -> None:
        self.transport = transport
        self._login = login
        self._answer_sec = answer_sec
        self._authorization: dict[str, str] = {}

    async def get(self, path: str) -> Any:
        """A JSON answer. Raises `SourceError`; 404 has the code ``SourceEmpty``."""
        return _parsed(require_success(await self.ask("GET", path)))

    async def post(self, path: str, body: object) -> Any:
        """The answer to a question with a body; nothing is written."""
        return _parsed(require_success(await self.ask("POST", path, body)))

    async def ask(self, method: str, path: str, body: object = None, *, repeatable: bool = True) -> Response:
        """One request. A session that ended is renewed once. Raises `SourceError`; an answer may have any status."""
        await self._authenticate()
        answer = await self._send(method, path, body, repeatable=repeatable)
        if answer.status == 401 and self._authorization.pop("Cookie", ""):
            await self._authenticate()
            answer = await self._send(method, path, body, repeatable=repeatable)
        if answer.status == 401:
            self._authorization.clear()
        return self._with_renewed_cookie(answer)

    @asynccontextmanager
    async def stream(self, path: str, *, idle_sec: float) -> AsyncGenerator[LineStream, None]:
        """A feed."""
        await self._authenticate()
        async with self.transport.stream("GET", path, headers=self._authorization, idle_sec=idle_sec) as stream:
            if stream.answer.status == 401:
                self._authorization.clear()
            require_success(stream.answer)
            yield stream

    async def _send(self, method: str, path: str, body: object, *, repeatable: bool = True) -> Response:
        return await self.transport.request(
            method,
            path,
            body=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Accept": "application/json", **self._authorization},
            answer_sec=self._answer_sec,
            repeatable=repeatable,
        )

    async def _authenticate(self) -> None:
        """Open a session: the server checks a password slowly, on purpose, and a session quickly."""
        if self._login is None or self._authorization:
            return
        name, password = self._login.user, self._login.password()
        answer = await self._send("POST", "/_session", {"name": name, "password": password})
        if answer.status in (404, 405):
            pair = base64.b64encode(f"{name}:{password}".encode()).decode()
            self._authorization = {"Authorization": f"Basic {pair}"}
        elif answer.status in (400, 401, 403):
            what = f"{answer.endpoint}: does not let {name} in"
            hint = "is the password that of the user?"
            raise SourceError(what, code=SourceFault.UNAUTHORIZED, hint=hint, retry_after_sec=LOCKOUT_SEC)
        else:
            self._with_renewed_cookie(require_success(answer))
            if not self._authorization:
                raise SourceError(f"{answer.endpoint}: opened no session", code=SourceFault.UNAUTHORIZED)

    def _with_renewed_cookie(self, answer: Response) -> Response:
        """``answer``; a session is prolonged by a new cookie before the old one ends."""
        try:
            cookie = SimpleCookie(answer.headers.get("set-cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        if cookie is not None and cookie.value and self._login is not None:
            self._authorization = {"Cookie": f"{COOKIE}={cookie.value}"}
        return answer


def _parsed(answer: Response) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        what = f"{answer.endpoint}: answers something else than JSON"
        raise SourceError(what, code=SourceFault.NOT_DOCUMENTS) from None


def row(line: bytes, endpoint: str) -> Mapping[str, Any]:
    """A line of a feed."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SourceError(f"{endpoint}: a feed that is none of CouchDB's", code=SourceFault.NOT_DOCUMENTS)
    return found
