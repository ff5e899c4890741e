"""A bus on which a call to PID 1 outlasts a re-execution of PID 1.

A `daemon-reexec`, which every upgrade of systemd does, closes PID 1's connection: calls without an answer get NoReply,
and until PID 1 is back, every other call fails as `is_away` knows. Jobs, and the list of subscribers,
outlast it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from ordain.agent.errors import Unavailable
from ordain.agent.system.dbus.bus import DBUS, DBUS_PATH, TIMEOUT_SEC, Bus, BusError, Signal

T = TypeVar("T")
RETURN_SEC = 120.0
"""PID 1 gets this long to return: it gives all generators 90 s before it reads the units again."""
ANSWER_SEC = 180.0
"""PID 1 gets this long to answer: while it starts thousands of units, or reloads, it reads no calls.

It gives all generators 90 s, and a reload that somebody else asked for may come before ours.
"""
POLL_SEC = 0.1
TIMES = 5
"""A call is repeated this often at most."""
DISCONNECTED = ("org.freedesktop.DBus.Error.NoReply", "PID 1 disconnected before it answered")
"""The name and text of the error for a connection to PID 1 that ended, see `is_away`."""
_NO_OWNER = frozenset({"ServiceUnknown", "NameHasNoOwner", "ChildExited", "ServiceNotFound"})
"""The errors of a call to a name without an owner; the bus then tries to activate it, which fails for PID 1."""


class ManagerBus:
    """A `Bus` that repeats calls to ``name`` once that is back; calls to others are passed on.

    A call of ``not_repeated`` may have had its effect, so it is not repeated: its error is raised once PID 1 is back,
    and its caller looks what has become of it.
    """

    def __init__(self, bus: Bus, name: str, *, not_repeated: frozenset[str]) -> None:
        self._bus = bus
        self._name = name
        self._not_repeated = not_repeated

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
        """See `Bus.call`. Raises `Unavailable` if PID 1 does not return within `RETURN_SEC`."""
        if destination == self._name:
            timeout_sec = max(timeout_sec, ANSWER_SEC)
        for _ in range(TIMES):
            try:
                return await self._bus.call(
                    destination, path, interface, member, signature, *body, timeout_sec=timeout_sec
                )
            except BusError as error:
                if destination != self._name or not is_away(error):
                    raise
                await self._wait_for_return(error)
                if member in self._not_repeated:
                    raise
        return await self._bus.call(destination, path, interface, member, signature, *body, timeout_sec=timeout_sec)

    async def _wait_for_return(self, error: BusError) -> None:
        deadline = time.monotonic() + RETURN_SEC
        while not await self._bus.call(DBUS, DBUS_PATH, DBUS, "NameHasOwner", "s", self._name):
            if time.monotonic() > deadline:
                raise Unavailable(f"PID 1 has been away from the message bus for {RETURN_SEC:.0f} s: {error}")
            await asyncio.sleep(POLL_SEC)

    async def listen(
        self, sender: str, path: str, interface: str, member: str, handler: Callable[[Signal], None], *, first: str = ""
    ) -> None:
        """See `Bus.listen`."""
        await self._bus.listen(sender, path, interface, member, handler, first=first)

    async def wait(self, future: asyncio.Future[T], timeout_sec: float) -> T:
        """See `Bus.wait`."""
        return await self._bus.wait(future, timeout_sec)

    def close(self) -> None:
        """See `Bus.close`."""
        self._bus.close()


def is_away(error: BusError) -> bool:
    """Return whether the other side has left the bus, before or after it received the call.

    A NoReply may also mean that it is slow; then there is no word of a disconnection in the message.

    >>> is_away(BusError("org.freedesktop.DBus.Error.NoReply", "Message recipient disconnected from message bus"))
    True
    >>> is_away(BusError("org.freedesktop.DBus.Error.NoReply", "Method call timed out"))
    False
    """
    kind = error.error.rpartition(".")[2]
    return kind in _NO_OWNER or (kind == "NoReply" and "disconnected" in error.message)
