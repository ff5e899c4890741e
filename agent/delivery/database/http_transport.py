"""HTTP to the servers of a source, with nothing taken on trust: an effect that all remote sources share.

    endpoints ─Transport▶ request() → `Response`      one answer, whole, of bounded size, of any status
                          stream()  → `LineStream`      lines as they come, never a part of one
    `Response` ─demand▶ the same, or the `SourceError` that its status stands for

Redirects are not followed, bodies are not decompressed, and every wait is bounded. aiohttp ≥ 3.8 (Debian 12).
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from ordain.agent.delivery.protocol import SourceError, SourceFault

CONNECT_SEC = 10.0
"""Name, connection and TLS together."""
ANSWER_SEC = 30.0
"""Without a byte for so long a request has failed. etcd without a quorum says so after 7 s."""
IDLE_SEC = 60.0
MAX_BYTES = 64 << 20
"""Of one answer; as much as all documents of a directory may have."""
MAX_LINE_BYTES = 64 << 20
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 20), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""A peer that is gone without a word is noticed within 50 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAccess:
    """Where the servers are and how they are recognised.

    ``endpoints`` are URLs (``https://a:2379``), without a user. ``ca``, ``cert`` and ``key`` are paths of PEM files;
    ``ca`` "": the system's authorities. They are read again when they change.
    """

    endpoints: tuple[str, ...]
    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer of ``endpoint``, whatever its status. ``headers`` have lower-case names."""

    endpoint: str
    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class LineStream:
    """An answer whose body comes in lines, for as long as the server likes."""

    def __init__(self, answer: Response, response: aiohttp.ClientResponse, max_line_bytes: int) -> None:
        self.answer = answer
        self._response = response
        self._max = max_line_bytes

    async def lines(self) -> AsyncIterator[bytes]:
        """Every whole line without its end; empty ones too, as they are signs of life.

        Ends with the body. Raises `SourceError`: ``Truncated`` for a body that breaks off, also within a line,
        ``SourceUnreachable`` when nothing comes for as long as the stream may be idle.
        """
        rest = b""
        with _translated(self.answer.endpoint):
            async for chunk in self._response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
                if len(rest) > self._max:
                    raise _too_large(self.answer.endpoint, self._max)
        if rest:
            raise SourceError(f"{self.answer.endpoint}: broke off within a line", code=SourceFault.TRUNCATED)


class HttpTransport:
    """A session with one of several servers: the one that answered last, the next when it fails."""

    def __init__(self, access: ServerAccess, *, headers: Mapping[str, str] | None = None) -> None:
        self.access = access
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "ordain", **(headers or {})}
        self._at = 0
        self._session: aiohttp.ClientSession | None = None
        self._tls: tuple[tuple[object, ...], ssl.SSLContext] | None = None

    @property
    def endpoint(self) -> str:
        """The server that is asked next."""
        return self.access.endpoints[self._at]

    def rotate(self) -> None:
        """Ask the next server from now on."""
        self._at = (self._at + 1) % len(self.access.endpoints)

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
        answer_sec: float = ANSWER_SEC,
        repeatable: bool = True,
    ) -> Response:
        """Ask, and take the whole answer. ``path`` is appended to the endpoint as it is.

        A server that cannot be reached, or says 5xx, is left for the next one, each once; one that may have got a
        request that is not ``repeatable`` (a write) is not. Raises `SourceError` if none answers.
        """
        failure: SourceError | None = None
        answer: Response | None = None
        for _ in self.access.endpoints:
            try:
                async with self._ask(method, path, body, headers, answer_sec) as response:
                    answer = await _whole(self.endpoint, response, max_bytes)
            except _NotSent as error:
                failure = error
            except SourceError as error:
                if not repeatable or error.code not in (
                    SourceFault.UNREACHABLE,
                    SourceFault.TRUNCATED,
                    SourceFault.TLS,
                ):
                    raise
                failure = error
            else:
                if answer.status < 500:
                    return answer
                failure = None
            self.rotate()
            if answer is not None and not repeatable:
                break
        if failure is not None and answer is None:
            raise failure
        assert answer is not None
        return answer

    @contextlib.asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        idle_sec: float = IDLE_SEC,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> AsyncIterator[LineStream]:
        """Ask the current server and take its answer line by line; one of another status than 200 comes whole.

        ``idle_sec`` without a byte end it with ``SourceUnreachable``. The caller rotates when it fails.
        """
        async with self._ask(method, path, body, headers, idle_sec) as response:
            _keep_alive(response)
            if response.status != 200:
                yield LineStream(await _whole(self.endpoint, response, MAX_BYTES), response, max_line_bytes)
            else:
                yield LineStream(_head(self.endpoint, response), response, max_line_bytes)

    async def close(self) -> None:
        """End the session."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @contextlib.asynccontextmanager
    async def _ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str] | None, idle_sec: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        endpoint = self.endpoint
        options: dict[str, Any] = {"data": body, "headers": headers, "allow_redirects": False}
        options["timeout"] = aiohttp.ClientTimeout(total=None, connect=CONNECT_SEC, sock_read=idle_sec)
        if endpoint.startswith("https:"):
            options["ssl"] = self._context(endpoint)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # Connections are not kept: a request on one that the server just closed would count as the server's
                # failure. Nor are addresses: a server that moved is found at the next attempt. It is the system's
                # resolver that is asked: c-ares, which aiohttp takes where aiodns is installed, stays with the
                # resolv.conf and the hosts that it began with.
                connector=aiohttp.TCPConnector(
                    limit=8, use_dns_cache=False, resolver=aiohttp.ThreadedResolver(), force_close=True
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                auto_decompress=False,
            )
        with _translated(endpoint):
            response = await self._session.request(method, endpoint.rstrip("/") + path, **options)
        try:
            yield response
        finally:
            response.close()

    def _context(self, endpoint: str) -> ssl.SSLContext:
        access = self.access
        paths = [path for path in (access.ca, access.cert, access.key) if path]
        try:
            marks = tuple((mark.st_ino, mark.st_mtime_ns) for mark in (Path(path).stat() for path in paths))
            if self._tls is None or self._tls[0] != marks:
                context = ssl.create_default_context(cafile=access.ca or None)
                context.minimum_version = ssl.TLSVersion.TLSv1_2
                if access.cert:
                    context.load_cert_chain(access.cert, access.key or None)
                self._tls = (marks, context)
        except OSError as error:  # ssl.SSLError is one
            what = f"{endpoint}: the certificates ({', '.join(paths)}) cannot be used: {error}"
            raise SourceError(what, code=SourceFault.TLS, hint="PEM files that ordain-source may read") from error
        return self._tls[1]


def require_success(answer: Response) -> Response:
    """An answer that is one: 2xx or 304, and no web page. Raises the `SourceError` that another stands for."""
    status, endpoint = answer.status, answer.endpoint
    if 200 <= status < 300 or status == 304:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in ("text/html", "application/xhtml+xml"):
            what = f"{endpoint}: answers with a web page"
            raise SourceError(
                what, code=SourceFault.NOT_DOCUMENTS, hint="a login page or a captive portal stands between"
            )
        if answer.headers.get("content-encoding", "identity") != "identity":
            raise SourceError(
                f"{endpoint}: answers compressed, which was not asked for", code=SourceFault.NOT_DOCUMENTS
            )
        return answer
    wait = _retry_after(answer.headers)
    if 300 <= status < 400:
        target = urlsplit(answer.headers.get("location", ""))
        what = f"{endpoint}: redirects to {target.scheme}://{target.hostname}" if target.hostname else "redirects"
        raise SourceError(what, code=SourceFault.REDIRECTED, hint="redirects are not followed; name the server itself")
    code, hint = {
        401: (SourceFault.UNAUTHORIZED, "the credential is wrong, or no longer valid"),
        403: (SourceFault.FORBIDDEN, "the credential holds, but may not read this"),
        404: (SourceFault.EMPTY, "nothing is there: is the path, prefix or database right?"),
        410: (SourceFault.EMPTY, "nothing is there any more"),
        429: (SourceFault.THROTTLED, "it is asked too often"),
    }.get(status, (SourceFault.UNREACHABLE, ""))
    raise SourceError(f"{endpoint}: answers {status}", code=code, hint=hint, retry_after_sec=wait)


class _NotSent(SourceError):
    """The request has certainly not reached the server."""


@contextlib.contextmanager
def _translated(endpoint: str) -> Any:
    """Errors of aiohttp as `SourceError`; their texts name no credential, as no URL of ours holds one."""
    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError) as error:
        what = f"{endpoint}: {_reason(error)}"
        hint = "its certificate must be valid now (is the clock right?), for this name, and of an authority in `ca`"
        raise SourceError(what, code=SourceFault.TLS, hint=hint) from error
    except aiohttp.ClientConnectorError as error:
        raise _NotSent(f"{endpoint}: {_reason(error)}", code=SourceFault.UNREACHABLE) from error
    except aiohttp.ClientPayloadError as error:
        raise SourceError(f"{endpoint}: the answer broke off", code=SourceFault.TRUNCATED) from error
    except TimeoutError as error:
        raise SourceError(f"{endpoint}: no answer in time", code=SourceFault.UNREACHABLE) from error
    except aiohttp.ClientResponseError as error:
        raise SourceError(f"{endpoint}: does not speak HTTP: {error.message}", code=SourceFault.UNREACHABLE) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise SourceError(f"{endpoint}: {_reason(error)}", code=SourceFault.UNREACHABLE) from error


def _reason(error: BaseException) -> str:
    """What a user can read: OpenSSL's reason, the system's, or the text."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"certificate refused: {inner.verify_message}"
    if isinstance(inner, OSError) and not isinstance(inner, (socket.gaierror, ssl.SSLError)) and inner.errno:
        return os.strerror(inner.errno)  # asyncio puts words of its own there
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


def _head(endpoint: str, response: aiohttp.ClientResponse, body: bytes = b"") -> Response:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(endpoint=endpoint, status=response.status, headers=headers, body=body)


async def _whole(endpoint: str, response: aiohttp.ClientResponse, max_bytes: int) -> Response:
    if (response.content_length or 0) > max_bytes:
        raise _too_large(endpoint, max_bytes)
    parts: list[bytes] = []
    size = 0
    with _translated(endpoint):
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > max_bytes:
                raise _too_large(endpoint, max_bytes)
            parts.append(chunk)
    return _head(endpoint, response, b"".join(parts))


def _too_large(endpoint: str, max_bytes: int) -> SourceError:
    return SourceError(f"{endpoint}: answers with more than {max_bytes:,} bytes", code=SourceFault.TOO_LARGE)


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    transport = response.connection.transport if response.connection is not None else None
    peer = transport.get_extra_info("socket") if transport is not None else None
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            peer.setsockopt(socket.IPPROTO_TCP, option, value)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of Retry-After, in either of its forms; a date counts from the server's own Date (RFC 9110, 10.2.3)."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(text[:6])
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, TypeError, ValueError):
        return 0.0
