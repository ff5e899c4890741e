"""PID 1 over its own socket, as systemctl(1) of root talks to it: there is no message bus between that users can fill.

    calls to PID 1 and its signals ── /run/systemd/private ── PID 1
    all other calls and signals    ── message bus

Only root can connect to the socket, and only PID 1 sends there, so that nobody else can delay a call or forge a signal.
PID 1 sends all its signals to every such connection (systemd's src/core/dbus.c). A re-execution of PID 1 ends the
connection when it is done; this connects again then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ordain.agent.errors import Unavailable
from ordain.agent.system.dbus.bus import TIMEOUT_SEC, Bus, BusError, Disconnected, Signal
from ordain.agent.system.dbus.dbus_next_driver import DbusNext
from ordain.agent.system.systemd.manager_bus import DISCONNECTED, POLL_SEC, RETURN_SEC
from ordain.agent.system.systemd.systemd1 import MANAGER, NAME, PATH

T = TypeVar("T")
Listener = tuple[str, str, str, Callable[[Signal], None], str]
"""The path, interface, member, handler and first value of `Bus.listen`."""
SOCKET = "unix:path=/run/systemd/private"

log = logging.getLogger(__name__)


class ManagerSocket:
    """A `Bus` on which PID 1 is reached at its own socket, and everybody else over ``bus``."""

    def __init__(self, bus: Bus, socket: DbusNext, address: str) -> None:
        self._bus = bus
        self._address = address
        self._socket = socket
        self._listeners: list[Listener] = []
        self._follower = asyncio.ensure_future(self._follow())

    @classmethod
    async def open(cls, bus: Bus, address: str = SOCKET) -> Bus:
        """Return such a bus, or ``bus`` itself if PID 1 has no such socket."""
        try:
            return cls(bus, await DbusNext.open_peer(address), address)
        except Unavailable as failure:
            log.warning("%s; PID 1 is called over the message bus, where users can delay calls", failure)
            return bus

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
        """See `Bus.call`. The error for a PID 1 that left before it answered is the same as on the message bus."""
        if destination != NAME:
            return await self._bus.call(destination, path, interface, member, signature, *body, timeout_sec=timeout_sec)
        socket = await self._connected()
        try:
            return await socket.call(destination, path, interface, member, signature, *body, timeout_sec=timeout_sec)
        except Disconnected as failure:
            raise BusError(*DISCONNECTED) from failure

    async def listen(
        self, sender: str, path: str, interface: str, member: str, handler: Callable[[Signal], None], *, first: str = ""
    ) -> None:
        """See `Bus.listen`."""
        if sender != NAME:
            await self._bus.listen(sender, path, interface, member, handler, first=first)
            return
        listener = (path, interface, member, handler, first)
        self._listeners.append(listener)
        await _listen(self._socket, listener)

    async def wait(self, future: asyncio.Future[T], timeout_sec: float) -> T:
        """See `Bus.wait`."""
        return await self._bus.wait(future, timeout_sec)

    def close(self) -> None:
        """Close the socket, and leave the bus."""
        self._follower.cancel()
        self._socket.close()
        self._bus.close()

    async def _connected(self) -> DbusNext:
        """Return the socket once it is connected. Raises `Unavailable` if PID 1 does not return in `RETURN_SEC`."""
        deadline = time.monotonic() + RETURN_SEC
        while not self._socket.is_connected:
            if time.monotonic() > deadline:
                raise Unavailable(f"PID 1 has not listened at {self._address} for {RETURN_SEC:.0f} s")
            await asyncio.sleep(POLL_SEC)
        return self._socket

    async def _follow(self) -> None:
        """Connect again whenever PID 1 leaves, which it does only to execute itself again."""
        while True:
            await self._socket.wait_for_disconnect()
            self._socket.close()
            while not self._socket.is_connected:
                try:
                    socket = await DbusNext.open_peer(self._address)
                except Unavailable:
                    await asyncio.sleep(POLL_SEC)
                    continue
                for listener in self._listeners:
                    await _listen(socket, listener)
                self._socket = socket
            self._tell_of_reload()

    def _tell_of_reload(self) -> None:
        """Send the listeners the signal at the end of a reload: PID 1 sends it before we are connected again."""
        done = Signal(path=PATH, interface=MANAGER, member="Reloading", body=(False,))
        for path, interface, member, handler, _ in self._listeners:
            if (path, interface, member) == (done.path, done.interface, done.member):
                handler(done)


async def _listen(socket: DbusNext, listener: Listener) -> None:
    path, interface, member, handler, first = listener
    await socket.listen(NAME, path, interface, member, handler, first=first)
