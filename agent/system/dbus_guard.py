"""A `MessageBus` of dbus-next that unprivileged callers cannot exhaust, silence or disconnect.

dbus-next 0.2.3, its last release, has faults that any user of the bus can use. Each is guarded here, and only here:

=====================================================  =========================================================
dbus-next                                              the guard
=====================================================  =========================================================
keeps a tree of 45 KB for every signature it ever saw  `SIGNATURES_MAX`, then the cache is cleared
decodes a body before anybody asks who sent it         a call of an unknown signature is refused without decoding;
                                                       one over `BODY_MAX` is decoded only for root
disconnects at an unknown header field or type         the specification says to ignore them, so they are ignored
disconnects at a message that it cannot decode         the message is dropped: its length is known
reads as long as messages arrive                       `MESSAGES_AT_ONCE`, then other tasks run
answers calls that want no reply                       a call that only reads is dropped
has no limit of calls                                  `CALLS_PER_SEC` for each sender
sends tracebacks, and raises sent errors again         `_Reply`
fails to answer ``Peer.GetMachineId``                  answered from /etc/machine-id
=====================================================  =========================================================

dbus-fast decodes five times as fast, but has the same cache, and the same order of decoding and asking.
"""

# mypy: disable-error-code="no-untyped-call, misc, arg-type"

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Any

from dbus_next._private.constants import PROTOCOL_VERSION, HeaderField
from dbus_next._private.unmarshaller import MarshallerStreamEndError, Unmarshaller
from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import ErrorType, MessageFlag, MessageType
from dbus_next.errors import DBusError
from dbus_next.message import Message
from dbus_next.service import ServiceInterface
from dbus_next.signature import SignatureTree

from ordain.agent.system.bus import DBUS, DBUS_PATH
from ordain.agent.system.rate_limit import RateLimit

SIGNATURES_MAX = 128
"""The most signatures in the cache of dbus-next; we use about 40."""
BODY_MAX = 64 << 10
"""The most bytes of a call's body from a caller who is not root; the bus itself allows 32 MiB."""
LARGE_MAX = 4
"""The most large calls that wait for the bus to say who sent them; each sender has one at most."""
CALLS_PER_SEC = 50
SENDERS_MAX = 512
"""The most senders whose calls are counted; the bus allows a user 256 connections."""
MESSAGES_AT_ONCE = 32
MACHINE_ID = Path("/etc/machine-id")

_STANDARD = "org.freedesktop.DBus."
_SIGNATURES = frozenset({"", "s", "ss", "ssv"})
"""The signatures of the standard interfaces, which dbus-next answers itself."""
_FIELDS = frozenset(field.value for field in HeaderField)
_TYPES = {kind.value: kind for kind in MessageType}

log = logging.getLogger(__name__)


class GuardedMessageBus(MessageBus):
    """A connection to the bus; ``reads`` are the members of our interface that change nothing."""

    def __init__(self, bus_address: str) -> None:
        self.reads: frozenset[str] = frozenset()
        self._calls: OrderedDict[str, RateLimit] = OrderedDict()
        self._large: dict[str, asyncio.Task[None]] = {}
        super().__init__(bus_address=bus_address)

    async def connect(self) -> GuardedMessageBus:
        """Connect, as dbus-next does."""
        await super().connect()
        return self

    def _create_unmarshaller(self) -> _Frame:
        return _Frame(self._stream)

    def _message_reader(self) -> None:
        try:
            for _ in range(MESSAGES_AT_ONCE):
                if self._disconnect_future.done() or not self._unmarshaller.is_complete():
                    return
                frame, self._unmarshaller = self._unmarshaller, self._create_unmarshaller()
                self._receive(frame)
        except Exception as error:  # the stream has ended, or is not D-Bus
            self._finalize(error)
            return
        # The stream is buffered, so the socket may be empty while messages wait.
        asyncio.get_running_loop().call_soon(self._message_reader)

    def _receive(self, frame: _Frame) -> None:
        try:
            head = frame.head()
            if head is None:
                return
            if head.message_type is MessageType.METHOD_CALL and not self._admit(head, frame):
                return
            head.body = frame.body(head)
        except Exception as error:  # the decoder raises errors of many types
            log.debug("dropped a message that cannot be decoded: %r", error)
            return
        self._on_message(head)

    def _on_message(self, msg: Message) -> None:
        super()._on_message(msg)  # which looks up the signature of each variant of a call again
        _bound_signatures()

    def _admit(self, call: Message, frame: _Frame) -> bool:
        """Return whether to decode and answer a call now; refuse it otherwise, or ask who sent it."""
        standard = (call.interface or "").startswith(_STANDARD)
        if call.flags & MessageFlag.NO_REPLY_EXPECTED and (standard or call.member in self.reads):
            return False
        if not self._count(call.sender or "", time.monotonic()):
            self._refuse(
                call, ErrorType.LIMITS_EXCEEDED, f"more than {CALLS_PER_SEC} calls in a second; call less often"
            )
            return False
        if call.signature not in _SIGNATURES | self._signatures():
            name = f"{call.interface}.{call.member}"
            self._refuse(call, ErrorType.UNKNOWN_METHOD, f'{name} with signature "{call.signature}" could not be found')
            return False
        if frame.body_size <= BODY_MAX:
            return True
        sender = call.sender or ""
        if sender in self._large or len(self._large) >= LARGE_MAX:
            self._refuse(call, ErrorType.LIMITS_EXCEEDED, "too many large calls at once; try again")
            return False
        self._large[sender] = asyncio.ensure_future(self._decode_of_root(call, frame))
        return False

    async def _decode_of_root(self, call: Message, frame: _Frame) -> None:
        """Decode and answer a large call if root sent it, refuse it otherwise."""
        sender = call.sender or ""
        question = Message(
            destination=DBUS,
            path=DBUS_PATH,
            interface=DBUS,
            member="GetConnectionUnixUser",
            signature="s",
            body=[sender],
        )
        try:
            reply = await self.call(question)
        except (OSError, EOFError):
            return  # the bus is gone, and the caller with it
        finally:
            self._large.pop(sender, None)
        if reply is None or reply.message_type is not MessageType.METHOD_RETURN or reply.body != [0]:
            words = f"{frame.body_size} bytes, and a caller who is not root may send {BODY_MAX}; call as root"
            self._refuse(call, ErrorType.LIMITS_EXCEEDED, words)
            return
        try:
            call.body = frame.body(call)
        except Exception as error:  # as in `_receive`
            self._refuse(call, ErrorType.INVALID_ARGS, f"the call cannot be decoded: {error!r}")
            return
        self._on_message(call)

    def _count(self, sender: str, now: float) -> bool:
        """Count a call of ``sender``; return whether it is within the limit."""
        limit = self._calls.pop(sender, None) or RateLimit(CALLS_PER_SEC, 1.0)
        self._calls[sender] = limit
        if len(self._calls) > SENDERS_MAX:
            self._calls.popitem(last=False)
        if limit.wait_sec(now):
            return False
        limit.record(now)
        return True

    def _signatures(self) -> set[str]:
        exported = (interface for interfaces in self._path_exports.values() for interface in interfaces)
        return {method.in_signature for interface in exported for method in ServiceInterface._get_methods(interface)}

    def _refuse(self, call: Message, name: ErrorType, words: str) -> None:
        _Reply(self, call).send_error(DBusError(name, words))

    def _send_reply(self, msg: Message) -> _Reply:
        return _Reply(self, msg)

    def _default_get_machine_id_handler(self, msg: Message, send_reply: _Reply) -> None:
        try:
            text = MACHINE_ID.read_text("ascii").strip()
        except (OSError, ValueError):
            raise DBusError(ErrorType.FAILED, f"{MACHINE_ID} cannot be read") from None
        send_reply(Message.new_method_return(msg, "s", [text]))


