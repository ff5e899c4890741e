"""The message bus, as little of it as we use; `bus_dbus_next` and `bus_pystemd` drive it.

Values are plain Python: strings are str, arrays and structs lists or tuples; a variant that comes in is
the value within it, one to send is a `Variant`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from ordain.agent.errors import Unavailable

T = TypeVar("T")
TIMEOUT_SEC = 25.0
"""How long a call may take unless told otherwise; sd-bus has the same default."""
SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
DBUS = "org.freedesktop.DBus"
DBUS_PATH = "/org/freedesktop/DBus"


class BusError(Unavailable):
    """The other side answered with an error; ``error`` is its D-Bus name, ``message`` its text.

    As a text it is one line: some libraries, dbus-next among them, send a traceback along.
    """

    def __init__(self, error: str, message: str) -> None:
        what = message.partition("\n")[0]
        super().__init__(f"{what} [{error}]" if error else what)
        self.error = error
        self.message = message


@dataclass(frozen=True, slots=True)
class Variant:
    """A value to send where the signature says ``v``."""

    signature: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A signal that came in."""

    path: str
    interface: str
    member: str
    body: tuple[Any, ...]


class Bus(Protocol):
    """A connection to the bus."""

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
        """Call a method and return the one value of its reply, or None if it has none.

        Raises `BusError` for an error reply, `Unavailable` if there is none in time.
        """

    async def listen(
        self, sender: str, path: str, interface: str, member: str, heard: Callable[[Signal], None], *, first: str = ""
    ) -> None:
        """Have ``heard`` called for such signals. A ``path`` that ends in ``/`` stands for all below it.

        ``first``: the first value they have to have; others may be heard all the same.
        """

    async def wait(self, future: asyncio.Future[T], timeout_sec: float) -> T:
        """The result of a future that a signal will set; raises TimeoutError."""

    def close(self) -> None:
        """Leave the bus."""


async def pipelined(calls: Iterable[Coroutine[Any, Any, T]], at_once: int) -> list[T]:
    """What ``calls`` return, in their order: each is made without waiting for the answers to those before it.

    Not more than ``at_once`` are on the way: the heap never gets over a thousand tasks. Raises what any of them raises.
    """
    found: list[T] = []
    under_way: deque[asyncio.Task[T]] = deque()
    try:
        for call in calls:
            if len(under_way) == at_once:
                found.append(await under_way.popleft())
            under_way.append(asyncio.ensure_future(call))
        while under_way:
            found.append(await under_way.popleft())
        return found
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def get(bus: Bus, destination: str, path: str, interface: str, name: str) -> Any:
    """One property."""
    return await bus.call(destination, path, "org.freedesktop.DBus.Properties", "Get", "ss", interface, name)
