"""A `MessageBus` of dbus-next that unprivileged callers cannot exhaust, silence or disconnect.

dbus-next 0.2.3, its last release, has faults that any user of the bus can use. Each is guarded here, and only here:

=====================================================  =========================================================
dbus-next                                              the guard
=====================================================  =========================================================
keeps a tree of 45 KB for every signature it ever saw  `SIGNATURES_MAX`, then the cache is cleared
reads and decodes bodies of any size                   a call of more than `BODY_MAX` is read without being kept
decodes a body before anybody asks what it is for      a call of an unknown signature is refused without decoding
disconnects at an unknown header field or type         the specification says to ignore them, so they are ignored
disconnects at a message that it cannot decode         the message is dropped: its length is known
reads as long as messages arrive                       `MESSAGES_AT_ONCE`; a public connection rests after so many
answers calls that want no reply                       a call that only reads is dropped
has no limit of calls                                  `CallLimits`, by user and for all users
sends tracebacks, and raises sent errors again         `_Reply`
never closes descriptors that a caller sent            `Descriptors`, closed with the answer
keeps 16 descriptors for each call in flight           `DESCRIPTORS_MAX`, and none where the signature has no ``h``
keeps each message until the garbage is collected      `_Frame.release`
fails to answer ``Peer.GetMachineId``                  answered from /etc/machine-id
spins if the other side leaves while it authenticates  an error, as is a line of more than `LINE_MAX`
decodes signals that nobody listens for                `wanted_signals`, for a peer that sends all it has
=====================================================  =========================================================

dbus-fast decodes five times as fast, but has the same cache, and the same order of decoding and asking.
"""

# mypy: disable-error-code="no-untyped-call, misc, arg-type, attr-defined"

from __future__ import annotations

import array
import asyncio
import contextlib
import io
import logging
import os
import socket
import struct
import time
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from dbus_next._private.constants import PROTOCOL_VERSION, HeaderField
from dbus_next._private.unmarshaller import MarshallerStreamEndError, Unmarshaller
from dbus_next.aio.message_bus import MessageBus
from dbus_next.constants import ErrorType, MessageFlag, MessageType
from dbus_next.errors import AuthError, DBusError
from dbus_next.message import Message
from dbus_next.service import ServiceInterface
from dbus_next.signature import SignatureTree
from dbus_next.validators import is_bus_name_valid

from ordain.agent.errors import Failure
from ordain.agent.system.dbus.call_limits import IN_FLIGHT, CallLimits

SIGNATURES_MAX = 128
"""The most signatures in the cache of dbus-next; we use about 40."""
HEAD_MAX = 16 << 10
"""The most bytes of a call's header fields; only dbus-broker passes on fields that the specification does not name."""
BODY_MAX = 64 << 10
"""The most bytes of a call's body; the bus itself allows 32 MiB. Larger sets of documents come as a file descriptor."""
HELD_MAX = 64
"""The most calls that wait until the bus has said whose they are; `IN_FLIGHT` of one connection."""
DESCRIPTORS_MAX = 1
"""The most descriptors that are kept for a call: with the bus' 16, the calls in flight would use up all of ours."""
MESSAGES_AT_ONCE = 32
REST_SEC = 0.1
"""The rest of a public connection after `MESSAGES_AT_ONCE`: 320 messages in a second are read at most."""
SKIP_AT_ONCE = 1 << 20
"""The bytes of a call that is not kept which are read before other tasks run."""
LINE_MAX = 4 << 10
"""The most bytes of a line of the authentication."""
MACHINE_ID = Path("/etc/machine-id")

_CHUNK = 64 << 10
_CONTROL = socket.CMSG_SPACE(16 * array.array("i").itemsize)
"""The room for the descriptors of one message; dbus-daemon allows 16. The kernel closes those that find no room."""
_STANDARD = "org.freedesktop.DBus."
_SIGNATURES = frozenset({"", "s", "ss", "ssv"})
"""The signatures of the standard interfaces, which dbus-next answers itself."""
_FIELDS = {field.value: "osssussgu"[field.value - 1] for field in HeaderField}
"""The type of each header field: https://dbus.freedesktop.org/doc/dbus-specification.html."""
_ORDER = {ord("l"): "<", ord("B"): ">"}
_TYPES = {kind.value: kind for kind in MessageType}

current_call: ContextVar[Message] = ContextVar("current_call")
"""The call that is being answered, which dbus-next does not pass on. It has the ``sender``, and owns descriptors."""

log = logging.getLogger(__name__)


