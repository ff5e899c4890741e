"""HTTP requests to the servers of a source: bounded in time and size, and without trust in the answers.

    `Request` ─HttpTransport.send▶   `Response`     one whole answer, of any status
              ─HttpTransport.stream▶ `LineStream`   the lines of an answer as they arrive, only whole ones
    `Response` ─require_success▶ the same, or the `SourceError` that its status stands for

Redirects are not followed, and bodies are not decompressed. Works with aiohttp 3.8 (Debian 12) and later.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import logging
import os
import socket
import ssl
from asyncio.trsock import TransportSocket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.connector import Connection

from ordain.agent.delivery.database.bounded_answers import BoundedAnswer
from ordain.agent.delivery.database.json_answers import parse_json
from ordain.agent.delivery.protocol import SourceError, SourceFault

log = logging.getLogger(__name__)
CONNECT_SEC = 10.0
"""The limit for name lookup, connection and TLS handshake together."""
SILENCE_SEC = 30.0
"""A request fails when the server sends nothing for this long. etcd reports a missing quorum after 7 s."""
SLOWEST_BYTES_PER_SEC = 4096
"""A whole answer that arrives more slowly than this on average is given up: a server that sends a byte now and then is
not silent, but it is of no use either."""
LONGEST_SEC = 900.0
"""A whole answer that takes longer is given up as well: 64 MiB at the slowest rate are four hours, in which no other
server is asked."""
MAX_BYTES = 64 << 20
"""The limit for one answer, or for one line of a stream: the same as for all documents of a directory."""
MAX_REASON = 200
"""The longest reason of a server that a message shows."""
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 20), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 3))
"""With these options the kernel notices within 50 s that a peer has vanished."""
TRY_NEXT_SERVER = (SourceFault.UNREACHABLE, SourceFault.TRUNCATED, SourceFault.TLS, SourceFault.NOT_DOCUMENTS)
"""The faults of one server that the next one may not have."""
_STATUS_FAULTS = {
    401: (SourceFault.UNAUTHORIZED, "the credential is wrong or has expired"),
    403: (SourceFault.FORBIDDEN, "the credential is valid, but does not allow this"),
    404: (SourceFault.EMPTY, "nothing was found; check the path, prefix or database"),
    410: (SourceFault.EMPTY, "nothing is left here; check the path, prefix or database"),
    429: (SourceFault.THROTTLED, "there are too many requests; the source is asked again later"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerAccess:
    """The servers of a source, and the certificates for TLS.

    ``endpoints`` are URLs such as ``https://a:2379``, without a user. ``ca``, ``cert`` and ``key`` are paths of PEM
    files, which are read again when they change; without a ``ca``, the system's authorities are trusted.
    """

    endpoints: tuple[str, ...]
    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request; ``path`` is appended to the endpoint unchanged.

    ``repeatable`` is false for a write: a server that may have received it is not replaced by the next one.
    The request fails after ``silence_sec`` without a byte, when the head of the answer is missing by then, when a
    whole answer arrives more slowly than `SLOWEST_BYTES_PER_SEC` or takes `LONGEST_SEC`, and when the answer (of a
    stream: a line) is longer than ``max_bytes``. With ``json``, a success must be JSON: a server that answers
    something else is replaced as well.
    """

    method: str = "GET"
    path: str = "/"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    silence_sec: float = SILENCE_SEC
    max_bytes: int = MAX_BYTES
    json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The answer of ``endpoint``, of any status; the names of ``headers`` are in lower case.

    ``value`` is the JSON value of the body of a success, if the request asked for ``json``.
    """

    endpoint: str
    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFault:
    """The last fault of a server, and the request that shows whether it still has it."""

    error: SourceError
    probe: Request


class LineStream:
    """An answer whose body arrives in lines, for as long as the server keeps it open.

    For a status other than 200, ``response`` has the whole body, and there are no lines.
    """

    def __init__(self, response: Response, http: aiohttp.ClientResponse, max_line_bytes: int) -> None:
        self.response = response
        self._http = http
        self._max_line_bytes = max_line_bytes

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield every whole line without its end, also empty lines, which are signs of life.

        Ends with the body. Raises `SourceError`: ``Truncated`` when the body breaks off, also within a line,
        ``SourceUnreachable`` when the server is silent for too long.
        """
        endpoint = self.response.endpoint
        rest = b""
        with _translated(endpoint):
            async for chunk in self._http.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
                if len(rest) > self._max_line_bytes:
                    raise _too_large(endpoint, self._max_line_bytes)
        if rest:
            raise SourceError(f"{endpoint}: the answer broke off within a line", code=SourceFault.TRUNCATED)


