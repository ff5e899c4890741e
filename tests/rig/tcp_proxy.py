"""A TCP proxy that does what networks do: swallow everything, or end a connection in the middle of a line."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """Forwards to ``upstream``, a URL. ``frozen``: nothing passes, and nobody is told; new connections are taken."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._target = (parts.hostname or "", parts.port or 0)
        self._scheme = parts.scheme
        self._running = asyncio.Event()
        self._running.set()
        self._cut_at: int | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"{self._scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def freeze(self) -> None:
        """From now on nothing passes."""
        self._running.clear()

    def thaw(self) -> None:
        """What was held back passes."""
        self._running.set()

    def cut(self) -> None:
        """Pass on one byte more of each answer, then end the connection."""
        self._cut_at = 1

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._running.wait()
            there, back = await asyncio.open_connection(*self._target)
        except (OSError, asyncio.CancelledError):
            writer.close()
            return
        ways = [asyncio.ensure_future(w) for w in (self._pass(reader, back, False), self._pass(there, writer, True))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (writer, back):
                end.close()
            self._tasks.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._running.wait()
                if answer and self._cut_at is not None:
                    writer.write(data[: self._cut_at])
                    await writer.drain()
                    self._cut_at = None
                    return
                writer.write(data)
                await writer.drain()
