"""The implementation of `Bus` over dbus-next, for the agent: no call blocks the event loop.

It also talks to a peer without a bus between, as PID 1 is on its own socket (`manager_socket`).
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from dbus_next.constants import MessageType
from dbus_next.errors import AuthError
from dbus_next.message import Message
from dbus_next.signature import Variant as Sent

from ordain.agent.errors import Unavailable
from ordain.agent.system.dbus.bus import (
    DBUS,
    DBUS_PATH,
    SYSTEM_BUS,
    TIMEOUT_SEC,
    BusError,
    Disconnected,
    NameOwners,
    Signal,
    Variant,
    name_owner,
    no_connection,
)
from ordain.agent.system.dbus.call_limits import CallLimits
from ordain.agent.system.dbus.dbus_guard import GuardedMessageBus

T = TypeVar("T")
IN_FLIGHT = 64
"""The most calls without an answer; the system bus allows 128 (max_replies_per_connection)."""


class DbusNext:
    """A connection over dbus-next; ``connection`` is public so that objects can be exported on it.

    ``peer``: the other side is a process, and not a bus. Everything there comes from that process.
    """

    def __init__(self, connection: GuardedMessageBus, *, peer: bool = False) -> None:
        self.connection = connection
        self._peer = peer
        connection._writer.sock = _PartialWriter(connection._sock)
        self._turns = asyncio.Semaphore(IN_FLIGHT)
        self._owners = NameOwners()

    @classmethod
    async def open(cls, address: str = SYSTEM_BUS, *, limits: CallLimits | None = None) -> DbusNext:
        """Connect to the bus; see `GuardedMessageBus` for ``limits``. Raises `Unavailable`."""
        try:
            return cls(await GuardedMessageBus(address, limits=limits).connect())
        except (OSError, EOFError, AuthError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            raise no_connection(address, reason) from error

    @classmethod
    async def open_peer(cls, address: str) -> DbusNext:
        """Connect to a process that serves a connection at ``address``. Raises `Unavailable`."""
        try:
            async with asyncio.timeout(TIMEOUT_SEC):
                return cls(await GuardedMessageBus(address).connect_to_peer(), peer=True)
        except (OSError, EOFError, AuthError) as error:  # a TimeoutError is an OSError
            raise Unavailable(f"cannot connect to {address}: {error or 'no answer'}") from error

    @property
    def is_connected(self) -> bool:
        """Return whether the other side has not left."""
        return bool(self.connection.connected)

    async def wait_for_disconnect(self) -> None:
        """Return when the connection is lost or closed."""
        with contextlib.suppress(OSError, EOFError):
            await self.connection.wait_for_disconnect()  # type: ignore[no-untyped-call]

    async def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *body: Any,
        timeout_sec: float = TIMEOUT_SEC,
        descriptors: Sequence[int] = (),
    ) -> Any:
        """See `Bus.call`. The timeout matters: without it, a call would wait forever if the bus disconnects.

        A value of type ``h`` is an index into ``descriptors``.
        """
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=[_sent(value) for value in body],
            unix_fds=list(descriptors),
        )
        try:
            async with self._turns:
                reply = await asyncio.wait_for(self.connection.call(message), timeout_sec)
        except TimeoutError:
            raise Unavailable(f"{destination} did not answer {member} within {timeout_sec:g} s") from None
        except (OSError, EOFError) as error:
            raise Disconnected(f"the message bus has disconnected: {error}") from error
        assert reply is not None  # only a call with NO_REPLY_EXPECTED has no reply
        if reply.message_type is MessageType.ERROR:
            raise BusError(reply.error_name, str(reply.body[0]) if reply.body else "")
        return _plain(reply.body[0]) if reply.body else None

    async def listen(
        self, sender: str, path: str, interface: str, member: str, handler: Callable[[Signal], None], *, first: str = ""
    ) -> None:
        """See `Bus.listen`."""
        if not self._peer and not self._owners.follows(sender):
            await self.listen(DBUS, DBUS_PATH, DBUS, "NameOwnerChanged", self._owners.changed, first=sender)
            self._owners.first(sender, await name_owner(self, sender))
        below = path.endswith("/")
        place = f"path_namespace='{path[:-1]}'" if below else f"path='{path}'"
        rule = f"type='signal',sender='{sender}',interface='{interface}',member='{member}',{place}"
        rule += f",arg0='{first}'" if first else ""

        def receive(message: Message) -> None:
            if (
                message.message_type is MessageType.SIGNAL
                and message.member == member
                and message.interface == interface
                and (self._peer or self._owners.owns(message.sender, sender))
                and (message.path.startswith(path) if below else message.path == path)
            ):
                body = tuple(_plain(value) for value in message.body)
                handler(Signal(path=message.path, interface=interface, member=member, body=body))

        self.connection.add_message_handler(receive)
        if self.connection.wanted_signals is not None:
            self.connection.wanted_signals.append((member, first))
        if not self._peer:
            await self.call(DBUS, DBUS_PATH, DBUS, "AddMatch", "s", rule)

    async def wait(self, future: asyncio.Future[T], timeout_sec: float) -> T:
        """See `Bus.wait`."""
        return await asyncio.wait_for(asyncio.shield(future), timeout_sec)

    def close(self) -> None:
        """Leave the bus."""
        self.connection.close()


class _PartialWriter:
    """A socket that reports 0 bytes written when its buffer is full, instead of raising BlockingIOError.

    The writer of dbus-next would close the connection at that error, so that every burst of messages would end it.
    After a partial write it continues when the socket is writable again.
    """

    def __init__(self, wrapped: socket.socket) -> None:
        self._wrapped = wrapped

    def send(self, data: memoryview) -> int:
        """Send as `socket.socket.send` does; return 0 if that would block."""
        try:
            return self._wrapped.send(data)
        except BlockingIOError:
            return 0

    def sendmsg(self, buffers: list[memoryview], controls: list[tuple[int, int, bytes]]) -> int:
        """Send as `socket.socket.sendmsg` does. This waits: the writer would forget the descriptors of 0 bytes."""
        select.select([], [self._wrapped], [], TIMEOUT_SEC)
        return self._wrapped.sendmsg(buffers, controls)


def _plain(value: Any) -> Any:
    if isinstance(value, Sent):
        return _plain(value.value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _sent(value: Any) -> Any:
    if isinstance(value, Variant):
        return Sent(value.signature, _sent(value.value))
    if isinstance(value, (list, tuple)):
        return [_sent(item) for item in value]
    return value