class _Connector(aiohttp.TCPConnector):
    """A connector that bounds heads of answers, and knows its connections until their descriptors are closed.

    aiohttp 3.8 (Debian 12) forgets a connection as soon as it has asked the loop to close it. TLS says farewell first,
    which takes as long as the server likes, and a loop that ends before that leaves the descriptor open.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = functools.partial(BoundedAnswer, loop=asyncio.get_running_loop())  # type: ignore[assignment]
        self._open: list[tuple[asyncio.Transport, TransportSocket]] = []

    async def connect(self, *request: Any, **options: Any) -> Connection:
        """Return a new connection, and remember it."""
        connection = await super().connect(*request, **options)
        self._open = [(transport, peer) for transport, peer in self._open if peer.fileno() >= 0]
        transport = connection.transport
        if transport is not None:
            self._open.append((transport, transport.get_extra_info("socket")))
        return connection

    async def abort(self) -> None:
        """Close the connections that are open yet, without another word to the servers."""
        for transport, _ in self._open:
            transport.abort()
        await asyncio.sleep(0)  # the loop closes the descriptors of aborted transports in its next turn


class HttpTransport:
    """Requests to one of several servers: to the one that answered last, and to the next one when it fails."""

    def __init__(self, access: ServerAccess, *, headers: Mapping[str, str] | None = None) -> None:
        self.access = access
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "ordain", **(headers or {})}
        self._current = 0
        self._session: aiohttp.ClientSession | None = None
        self._tls: tuple[tuple[object, ...], ssl.SSLContext] | None = None
        self.faults: dict[str, ServerFault] = {}
        """The last fault of each server that was replaced and has not answered since, by its URL."""

    @property
    def endpoint(self) -> str:
        """Return the URL of the server that gets the next request."""
        return self.access.endpoints[self._current]

    async def send(self, request: Request) -> Response:
        """Send ``request`` and return the whole answer.

        A server that cannot be reached, or that answers with a server error (5xx), is replaced by the next one; each
        is tried once. A write is not sent again when a server may have received it. Raises `SourceError` if no server
        answers.
        """
        failures: list[SourceError] = []
        refused: Response | None = None
        for _ in self.access.endpoints:
            endpoint = self.endpoint
            try:
                response = await self._ask(endpoint, request)
                if response.status < 500:
                    self.faults.pop(endpoint, None)
                    return response
            except SourceError as error:
                not_sent = isinstance(error, _NotSent)
                if not_sent or error.code in TRY_NEXT_SERVER:
                    self.leave(endpoint, error, request)
                if not not_sent and not (request.repeatable and error.code in TRY_NEXT_SERVER):
                    raise
                failures.append(error)
            else:
                refused = response
                self.leave(endpoint, _failure_of(response), request)
                if not request.repeatable:
                    break
        if refused is not None:
            return refused
        raise _joined(failures)

    async def _ask(self, endpoint: str, request: Request) -> Response:
        """Return the whole answer of one server; one that is not JSON, where that is asked for, is its fault."""
        async with self._open(endpoint, request) as http:
            response = await _read_whole(endpoint, http, request)
        is_value = response.status < 500 and request.json and (response.body or request.repeatable)
        return _with_value(response) if is_value else response

    def leave(self, endpoint: str, error: SourceError, request: Request | None = None) -> None:
        """Send further requests to the next server because of ``error``, and log that once for each kind of fault."""
        if self.endpoint == endpoint:
            self._current = (self._current + 1) % len(self.access.endpoints)
        before = self.faults.get(endpoint)
        if len(self.access.endpoints) > 1 and (before is None or before.error.code != error.code):
            log.warning("%s [%s]; the next server is asked: %s", error, error.code, self.endpoint)
        probe = request if request is not None and request.repeatable else before.probe if before else Request()
        self.faults[endpoint] = ServerFault(error=error, probe=probe)

    async def ask_replaced(self) -> Mapping[str, SourceError]:
        """Ask each server that was replaced again; return the faults that are left, by URL.

        There are none while no server answers: that is a fault of the source.
        """
        for endpoint, fault in list(self.faults.items()):
            try:
                response = await self._ask(endpoint, fault.probe)
                if response.status >= 500:
                    raise _failure_of(response)
                self.faults.pop(endpoint, None)
            except SourceError as error:
                self.faults[endpoint] = replace(fault, error=error)
        left = {endpoint: fault.error for endpoint, fault in self.faults.items()}
        return left if len(left) < len(self.access.endpoints) else {}

    @contextlib.asynccontextmanager
    async def stream(self, request: Request) -> AsyncIterator[LineStream]:
        """Send ``request`` to the current server, and yield its answer line by line.

        Raises `SourceError`. It is the caller who leaves the server then.
        """
        endpoint = self.endpoint
        async with self._open(endpoint, request) as http:
            _keep_alive(http)
            response = _response(endpoint, http)
            if http.status != 200:
                response = await _read_whole(endpoint, http, Request())
            yield LineStream(response, http, request.max_bytes)

    async def close(self) -> None:
        """Close the session, and its connections, whose descriptors are closed then."""
        if self._session is not None:
            connector = self._session.connector
            await self._session.close()
            self._session = None
            if isinstance(connector, _Connector):
                await connector.abort()

    @contextlib.asynccontextmanager
    async def _open(self, endpoint: str, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send ``request`` to a server, and yield the answer, of which only the head is read."""
        body = request.body and io.BytesIO(request.body)  # aiohttp warns of large bytes
        options: dict[str, Any] = {"data": body, "headers": request.headers, "allow_redirects": False}
        options["timeout"] = aiohttp.ClientTimeout(total=None, connect=CONNECT_SEC, sock_read=request.silence_sec)
        if endpoint.startswith("https:"):
            options["ssl"] = self._tls_context(endpoint)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                # Connections are not kept: a request on a connection that the server has just closed would count as a
                # failure of the server. Addresses are not kept either: a server that has moved is found at the next
                # attempt. The system's resolver is used: c-ares, which aiohttp prefers where aiodns is installed,
                # keeps the resolv.conf and the hosts file that it has read first.
                connector=_Connector(
                    limit=8, use_dns_cache=False, resolver=aiohttp.ThreadedResolver(), force_close=True
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                auto_decompress=False,
            )
        with _translated(endpoint):
            async with asyncio.timeout(CONNECT_SEC + request.silence_sec):  # aiohttp bounds only the time between bytes
                http = await self._session.request(request.method, endpoint.rstrip("/") + request.path, **options)
        try:
            yield http
        finally:
            http.close()

    def _tls_context(self, endpoint: str) -> ssl.SSLContext:
        """Return the context for TLS, made again after a certificate has changed. Raises `SourceError`."""
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
        except OSError as error:  # ssl.SSLError is an OSError
            message = f"{endpoint}: cannot use the certificates ({', '.join(paths)}): {error}"
            hint = "give PEM files that ordain-source.service can read"
            raise SourceError(message, code=SourceFault.TLS, hint=hint) from error
        return self._tls[1]