class GuardedMessageBus(MessageBus):
    """A connection to the bus; ``reads`` are the members of our interface that change nothing.

    One with ``limits`` is public: everybody may call it, so it keeps these limits, and reads at a bounded pace.
    """

    def __init__(self, bus_address: str, *, limits: CallLimits | None = None) -> None:
        self.reads: frozenset[str] = frozenset()
        self.wanted_signals: list[tuple[str, str]] | None = None
        """The signals to decode, as members and first values (``""``: any); None for all."""
        self._limits = limits
        self._held: dict[str, list[tuple[_Frame, Message]]] = {}
        """Calls whose user the bus is asked for, by connection."""
        self._questions: set[asyncio.Task[None]] = set()
        try:
            super().__init__(bus_address=bus_address, negotiate_unix_fd=True)
        except OSError:
            self._close_socket()
            raise

    async def connect(self) -> GuardedMessageBus:
        """Connect, as dbus-next does, but close the socket if that fails."""
        try:
            await super().connect()
        except BaseException:
            self._close_socket()
            raise
        return self

    async def connect_to_peer(self) -> GuardedMessageBus:
        """Connect to a process that serves one connection by itself: there is no bus, so there are no names.

        Such a peer sends all signals that it has, so that `wanted_signals` selects them.
        """
        try:
            await self._authenticate_to_peer()
        except BaseException:
            self._close_socket()
            raise
        self.wanted_signals = []
        self.unique_name = ":peer"  # type: ignore[assignment]  # without one, dbus-next sends nothing
        asyncio.get_running_loop().add_reader(self._fd, self._message_reader)
        return self

    async def _authenticate_to_peer(self) -> None:
        # In one piece, as sd-bus sends it: PID 1 would not see a first message that it reads together with the BEGIN.
        lines = f"AUTH EXTERNAL {str(os.geteuid()).encode().hex()}\r\nBEGIN\r\n"
        await asyncio.get_running_loop().sock_sendall(self._sock, b"\0" + lines.encode())
        answer = await self._auth_readline()
        if not answer.startswith("OK "):
            raise AuthError(f"the other side does not know this user: {answer[:100]}")

    async def _auth_readline(self) -> str:
        line = b""
        while not line.endswith(b"\r\n"):
            byte = await asyncio.get_running_loop().sock_recv(self._sock, 1)
            if not byte or len(line) >= LINE_MAX:
                raise EOFError("the other side ended the authentication")
            line += byte
        return line[:-2].decode("ascii", "replace")

    def _close_socket(self) -> None:
        with contextlib.suppress(ValueError, RuntimeError):  # it is not connected, or closed already
            asyncio.get_running_loop().remove_reader(self._fd)
        self._stream.close()  # a file of the socket keeps it open
        self._sock.close()

    def close(self) -> None:
        """Leave the bus, and close the socket, which dbus-next does not close."""
        self._user_disconnect = True
        with contextlib.suppress(OSError):  # the other side has left
            self._sock.shutdown(socket.SHUT_RDWR)
        self._close_socket()

    def _create_unmarshaller(self) -> _Frame:
        return _Frame(_Socket(self._sock))

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
        if self._limits:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._fd)
            loop.call_later(REST_SEC, self._read_on)

    def _read_on(self) -> None:
        if not self._disconnect_future.done() and self._sock.fileno() >= 0:
            asyncio.get_running_loop().add_reader(self._fd, self._message_reader)

    def _receive(self, frame: _Frame) -> None:
        if self.wanted_signals is not None and not frame.is_wanted(self.wanted_signals):
            frame.release()
            return
        try:
            head = frame.head()
        except Exception as error:  # the decoder raises errors of many types
            log.debug("dropped a message whose header cannot be decoded: %r", error)
            head = None
        if head is None:
            frame.release()
        elif self._limits and head.message_type is MessageType.METHOD_CALL:
            sender = head.sender or ""
            user = self._limits.user(sender)
            if user is None or sender in self._held:
                self._hold(sender, frame, head)
            else:
                self._take(frame, head, user)
        else:
            self._take(frame, head)

    def _hold(self, sender: str, frame: _Frame, call: Message) -> None:
        """Keep a call until the bus has said whose it is."""
        frame.descriptors.close(keep=DESCRIPTORS_MAX if "h" in call.signature else 0)
        if len(self._held.get(sender, ())) >= IN_FLIGHT or sum(map(len, self._held.values())) >= HELD_MAX:
            frame.release()
            self._refuse(call, ErrorType.LIMITS_EXCEEDED, f"{HELD_MAX} calls wait for the message bus; try again")
            return
        if sender not in self._held:
            self._held[sender] = []
            question = asyncio.get_running_loop().create_task(self._ask(sender))
            self._questions.add(question)
            question.add_done_callback(self._questions.discard)
        self._held[sender].append((frame, call))

    async def _ask(self, sender: str) -> None:
        assert self._limits
        user, reason = None, ""
        try:
            user = await self._limits.ask(sender)
        except Failure as failure:  # it has disconnected, or there is no bus any more
            reason = f"the message bus does not say whose call this is ({failure}); try again"
        for frame, call in self._held.pop(sender):
            if reason:
                frame.release()
                self._refuse(call, ErrorType.LIMITS_EXCEEDED, reason)
            else:
                self._take(frame, call, user)

    def _take(self, frame: _Frame, head: Message, user: int | None = None) -> None:
        """Decode the body of a message, and act on it; ``user`` makes a call of a connection with limits."""
        try:
            if head.message_type is MessageType.METHOD_CALL:
                frame.descriptors.close(keep=DESCRIPTORS_MAX if "h" in head.signature else 0)
                if not self._admit(head, frame, user):
                    return
            head.body = frame.body(head)
        except Exception as error:  # as above
            log.debug("dropped a message that cannot be decoded: %r", error)
            if head.message_type is MessageType.METHOD_CALL:
                refusal = DBusError(ErrorType.INVALID_ARGS, "the call cannot be decoded")
                _Reply(self, head).send_error(refusal)
            return
        finally:
            frame.release()
        self._on_message(head)

    def _on_message(self, msg: Message) -> None:
        token = current_call.set(msg)
        try:
            super()._on_message(msg)  # which looks up the signature of each variant of a call again
        finally:
            current_call.reset(token)
        _bound_signatures()

    def _admit(self, call: Message, frame: _Frame, user: int | None) -> bool:
        """Return whether to decode and answer a call; refuse it otherwise."""
        standard = (call.interface or "").startswith(_STANDARD)
        if call.flags & MessageFlag.NO_REPLY_EXPECTED and (standard or call.member in self.reads):
            return False
        if self._limits and user is not None and (words := self._limits.exceeded(user, time.monotonic())):
            self._refuse(call, ErrorType.LIMITS_EXCEEDED, words)
            return False
        if call.signature not in _SIGNATURES | self._signatures():
            name = f"{call.interface}.{call.member}"
            self._refuse(call, ErrorType.UNKNOWN_METHOD, f'{name} with signature "{call.signature}" could not be found')
            return False
        if frame.skipped:
            words = f"{frame.body_size} bytes, and a call may have {BODY_MAX}; pass documents as a file (ApplyFile)"
            self._refuse(call, ErrorType.LIMITS_EXCEEDED, words)
            return False
        if self._limits and user is not None:
            self._limits.began(user)
            call.counted_for = user
        return True

    def ended(self, call: Message) -> None:
        """Note that a call is answered, if it counts and was not yet."""
        if self._limits and (user := vars(call).pop("counted_for", None)) is not None:
            self._limits.ended(user)

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

    def __init__(self, bus: GuardedMessageBus, call: Message) -> None:
        self._bus = bus
        self._call = call

    def __call__(self, reply: Message) -> None:
        self._bus.ended(self._call)
        self._call.descriptors.close()
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


