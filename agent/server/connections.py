"""The connections of the boot server: accepted within bounds, so that nobody keeps others from being served.

    socket ─accept▶ Connection ─▶ aiohttp     waiting (for TLS, the head of a request, an answer to be taken)
                                              or busy (a request is being answered; a machine may wait for a change)

A connection that waits for too long is closed. When one address, or all together, have too many connections, the
one that has waited longest makes room for a new one; if none waits, one of the address that has the most. When
descriptors run out all the same, accepting pauses: asyncio alone would try again in a loop, and log each attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import resource
import socket
import ssl
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

log = logging.getLogger(__name__)
HEAD_SEC = 10.0
"""The time for a TLS handshake and the head of the first request."""
ANSWER_SEC = 60.0
"""The time to take an answer and send the head of the next request."""
SWEEP_SEC = 1.0
LATE_SEC = 1.0
"""A sweep that comes later than this tells that the server itself was busy, or stood still."""
PAUSE_SEC = 1.0
"""The pause of accepting when there is no descriptor left."""
LOG_SEC = 60.0
"""The shortest time between two lines on connections that were refused."""
SHOWN_CHARACTERS = 200
NOT_HTTP = "a request that is not HTTP: %s"
INTERNAL = "internal error (%s at %s): %s; please report it with this line"
MAX_AHEAD_BYTES = 256 << 10
"""The most bytes that a client may send after the head of a request that is being answered."""
ACCEPT_AT_ONCE = 16
BACKLOG = 1024
DESCRIPTORS = 65_536
"""The limit of open files that the server asks for."""
RESERVED = 64
"""The descriptors that are not for connections: documents, the worker, the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """The most connections in all, and of one address (IPv6: of one /64, which one machine may have to itself)."""

    total: int
    per_address: int
    head_sec: float = HEAD_SEC
    answer_sec: float = ANSWER_SEC