def require_success(response: Response) -> Response:
    """Return ``response`` if its status is 2xx or 304 and its body can be data; else raise the fitting `SourceError`.

    A web page or a compressed body is not data: a proxy or a captive portal has answered in the server's place.
    """
    status, endpoint = response.status, response.endpoint
    if 200 <= status < 300 or status == 304:
        content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type in ("text/html", "application/xhtml+xml"):
            message = f"{endpoint}: the answer is a web page"
            hint = "a login page or a captive portal may have answered; check the address and the network"
            raise SourceError(message, code=SourceFault.NOT_DOCUMENTS, hint=hint)
        if response.headers.get("content-encoding", "identity") != "identity":
            message = f"{endpoint}: the answer is compressed, although the request did not allow it"
            raise SourceError(message, code=SourceFault.NOT_DOCUMENTS)
        return response
    if 300 <= status < 400:
        target = urlsplit(response.headers.get("location", ""))
        where = f" to {target.scheme}://{target.hostname}" if target.hostname else ""
        hint = "redirects are not followed; name the server itself"
        raise SourceError(f"{endpoint}: redirects{where}", code=SourceFault.REDIRECTED, hint=hint)
    code, hint = _STATUS_FAULTS.get(status, (SourceFault.UNREACHABLE, ""))
    wait_sec = _retry_after(response.headers)
    reason = server_reason(response)
    message = f"{endpoint}: the server answers {status}" + (f": {reason}" if reason else "")
    raise SourceError(message, code=code, hint=hint, retry_after_sec=wait_sec)


def server_reason(response: Response) -> str:
    """Return the reason that a server of CouchDB's protocol gives for its status, on one line, or ""."""
    try:
        answer = json.loads(response.body)
    except (ValueError, RecursionError):
        return ""
    reason = (answer.get("reason") or answer.get("error")) if isinstance(answer, dict) else None
    text = " ".join(reason.split()) if isinstance(reason, str) else ""
    printable = "".join(character for character in text if character.isprintable())
    return printable if len(printable) <= MAX_REASON else f"{printable[: MAX_REASON - 1]}…"