class Descriptors:
    """The descriptors that came with a message; they are closed with its answer, or when nobody uses it any more."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def close(self, *, keep: int = 0) -> None:
        """Close them, once; the first ``keep`` stay open."""
        while len(self.numbers) > keep:
            os.close(self.numbers.pop())

    def __del__(self) -> None:
        self.close()


class _Stream(Protocol):
    """The source of the bytes of messages."""

    def read(self, size: int, /) -> bytes | None:
        """Return at most ``size`` bytes; None if there are none now, b"" at the end."""


class _Socket:
    """A `_Stream` over the socket of a connection: the bytes and descriptors of one message."""

    def __init__(self, wrapped: socket.socket) -> None:
        self._wrapped = wrapped
        self.descriptors = Descriptors()

    def read(self, size: int, /) -> bytes | None:
        try:
            data, controls, *_ = self._wrapped.recvmsg(size, _CONTROL)
        except BlockingIOError:
            return None
        for level, kind, content in controls:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                numbers = array.array("i")
                numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
                self.descriptors.numbers.extend(numbers)
        return data


_END = io.BytesIO()
"""The stream of a message that is complete: a length in it that is too large must not read on, into the next one."""


class _Frame(Unmarshaller):
    """One message: its bytes are read first, then its header is decoded, and its body only if it is wanted.

    ``skipped``: the body was not kept, because a call may not have so large a body.
    """

    body_size = 0
    skipped = False

    def __init__(self, stream: _Stream) -> None:
        super().__init__(stream)
        self.readers["h"] = self._read_descriptor
        self.descriptors = getattr(stream, "descriptors", None) or Descriptors()
        self._size = 0
        self._skip = 0

    def is_complete(self) -> bool:
        """Read more bytes; return whether the message is complete. Raises EOFError, ValueError if it is not D-Bus."""
        try:
            self.offset = 0
            if not self._size:
                self.read(16, prefetch=True)
                self._measure()
            self.read(self._size, prefetch=True)
            return self._is_skipped()
        except MarshallerStreamEndError:
            return False

    def _measure(self) -> None:
        """Set the number of bytes to keep, and of those to skip."""
        order = _ORDER.get(self.buf[0])
        if order is None or self.buf[3] != PROTOCOL_VERSION:
            raise ValueError("a message that does not begin as D-Bus messages do")
        self.endian = self.buf[0]
        self.body_size, self._serial, fields_size = struct.unpack_from(f"{order}III", self.buf, 4)
        head_size = 16 + fields_size + self._padding(fields_size, 8)
        self._size = head_size + self.body_size
        if self.buf[1] == MessageType.METHOD_CALL.value and (head_size > HEAD_MAX or self.body_size > BODY_MAX):
            self.skipped = True
            self._size, self._skip = (head_size, self.body_size) if head_size <= HEAD_MAX else (16, self._size - 16)

    def _is_skipped(self) -> bool:
        """Read bytes that are not kept, `SKIP_AT_ONCE` at most; return whether all are read."""
        end = max(0, self._skip - SKIP_AT_ONCE)
        while self._skip > end:
            data = self.stream.read(min(self._skip, _CHUNK))
            if data is None:
                return False
            if not data:
                raise EOFError
            self._skip -= len(data)
        return not self._skip

    def is_wanted(self, signals: Iterable[tuple[str, str]]) -> bool:
        """Return whether this is one of these signals, see `GuardedMessageBus.wanted_signals`, or not a signal."""
        if self.buf[1] != MessageType.SIGNAL.value:
            return True
        order, begin = _ORDER[self.buf[0]], self._size - self.body_size
        return any(
            b"\x03\x01s\0" + _text(order, member) in self.buf[:begin]  # the header field MEMBER, and its type
            and (not first or self.buf.startswith(_text(order, first), begin))
            for member, first in signals
        )

    def head(self) -> Message | None:
        """Decode the header: a message without its body.

        Return None for an unknown type, the serial 0, which no reply can name, and for too large a header.
        """
        kind = _TYPES.get(self.buf[1])
        if kind is None or not self._serial or (self.skipped and self._size == 16):
            return None
        self.stream = _END
        self.offset = 12
        rows = self.read_argument(SignatureTree._get("a(yv)").types[0])
        known = [(code, value) for code, value in rows if code in _FIELDS]
        if any(value.signature != _FIELDS[code] for code, value in known):
            raise ValueError("a header field of another type")
        fields: dict[str, Any] = {HeaderField(code).name: value.value for code, value in known}
        if not is_bus_name_valid(fields.get("SENDER", ":1.0")):  # no answer could be sent
            raise ValueError("the sender is not the name of a connection")
        self.align(8)
        message = Message(
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
            unix_fds=self.descriptors.numbers,
        )
        message.descriptors = self.descriptors  # which lives as long as the message
        return message

    def body(self, head: Message) -> list[Any]:
        """Decode the body, after `head`."""
        return [self.read_argument(kind) for kind in head.signature_tree.types]

    def release(self) -> None:
        """Let go of the bytes: the table of readers refers to this object, and so would keep it."""
        self.readers = {}

    def read_variant(self, _: object = None) -> Any:
        """Decode a variant as dbus-next does, within the bound of its cache."""
        _bound_signatures()
        return super().read_variant()

    def _read_descriptor(self, _: object = None) -> int:
        index: int = self.read_uint32()
        if index >= len(self.descriptors.numbers):
            raise ValueError(f"there is no descriptor {index}")
        return index


def _text(order: str, text: str) -> bytes:
    """Return the bytes of a string."""
    return struct.pack(f"{order}I", len(text)) + text.encode() + b"\0"


def _bound_signatures() -> None:
    if len(SignatureTree._cache) > SIGNATURES_MAX:
        SignatureTree._cache.clear()
