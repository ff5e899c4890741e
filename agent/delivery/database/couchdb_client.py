"""Requests to CouchDB: authentication by a session, or by the password where there are no sessions."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import unquote

from ordain.agent.delivery.database.http_transport import (
    HttpTransport,
    LineStream,
    Request,
    Response,
    require_success,
    server_reason,
)
from ordain.agent.delivery.database.login import LOCKOUT_SEC, Login, wrong_password
from ordain.agent.delivery.protocol import SourceError, SourceFault

COOKIE = "AuthSession"
_JSON = {"Content-Type": "application/json", "Accept": "application/json"}


LOCKED_HINT = "wait until the server unlocks the user (CouchDB: 5 minutes), and check the password in the credential"
_NO_DATABASE = ("Database does not exist.", "no_db_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """A login that the server refused; ``password`` is None if the user is locked, whatever the password is."""

    password: str | None
    error: SourceError
    at: float


class CouchClient:
    """CouchDB behind an `HttpTransport`."""

    def __init__(
        self,
        transport: HttpTransport,
        login: Login | None,
        *,
        answer_sec: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.transport = transport
        self._login = login
        self._answer_sec = answer_sec
        self._authorization: dict[str, str] = {}
        self._clock = clock
        self._refused: _Refusal | None = None

    async def get(self, path: str) -> Any:
        """Return the JSON at ``path``. Raises `SourceError`; for status 404 its code is ``SourceEmpty``."""
        return _value(await self.ask("GET", path))

    async def post(self, path: str, body: object) -> Any:
        """Return the JSON answer to a query in ``body``, which writes nothing. Raises `SourceError`."""
        return _value(await self.ask("POST", path, body))

    async def ask(self, method: str, path: str, body: object = None, *, repeatable: bool = True) -> Response:
        """Send one request and return the answer, of any status. Raises `SourceError` if there is none.

        A session that has ended is renewed once.
        """
        await self._authenticate()
        response = await self._send(method, path, body, repeatable=repeatable)
        if response.status == 401 and self._authorization.pop("Cookie", ""):
            await self._authenticate()
            response = await self._send(method, path, body, repeatable=repeatable)
        if response.status == 401:
            self._authorization.clear()
        if response.status == 404 and server_reason(response) in _NO_DATABASE:
            message = f"{response.endpoint}: there is no database {unquote(path.split('/')[1])}"
            hint = "create it, or check `database` in the settings"
            raise SourceError(message, code=SourceFault.EMPTY, hint=hint)
        return self._keep_renewed_cookie(response)

    @asynccontextmanager
    async def stream(self, path: str, *, idle_sec: float) -> AsyncGenerator[LineStream, None]:
        """Yield the lines of a feed. Raises `SourceError`."""
        await self._authenticate()
        request = Request(path=path, headers=self._authorization, silence_sec=idle_sec)
        async with self.transport.stream(request) as stream:
            if stream.response.status == 401:
                self._authorization.clear()
            require_success(stream.response)
            yield stream

    async def _send(self, method: str, path: str, body: object, *, repeatable: bool = True) -> Response:
        return await self.transport.send(
            Request(
                method=method,
                path=path,
                body=None if body is None else json.dumps(body).encode(),
                headers={**_JSON, **self._authorization},
                repeatable=repeatable,
                silence_sec=self._answer_sec,
                json=True,
            )
        )

    async def _authenticate(self) -> None:
        """Open a session, if there is none: the server checks a password slowly on purpose, and a session quickly."""
        if self._login is None or self._authorization:
            return
        name, password = self._login.user, self._login.password()
        self._require_pause(password)
        response = await self._send("POST", "/_session", {"name": name, "password": password})
        if response.status in (404, 405):
            pair = base64.b64encode(f"{name}:{password}".encode()).decode()
            self._authorization = {"Authorization": f"Basic {pair}"}
        elif response.status in (400, 401, 403):
            reason = server_reason(response)
            message = f"{response.endpoint}: the server refuses the login of {name}" + (f": {reason}" if reason else "")
            is_locked = response.status == 403
            error = wrong_password(message, LOCKED_HINT) if is_locked else wrong_password(message)
            self._refused = _Refusal(password=None if is_locked else password, error=error, at=self._clock())
            raise error
        else:
            self._keep_renewed_cookie(require_success(response))
            if not self._authorization:
                message = f"{response.endpoint}: the server did not open a session"
                raise SourceError(message, code=SourceFault.UNAUTHORIZED)

    def _require_pause(self, password: str) -> None:
        """Raise the last refusal again while a further attempt could lock the user; a new password is tried at once."""
        refused = self._refused
        if refused is None or refused.password not in (None, password):
            return
        wait_sec = refused.at + LOCKOUT_SEC - self._clock()
        if wait_sec > 0:
            error = refused.error
            raise SourceError(str(error), code=error.code, hint=error.hint, retry_after_sec=wait_sec)
        self._refused = None

    def _keep_renewed_cookie(self, response: Response) -> Response:
        """Return ``response``; remember its cookie, with which the server prolongs a session before its end."""
        try:
            cookie = SimpleCookie(response.headers.get("set-cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        if cookie is not None and cookie.value and self._login is not None:
            self._authorization = {"Cookie": f"{COOKIE}={cookie.value}"}
        return response


def _value(response: Response) -> Any:
    return require_success(response).value