class _NotSent(SourceError):
    """A failure before the request can have reached the server."""


@contextlib.contextmanager
def _translated(endpoint: str) -> Iterator[None]:
    """Turn errors of aiohttp into `SourceError`; no message contains a credential, since no URL of ours does."""
    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError) as error:
        message = f"{endpoint}: {_reason(error)}"
        hint = "the certificate must be valid now (check the clock), for this name, and from an authority in `ca`"
        raise SourceError(message, code=SourceFault.TLS, hint=hint) from error
    except aiohttp.ClientConnectorError as error:
        raise _NotSent(f"{endpoint}: {_reason(error)}", code=SourceFault.UNREACHABLE) from error
    except aiohttp.ClientPayloadError as error:
        raise SourceError(f"{endpoint}: the answer broke off", code=SourceFault.TRUNCATED) from error
    except TimeoutError as error:
        raise SourceError(f"{endpoint}: no answer in time", code=SourceFault.UNREACHABLE) from error
    except aiohttp.ClientResponseError as error:
        message = f"{endpoint}: the answer is not HTTP: {error.message}"
        raise SourceError(message, code=SourceFault.UNREACHABLE) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise SourceError(f"{endpoint}: {_reason(error)}", code=SourceFault.UNREACHABLE) from error


def _reason(error: BaseException) -> str:
    """Return a readable reason: that of OpenSSL, that of the system, or the text of the error."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"certificate refused: {inner.verify_message}"
    if isinstance(inner, OSError) and not isinstance(inner, (socket.gaierror, ssl.SSLError)) and inner.errno:
        return os.strerror(inner.errno)  # asyncio replaces the system's words by its own
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


def _response(endpoint: str, http: aiohttp.ClientResponse, body: bytes = b"") -> Response:
    headers = {name.lower(): value for name, value in http.headers.items()}
    return Response(endpoint=endpoint, status=http.status, headers=headers, body=body)


async def _read_whole(endpoint: str, http: aiohttp.ClientResponse, request: Request) -> Response:
    if (http.content_length or 0) > request.max_bytes:
        raise _too_large(endpoint, request.max_bytes)
    parts: list[bytes] = []
    size = 0
    began = asyncio.get_running_loop().time()
    deadline = began + request.silence_sec
    try:
        async with asyncio.timeout_at(deadline) as limit:
            with _translated(endpoint):
                async for chunk in http.content.iter_any():
                    size += len(chunk)
                    if size > request.max_bytes:
                        raise _too_large(endpoint, request.max_bytes)
                    parts.append(chunk)
                    limit.reschedule(min(deadline + size / SLOWEST_BYTES_PER_SEC, began + LONGEST_SEC))
    except TimeoutError:
        message = f"{endpoint}: the answer arrives too slowly: {size:,} bytes, and not all of it"
        raise SourceError(message, code=SourceFault.UNREACHABLE) from None
    return _response(endpoint, http, b"".join(parts))


def _with_value(response: Response) -> Response:
    """Return ``response`` with the JSON value of its body, if it is a success. Raises `SourceError`."""
    if not 200 <= response.status < 300:
        return response
    return replace(response, value=parse_json(require_success(response).body, response.endpoint))


def _failure_of(response: Response) -> SourceError:
    """Return the error that a response with the status of a failure stands for."""
    try:
        require_success(response)
    except SourceError as error:
        return error
    raise AssertionError(f"status {response.status} is not a failure")


def _joined(failures: Sequence[SourceError]) -> SourceError:
    """Return the last failure, with the messages of all servers."""
    last = failures[-1]
    message = "; ".join(dict.fromkeys(str(failure) for failure in failures))
    return SourceError(message, code=last.code, hint=last.hint, retry_after_sec=last.retry_after_sec)


def _too_large(endpoint: str, max_bytes: int) -> SourceError:
    message = f"{endpoint}: the answer is larger than {max_bytes:,} bytes"
    hint = "look for large documents there, such as those of other programs, and remove them"
    return SourceError(message, code=SourceFault.TOO_LARGE, hint=hint)


def _keep_alive(http: aiohttp.ClientResponse) -> None:
    """Have the kernel probe the connection while it is idle."""
    transport = http.connection.transport if http.connection is not None else None
    peer = transport.get_extra_info("socket") if transport is not None else None
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            peer.setsockopt(socket.IPPROTO_TCP, option, value)


def _retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds of Retry-After, which is a number or a date; 0 if there is none.

    A date counts from the server's own Date (RFC 9110, section 10.2.3), so that a wrong clock here does not matter.
    """
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(text[:6])
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (KeyError, TypeError, ValueError):
        return 0.0
