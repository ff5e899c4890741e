"""The part of the message bus that we use; `dbus_next_driver` and `pystemd_driver` implement it.

Values are plain Python: a string is a str, an array or struct a list or tuple. A received variant is the value in it; a
variant to send is a `Variant`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ordain.agent.errors import Unavailable

T = TypeVar("T")
TIMEOUT_SEC = 25.0
"""The default timeout of a call, the same as in sd-bus."""
SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
DBUS = "org.freedesktop.DBus"
DBUS_PATH = "/org/freedesktop/DBus"


RUNS_SYSTEMD = Path("/run/systemd/system")
"""The directory that exists if systemd is PID 1 (sd_booted(3))."""


def no_connection(address: str, reason: str) -> Unavailable:
    """Return the error that the bus at ``address`` cannot be connected to. In rescue mode there is no system bus."""
    remedy = ""
    if address == SYSTEM_BUS:
        if not RUNS_SYSTEMD.is_dir():
            return without_systemd()
        remedy = "; `systemctl start dbus.socket` starts it, also in rescue mode"
    return Unavailable(f"cannot connect to the message bus: {reason}{remedy}")


def without_systemd() -> Unavailable:
    """Return the error for a command about a machine on which systemd does not run."""
    what = "this command is about a machine that systemd runs, and systemd does not run here"
    return Unavailable(f"{what}; commands on documents, stores, boot servers and runs work without it")


class BusError(Unavailable):
    """The other side answered with an error; ``error`` is its D-Bus name, ``message`` its text.

    ``str()`` gives only the first line, because some libraries, such as dbus-next, add a traceback.
    """

    def __init__(self, error: str, message: str) -> None:
        what = message.partition("\n")[0]
        super().__init__(f"{what} [{error}]" if error else what)
        self.error = error
        self.message = message


class Disconnected(Unavailable):
    """The connection to the bus was lost."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A value to send where the signature says ``v``."""

    signature: str
    value: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A received signal."""

    path: str
    interface: str
    member: str
    body: tuple[Any, ...]


class NameOwners:
    """The connections that own the names whose signals we follow, each as its unique name, such as ``:1.4``.

    A match rule with ``sender=`` selects broadcasts only: a signal that is addressed to us arrives without any rule,
    and carries the unique name of its sender. So that name decides which signals count.
    """

    def __init__(self) -> None:
        self._owner: dict[str, str] = {DBUS: DBUS}

    def follows(self, name: str) -> bool:
        """Return whether the owner of ``name`` has been asked for."""
        return name in self._owner

    def first(self, name: str, owner: str) -> None:
        """Note the answer of GetNameOwner, ``""`` for none; a change that was reported already is newer."""
        self._owner.setdefault(name, owner)

    def changed(self, signal: Signal) -> None:
        """Note a NameOwnerChanged, whose values are the name, its old and its new owner."""
        name, _, owner = signal.body
        if name != DBUS:
            self._owner[name] = owner

    def owns(self, sender: str, name: str) -> bool:
        """Return whether the connection ``sender`` owns ``name`` now."""
        return bool(sender) and self._owner.get(name) == sender


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

        Raises `BusError` for an error reply, `Unavailable` if there is no reply in time.
        """

    async def listen(
        self, sender: str, path: str, interface: str, member: str, handler: Callable[[Signal], None], *, first: str = ""
    ) -> None:
        """Have ``handler`` called for such signals; a ``path`` that ends in ``/`` includes all paths below it.

        Only signals of the connection that owns the name ``sender`` count, see `NameOwners`.
        ``first`` is the first value that a signal must have. Signals with other values may be passed on, too.
        """

    async def wait(self, future: asyncio.Future[T], timeout_sec: float) -> T:
        """Wait for the result of a future that the handler of a signal sets. Raises TimeoutError."""

    def close(self) -> None:
        """Leave the bus."""


async def pipelined(calls: Iterable[Coroutine[Any, Any, T]], at_once: int) -> list[T]:
    """Return the results of ``calls``, in their order; each call is made before the earlier ones are answered.

    At most ``at_once`` calls are pending: a thousand tasks at once would enlarge the heap for good. Raises the first
    error of any call.
    """
    results: list[T] = []
    pending: deque[asyncio.Task[T]] = deque()
    try:
        for call in calls:
            if len(pending) == at_once:
                results.append(await pending.popleft())
            pending.append(asyncio.ensure_future(call))
        while pending:
            results.append(await pending.popleft())
        return results
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


async def name_owner(bus: Bus, name: str) -> str:
    """Return the unique name of the connection that owns ``name``, ``""`` if there is none."""
    try:
        return str(await bus.call(DBUS, DBUS_PATH, DBUS, "GetNameOwner", "s", name))
    except BusError:
        return ""


async def get(bus: Bus, destination: str, path: str, interface: str, name: str) -> Any:
    """Return one property."""
    return await bus.call(destination, path, "org.freedesktop.DBus.Properties", "Get", "ss", interface, name)
