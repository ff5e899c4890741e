"""A fake PID 1 at a socket of its own, without a bus between, as the real one serves /run/systemd/private."""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from dbus_next._private.unmarshaller import Unmarshaller
from dbus_next.message import Message

Answers = Callable[[Message], Sequence[Message]]


class FakeManager:
    """The listening side; ``calls`` are the members that were called."""

    def __init__(self, path: Path, answers: Answers) -> None:
        self.calls: list[str] = []
        self._path = path
        self._answers = answers
        self._serial = 1000
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def leave(self) -> None:
        """End all connections, and do not listen, as during a re-execution."""
        assert self._server is not None
        self._server.close()
        self._path.unlink(missing_ok=True)
        for writer in self._writers:
            writer.close()
        self._writers = []

    def send(self, message: Message) -> None:
        """Send a message to every connection."""
        self._serial += 1
        message.serial = self._serial
        for writer in self._writers:
            writer.write(message._marshall(False))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readuntil(b"BEGIN\r\n") == b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n"
        writer.write(b"OK 0123456789abcdef\r\n")
        self._writers.append(writer)
        while start := await reader.read(16):
            size = int.from_bytes(start[4:8], "little")
            fields = int.from_bytes(start[12:16], "little")
            rest = await reader.readexactly(fields + -fields % 8 + size)
            call = _decoded(start + rest)
            self.calls.append(str(call.member))
            for message in self._answers(call):
                self.send(message)


@asynccontextmanager
async def fake_manager(path: Path, answers: Answers) -> AsyncIterator[FakeManager]:
    """Yield a fake PID 1 that listens at ``path``."""
    fake = FakeManager(path, answers)
    await fake.listen()
    try:
        yield fake
    finally:
        await fake.leave()


def _decoded(data: bytes) -> Message:
    unmarshaller = Unmarshaller(io.BytesIO(data))
    message = unmarshaller.unmarshall()
    assert isinstance(message, Message)
    return message
