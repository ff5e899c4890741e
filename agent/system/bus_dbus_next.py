"""`Bus` over dbus-next, for the agent: nothing here blocks the event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import MessageType
from dbus_next.message import Message
from dbus_next.signature import Variant as Sent

from ordain.agent.errors import Unavailable
from ordain.agent.system.bus import DBUS, DBUS_PATH, SYSTEM_BUS, TIMEOUT_SEC, BusError, Signal, Variant

T = TypeVar("T")
IN_FLIGHT = 64
"""Calls without an answer yet; the system bus refuses more than 128 (max_replies_per_connection)."""


class DbusNext:
    """A connection by dbus-next. ``connection`` is for those who export objects on it."""

    def __init__(self, connection: MessageBus) -> None:
        self.connection = connection
        connection._writer.sock = _Patient(connection._sock)
        self._turns = asyncio.Semaphore(IN_FLIGHT)

    @classmethod
    async def open(cls, address: str = SYSTEM_BUS) -> DbusNext:
        """Connect; raises `Unavailable`."""
        try:
            return cls(await MessageBus(bus_address=address).connect())
        except (OSError, EOFError) as error:
            raise Unavailable(f"no message bus: {error}") from error

    async def call(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *body: Any,
        timeout_sec: float = TIMEOUT_SEC,
    ) -> Any:
        """See `Bus.call`. Without the deadline a call would hang for ever when the bus goes away."""
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=[_sent(value) for value in body],
        )
        try:
            async with self._turns:
                reply = await asyncio.wait_for(self.connection.call(message), timeout_sec)
        except TimeoutError:
            raise Unavailable(f"{destination} did not answer {member} within {timeout_sec:g} s") from None
        except (OSError, EOFError) as error:
            raise Unavailable(f"the message bus is gone: {error}") from error
        assert reply is not None  # only a call that wants no reply gets none
        if reply.message_type is MessageType.ERROR:
            raise BusError(reply.error_name, str(reply.body[0]) if reply.body else "")
        return _plain(reply.body[0]) if reply.body else None

    async def listen(
        self, sender: str, path: str, interface: str, member: str, heard: Callable[[Signal], None], *, first: str = ""
    ) -> None:
        """See `Bus.listen`."""
        below = path.endswith("/")
        place = f"path_namespace='{path[:-1]}'" if below else f"path='{path}'"
        rule = f"type='signal',sender='{sender}',interface='{interface}',member='{member}',{place}"
        rule += f",arg0='{first}'" if first else ""

        def hear(message: Message) -> None:
            if (
                message.message_type is MessageType.SIGNAL
                and message.member == member
                and message.interface == interface
                and (message.path.startswith(path) if below else message.path == path)
            ):
                body = tuple(_plain(value) for value in message.body)
                heard(Signal(path=message.path, interface=interface, member=member, body=body))

        self.connection.add_message_handler(hear)
        await self.call(DBUS, DBUS_PATH, DBUS, "AddMatch", "s", rule)

    async def wait(self, future: asyncio.Future[T], timeout_sec: float) -> T:
        """See `Bus.wait`."""
        return await asyncio.wait_for(asyncio.shield(future), timeout_sec)

    def close(self) -> None:
        """Leave the bus. dbus-next, whose last version is 0.2.3, leaves its socket open."""
        self.connection.disconnect()  # type: ignore[no-untyped-call]
        asyncio.get_running_loop().remove_reader(self.connection._fd)
        self.connection._sock.close()


class _Patient:
    """A socket that takes nothing when it is full.

    dbus-next's writer takes the error for the end of the connection, so that any burst of messages would be;
    what was sent in part it sends on when there is room.
    """

    def __init__(self, wrapped: socket.socket) -> None:
        self._wrapped = wrapped

    def send(self, data: memoryview) -> int:
        """As `socket.socket.send`; 0 where that would block."""
        try:
            return self._wrapped.send(data)
        except BlockingIOError:
            return 0


def _plain(value: Any) -> Any:
    if isinstance(value, Sent):
        return _plain(value.value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value


def _sent(value: Any) -> Any:
    if isinstance(value, Variant):
        return Sent(value.signature, _sent(value.value))
    if isinstance(value, (list, tuple)):
        return [_sent(each) for each in value]
    return value
