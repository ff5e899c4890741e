"""The implementation of `Bus` over pystemd, for ordainctl when no agent runs: it may block in a call."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from pystemd.dbusexc import DBusBaseError
from pystemd.dbuslib import DBusAddress, DbusMessage, apply_signature

from ordain.agent.system.dbus.bus import (
    DBUS,
    DBUS_PATH,
    SYSTEM_BUS,
    TIMEOUT_SEC,
    BusError,
    NameOwners,
    Signal,
    name_owner,
    no_connection,
)
from ordain.transforms.lazy_patterns import lazy_pattern

T = TypeVar("T")
_ERROR = lazy_pattern(
    r"(?:b'(?P<name>[\w.]+)')?\[err -?\d+\]: b(?P<quote>['\"])(?P<words>.*?)(?P=quote)(?:\n|$)", re.DOTALL
)


class Pystemd:
    """A connection over pystemd (sd-bus)."""

    def __init__(self, address: str = SYSTEM_BUS) -> None:
        # pystemd keeps only a pointer to a callback, so we keep a reference.
        self._handlers: list[Callable[..., None]] = []
        self._owners = NameOwners()
        try:
            self._connection = DBusAddress(address.encode(), False)
            self._connection.open()
        except (DBusBaseError, OSError) as error:
            raise no_connection(address, _name_and_words(error)[1]) from error

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
        """See `Bus.call`; ``timeout_sec`` has no effect, sd-bus uses its own 25 s (SYSTEMD_BUS_TIMEOUT=)."""
        arguments = [
            part for kind, value in zip(_types(signature), body, strict=True) for part in _written(kind, value)
        ]
        try:
            reply = self._connection.call_method(
                destination.encode(), path.encode(), interface.encode(), member.encode(), arguments
            )
        except DBusBaseError as error:
            raise BusError(*_name_and_words(error)) from error
        return _decoded(reply.body)

    async def listen(
        self, sender: str, path: str, interface: str, member: str, handler: Callable[[Signal], None], *, first: str = ""
    ) -> None:
        """See `Bus.listen`; pystemd cannot match a path prefix, so such a rule matches any path and first value."""
        if not self._owners.follows(sender):
            self._owners.first(sender, await name_owner(self, sender))
            await self.listen(DBUS, DBUS_PATH, DBUS, "NameOwnerChanged", self._owners.changed)

        def receive(message: DbusMessage, error: object = None, userdata: object = None) -> None:
            message.process_reply(True)
            if not self._owners.owns(_text(message.headers.get("Sender") or ""), sender):
                return  # sd-bus compares a unique name only with a unique name, so any sender matches a well-known one
            where = _text(message.headers.get("Path", path))
            body = _decoded(message.body)
            values = tuple(body) if isinstance(body, (list, tuple)) else () if body is None else (body,)
            handler(Signal(path=where, interface=interface, member=member, body=values))

        self._handlers.append(receive)
        place = None if path.endswith("/") else path.encode()
        self._connection.match_signal(sender.encode(), place, interface.encode(), member.encode(), receive)

    async def wait(self, future: asyncio.Future[T], timeout_sec: float) -> T:
        """See `Bus.wait`; signals are only received in here."""
        deadline = time.monotonic() + timeout_sec
        while not future.done():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if self._connection.process().is_empty():
                self._connection.wait(int(min(left, 1.0) * 1_000_000))
        return future.result()

    def close(self) -> None:
        """Leave the bus."""
        self._connection.close()


def _types(signature: str) -> list[str]:
    """Return the complete types of a signature without dictionaries.

    >>> _types("sa(sv)u")
    ['s', 'a(sv)', 'u']
    """
    types: list[str] = []
    begun, depth = 0, 0
    for at, char in enumerate(signature, 1):
        depth += (char == "(") - (char == ")")
        if not depth and char != "a":
            types.append(signature[begun:at])
            begun = at
    return types


def _written(kind: str, value: Any) -> list[tuple[int, Any]]:
    """Return a value as pystemd's message writer takes it; its own `apply_signature` supports only simple variants."""
    if "v" not in kind:
        written: list[tuple[int, Any]] = apply_signature(kind.encode(), [_encoded(value)])
        return written
    if kind == "v":
        return [(ord("v"), value.signature.encode()), *_written(value.signature, value.value), (-1, None)]
    if kind[0] == "a":
        opening, parts = (ord("a"), kind[1:]), [part for item in value for part in _written(kind[1:], item)]
    else:
        types = _types(kind[1:-1])
        opening = (ord("r"), kind[1:-1])
        parts = [part for inner, item in zip(types, value, strict=True) for part in _written(inner, item)]
    return [(opening[0], opening[1].encode()), *parts, (-1, None)]


def _encoded(value: Any) -> Any:
    match value:
        case str():
            return value.encode()
        case list() | tuple():
            return [_encoded(item) for item in value]
        case _:
            return value


def _decoded(value: Any) -> Any:
    match value:
        case bytes():
            return _text(value)
        case list() | tuple():
            return type(value)(_decoded(item) for item in value)
        case dict():
            return {_decoded(key): _decoded(item) for key, item in value.items()}
        case _:
            return value


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _name_and_words(error: Exception) -> tuple[str, str]:
    """Return the D-Bus name of an error and its message, both parsed from the text of pystemd's exception.

    >>> _name_and_words(OSError("b'org.freedesktop.systemd1.LimitsExceeded'[err -5]: b'too often'"))
    ('org.freedesktop.systemd1.LimitsExceeded', 'too often')
    >>> _name_and_words(OSError("no such socket"))
    ('', 'no such socket')
    """
    match = _ERROR.match(str(error))
    if match is None:
        return "", str(error)
    # If pystemd has a class for an error, such as DBusNoSuchUnitError, the text does not contain the name.
    kind = type(error).__name__.removeprefix("DBus").removesuffix("Error")
    return match["name"] or kind, match["words"]