class WithoutTraceback(logging.Filter):
    """Makes one line, without a control character, of what aiohttp logs for a request that it cannot answer.

    Whoever reaches the server can send the request again and again, so that tracebacks would fill the disk.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter.filter`."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            record.msg, record.args = NOT_HTTP, (_shown(getattr(error, "message", error)),)
        elif error is not None:
            record.msg, record.args = INTERNAL, (type(error).__name__, _place(error), _shown(error))
        record.exc_info = None
        return True


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to `DESCRIPTORS`, or to the hard limit if that is lower, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def limits_for(descriptors: int, per_address: int = 0) -> ConnectionLimits:
    """Return the limits for a number of descriptors; ``per_address`` 0: a quarter of all.

    >>> limits_for(1024)
    ConnectionLimits(total=960, per_address=240, head_sec=10.0, answer_sec=60.0)
    """
    total = max(descriptors - RESERVED, descriptors // 2)
    return ConnectionLimits(total=total, per_address=min(per_address or max(1, total // 4), total))


def listening_sockets(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen on all addresses of ``host`` ("": of this machine). Raises OSError."""
    family = socket.AF_UNSPEC
    infos = socket.getaddrinfo(host or None, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    for family, _, _, _, address in sorted(set(infos)):
        if sockets and not port:  # the second family takes the port that the system has chosen for the first
            address = (address[0], sockets[0].getsockname()[1], *address[2:])
        try:
            listening = socket.socket(family, socket.SOCK_STREAM)
        except OSError:  # the kernel has no IPv6
            continue
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            listening.bind(address)
        except OSError:
            listening.close()
            if not sockets:
                raise
            continue
        listening.listen(BACKLOG)
        listening.setblocking(False)
        sockets.append(listening)
    return sockets


@dataclass(slots=True)
class _Group:
    """The connections of one address, or of all; ``waiting`` has those that wait, the longest first."""

    all: dict[Connection, None] = field(default_factory=dict)
    waiting: dict[Connection, None] = field(default_factory=dict)


class Connections:
    """All connections of a server, whose requests ``make_handler`` answers through the middleware `answer`."""

    def __init__(self, limits: ConnectionLimits, context: ssl.SSLContext | None = None) -> None:
        self.limits = limits
        self._context = context
        self._everybody = _Group()
        self._by_address: dict[str, _Group] = {}
        self._by_transport: dict[object, Connection] = {}
        self._sockets: list[socket.socket] = []
        self._make_handler: Callable[[], Any] = asyncio.Protocol
        self._sweep: asyncio.TimerHandle | None = None
        self._logged = float("-inf")
        self._refused = 0

    def __len__(self) -> int:
        """Return the number of connections."""
        return len(self._everybody.all)

    def start(self, sockets: list[socket.socket], make_handler: Callable[[], Any]) -> None:
        """Accept connections from ``sockets``; ``make_handler`` returns the protocol of aiohttp for one connection."""
        self._make_handler = make_handler
        self._sockets = sockets
        for listening in sockets:
            self._resume(listening)
        self._close_overdue()

    def stop(self) -> None:
        """Accept no further connections, and close those that wait."""
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            loop.remove_reader(listening.fileno())
            listening.close()
        self._sockets = []
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in [*self._everybody.waiting]:
            connection.close()

    @property
    def answer(self) -> Any:
        """Return the middleware that marks the connection of a request as busy while the request is answered."""

        @web.middleware
        async def answer(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            connection = self._by_transport.get(request.transport)
            with connection.busy() if connection else contextlib.nullcontext():
                return await handler(request)

        return answer

    # -- accepting ---------------------------------------------------------------------------------------------------

    def _resume(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening.fileno(), self._accept, listening)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor or no memory is left, here or in the whole system
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening.fileno())
                loop.call_later(PAUSE_SEC, self._resume, listening)
                self._log(f"cannot accept connections: {error.strerror}")
                self._make_room(self._everybody, None)
                return
            if not self._admit(accepted, _group(str(address[0]))):
                return  # the descriptor of a connection that made room is closed by the loop, which goes on after this

    def _admit(self, accepted: socket.socket, address: str) -> bool:
        """Take a connection or refuse it; return whether there was room."""
        accepted.setblocking(False)
        of_address = self._by_address.get(address) or _Group()
        crowded = of_address if len(of_address.all) >= self.limits.per_address else None
        if crowded is None and len(self) >= self.limits.total:
            crowded = self._everybody
        if crowded is not None and not self._make_room(crowded, of_address):
            self._refuse(accepted, f"{address} has {len(of_address.all)} connections, and all have {len(self)}")
        else:
            Connection(self, accepted, address, self._make_handler(), self._context)
        return crowded is None

    def _make_room(self, group: _Group, of_newcomer: _Group | None) -> bool:
        """Close the connection that has waited longest; return whether there is room now.

        If none waits, the address with the most connections loses its first one to an address with far fewer, so that
        a few addresses whose requests wait for changes cannot keep all others out.
        """
        oldest = next(iter(group.waiting), None)
        if oldest is None and of_newcomer is not None and group is self._everybody:
            most = max(self._by_address.values(), key=lambda other: len(other.all))
            if len(of_newcomer.all) < len(most.all) // 2:
                oldest = next(iter(most.all))
        if oldest is not None:
            oldest.close()
        return oldest is not None

    def _refuse(self, accepted: socket.socket, reason: str) -> None:
        accepted.close()
        self._refused += 1
        self._log(f"{self._refused} connections were refused: {reason}")

    def _log(self, message: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._logged >= LOG_SEC:
            self._logged = now
            self._refused = 0
            log.warning("%s", message)

    def _close_overdue(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._sweep is not None and (late_sec := now - self._sweep.when()) > LATE_SEC:
            # Requests that came meanwhile have not been read: the time that the server lost is not that of its clients.
            for connection in self._everybody.waiting:
                connection.waits_until += late_sec
        for connection in [connection for connection in self._everybody.waiting if connection.waits_until < now]:
            connection.close()
        self._sweep = loop.call_later(SWEEP_SEC, self._close_overdue)

    # -- called by connections ---------------------------------------------------------------------------------------

    def waits(self, connection: Connection) -> None:
        """Count a connection, as the one that has waited shortest."""
        for group in (self._everybody, self._by_address.setdefault(connection.address, _Group())):
            group.all[connection] = None
            group.waiting[connection] = None

    def works(self, connection: Connection) -> None:
        """Do not count a connection as one that waits."""
        for group in (self._everybody, self._by_address.get(connection.address) or _Group()):
            group.waiting.pop(connection, None)

    def remove(self, connection: Connection) -> None:
        """Count a connection no longer."""
        self.works(connection)
        self._by_transport.pop(connection.transport, None)
        of_address = self._by_address.get(connection.address) or _Group()
        for group in (self._everybody, of_address):
            group.all.pop(connection, None)
        if not of_address.all:
            self._by_address.pop(connection.address, None)

    def opened(self, connection: Connection) -> None:
        """Record the transport of a connection, by which its requests are found."""
        self._by_transport[connection.transport] = connection


class Connection(asyncio.Protocol):
    """One connection, in front of the protocol of aiohttp that reads its requests.

    ``waits_until`` is the time (of the loop) at which it is closed, 0 while a request is being answered.
    """

    def __init__(
        self, owner: Connections, accepted: socket.socket, address: str, handler: Any, context: ssl.SSLContext | None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.address = address
        self.transport: asyncio.Transport | None = None
        self.waits_until = loop.time() + owner.limits.head_sec
        self._owner = owner
        self._handler = handler
        self._ahead = 0
        owner.waits(self)
        self._opening = loop.create_task(self._open(accepted, context, owner.limits.head_sec))

    async def _open(self, accepted: socket.socket, context: ssl.SSLContext | None, head_sec: float) -> None:
        loop = asyncio.get_running_loop()
        handshake: dict[str, Any] = {"ssl": context, "ssl_handshake_timeout": head_sec} if context else {}
        try:
            await loop.connect_accepted_socket(lambda: self, accepted, **handshake)
        except (OSError, asyncio.CancelledError):  # ssl.SSLError is an OSError
            accepted.close()
            self._owner.remove(self)

    def close(self) -> None:
        """Close the connection at once."""
        self._owner.remove(self)
        if self.transport is not None:
            self.transport.abort()
        else:
            self._opening.cancel()

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Do not count the connection as waiting inside the context."""
        self.waits_until = 0.0
        self._ahead = 0
        self._owner.works(self)
        try:
            yield
        finally:
            if self.transport is not None and not self.transport.is_closing():
                self.waits_until = asyncio.get_running_loop().time() + self._owner.limits.answer_sec
                self._owner.waits(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._owner.opened(self)
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Pass data on; a client that sends much behind a request that is being answered is cut off."""
        self._ahead += len(data)
        if not self.waits_until and self._ahead > MAX_AHEAD_BYTES:
            self.close()
            return
        try:
            self._handler.data_received(data)
        except Exception as error:  # aiohttp lets some errors of yarl through, such as that of an address without a ]
            log.error(NOT_HTTP, _shown(error))
            self.close()

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        self._handler.eof_received()
        return None

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._owner.remove(self)
        self._handler.connection_lost(error)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._handler.resume_writing()


def _place(error: BaseException) -> str:
    """Return the file and the line that raised ``error``, after those of ours that called it last."""
    frames = traceback.extract_tb(error.__traceback__)
    last = [frame for frame in frames if "/ordain/" in frame.filename][-1:] + frames[-1:]
    return " > ".join(dict.fromkeys(f"{Path(frame.filename).name}:{frame.lineno}" for frame in last))


def _shown(error: object) -> str:
    """Return the text of an error, which may hold words of the client, as printable ASCII."""
    return ascii(str(error))[:SHOWN_CHARACTERS]


def _group(address: str) -> str:
    """Return the address by which connections are counted.

    >>> _group("192.0.2.7"), _group("2001:db8:1:2:3::4"), _group("::ffff:192.0.2.7")
    ('192.0.2.7', '2001:db8:1:2::/64', '192.0.2.7')
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