class _Reply:
    """The reply to one call, as dbus-next's own ``SendReply``, but an error never holds a traceback and ends here."""

    def __init__(self, bus: MessageBus, call: Message) -> None:
        self._bus = bus
        self._call = call

    def __call__(self, reply: Message) -> None:
        if not self._call.flags & MessageFlag.NO_REPLY_EXPECTED:
            self._bus.send(reply)

    def __enter__(self) -> _Reply:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        if isinstance(error, Exception):
            self.send_error(error)
        return isinstance(error, Exception)

    def send_error(self, error: Exception) -> None:
        if not isinstance(error, DBusError):
            log.error("internal error in %s.%s: %r", self._call.interface, self._call.member, error)
            error = DBusError(ErrorType.INTERNAL_ERROR, "internal error; see the journal of the agent")
        self(Message.new_error(self._call, error.type, error.text))


class _Frame(Unmarshaller):
    """One message: its bytes are read first, then its header is decoded, and its body only if it is wanted."""

    body_size = 0

    def is_complete(self) -> bool:
        """Read more bytes; return whether the message is complete. Raises EOFError, ValueError if it is not D-Bus."""
        try:
            self.offset = 0
            self.read(16, prefetch=True)
            order = {ord("l"): "<", ord("B"): ">"}.get(self.buf[0])
            if order is None or self.buf[3] != PROTOCOL_VERSION:
                raise ValueError("a message that does not begin as D-Bus messages do")
            self.endian = self.buf[0]
            self.body_size, self._serial, size = struct.unpack_from(f"{order}III", self.buf, 4)
            self.read(16 + size + self._padding(size, 8) + self.body_size, prefetch=True)
        except MarshallerStreamEndError:
            return False
        return True

    def head(self) -> Message | None:
        """Decode the header: a message without its body, None for a message of an unknown type."""
        kind = _TYPES.get(self.buf[1])
        if kind is None:
            return None
        self.offset = 12
        rows = self.read_argument(SignatureTree._get("a(yv)").types[0])
        fields: dict[str, Any] = {HeaderField(code).name: value.value for code, value in rows if code in _FIELDS}
        self.align(8)
        return Message(
            message_type=kind,
            flags=MessageFlag(self.buf[2] & sum(MessageFlag)),
            serial=self._serial,
            path=fields.get("PATH"),
            interface=fields.get("INTERFACE"),
            member=fields.get("MEMBER"),
            error_name=fields.get("ERROR_NAME"),
            reply_serial=fields.get("REPLY_SERIAL"),
            destination=fields.get("DESTINATION"),
            sender=fields.get("SENDER"),
            signature=fields.get("SIGNATURE", ""),
        )

    def body(self, head: Message) -> list[Any]:
        """Decode the body, after `head`."""
        return [self.read_argument(kind) for kind in head.signature_tree.types] if self.body_size else []

    def read_variant(self, _: object = None) -> Any:
        """Decode a variant as dbus-next does, within the bound of its cache."""
        _bound_signatures()
        return super().read_variant()


def _bound_signatures() -> None:
    if len(SignatureTree._cache) > SIGNATURES_MAX:
        SignatureTree._cache.clear()
