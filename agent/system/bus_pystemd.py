"""`Bus` over pystemd, for ordainctl when no agent runs: one thing at a time, so the calls may block."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from pystemd.dbusexc import DBusBaseError
from pystemd.dbuslib import DBusAddress, DbusMessage, apply_signature

from ordain.agent.errors import Unavailable
from ordain.agent.system.bus import SYSTEM_BUS, TIMEOUT_SEC, BusError, Signal

T = TypeVar("T")
_ERROR = re.compile(
    r"(?:b'(?P<name>[\w.]+)')?\[err -?\d+\]: b(?P<quote>['\"])(?P<words>.*?)(?P=quote)(?:\n|$)", re.DOTALL
)


class Pystemd:
    """A connection by pystemd (sd-bus)."""

    def __init__(self, address: str = SYSTEM_BUS) -> None:
        # pystemd keeps a pointer to a callback and no reference.
        self._heard: list[Callable[..., None]] = []
        try:
            self._connection = DBusAddress(address.encode(), False)
            self._connection.open()
        except (DBusBaseError, OSError) as error:
            raise Unavailable(f"no message bus: {_name_and_words(error)[1]}") from error

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
        """See `Bus.call`; sd-bus keeps to its own deadline of 25 s (SYSTEMD_BUS_TIMEOUT=)."""
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
        self, sender: str, path: str, interface: str, member: str, heard: Callable[[Signal], None], *, first: str = ""
    ) -> None:
        """See `Bus.listen`; sd-bus cannot match all paths below one, so a rule takes any path and first value."""

        def hear(message: DbusMessage, error: object = None, userdata: object = None) -> None:
            message.process_reply(True)
            where = _text(message.headers.get("Path", path))
            body = _decoded(message.body)
            values = tuple(body) if isinstance(body, (list, tuple)) else () if body is None else (body,)
            heard(Signal(path=where, interface=interface, member=member, body=values))

        self._heard.append(hear)
        place = None if path.endswith("/") else path.encode()
        self._connection.match_signal(sender.encode(), place, interface.encode(), member.encode(), hear)

    async def wait(self, future: asyncio.Future[T], timeout_sec: float) -> T:
        """See `Bus.wait`: signals are read here, and nowhere else."""
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
    """The complete types of a signature without dictionaries.

    >>> _types("sa(sv)u")
    ['s', 'a(sv)', 'u']
    """
    found: list[str] = []
    begun, depth = 0, 0
    for at, char in enumerate(signature, 1):
        depth += (char == "(") - (char == ")")
        if not depth and char != "a":
            found.append(signature[begun:at])
            begun = at
    return found


def _written(kind: str, value: Any) -> list[tuple[int, Any]]:
    """A value as pystemd's message writer takes it, whose `apply_signature` knows no variants of more than a word."""
    if "v" not in kind:
        written: list[tuple[int, Any]] = apply_signature(kind.encode(), [_encoded(value)])
        return written
    if kind == "v":
        return [(ord("v"), value.signature.encode()), *_written(value.signature, value.value), (-1, None)]
    if kind[0] == "a":
        opening, parts = (ord("a"), kind[1:]), [part for each in value for part in _written(kind[1:], each)]
    else:
        types = _types(kind[1:-1])
        opening = (ord("r"), kind[1:-1])
        parts = [part for inner, each in zip(types, value, strict=True) for part in _written(inner, each)]
    return [(opening[0], opening[1].encode()), *parts, (-1, None)]


def _encoded(value: Any) -> Any:
    match value:
        case str():
            return value.encode()
        case list() | tuple():
            return [_encoded(each) for each in value]
        case _:
            return value


def _decoded(value: Any) -> Any:
    match value:
        case bytes():
            return _text(value)
        case list() | tuple():
            return type(value)(_decoded(each) for each in value)
        case dict():
            return {_decoded(key): _decoded(each) for key, each in value.items()}
        case _:
            return value


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _name_and_words(error: Exception) -> tuple[str, str]:
    """The D-Bus name of an error and what it says, out of what pystemd makes of both.

    >>> _name_and_words(OSError("b'org.freedesktop.systemd1.LimitsExceeded'[err -5]: b'too often'"))
    ('org.freedesktop.systemd1.LimitsExceeded', 'too often')
    >>> _name_and_words(OSError("no such socket"))
    ('', 'no such socket')
    """
    found = _ERROR.match(str(error))
    if found is None:
        return "", str(error)
    # Where pystemd has a class for an error it leaves the name out: DBusNoSuchUnitError.
    kind = type(error).__name__.removeprefix("DBus").removesuffix("Error")
    return found["name"] or kind, found["words"]
