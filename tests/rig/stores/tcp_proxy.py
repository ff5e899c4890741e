"""A TCP proxy that fails as networks do: it drops everything, or ends a connection in the middle of a line."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


class Proxy:
    """A proxy to ``upstream``, a URL.

    While it is frozen, nothing passes, without an error; new connections are still accepted.
    """

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
        """Return the URL for clients."""
        return f"{self._scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def freeze(self) -> None:
        """Stop forwarding."""
        self._running.clear()

    def thaw(self) -> None:
        """Forward again, first what was held back."""
        self._running.set()

    def cut(self) -> None:
        """Forward one more byte of the next answer, then end its connection."""
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
        for _ in range(3):
            await asyncio.sleep(0)  # the loop closes the descriptors of closed connections in its next turns

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._running.wait()
            upstream_reader, upstream_writer = await asyncio.open_connection(*self._target)
        except (OSError, asyncio.CancelledError):
            writer.close()
            return
        directions = [
            asyncio.ensure_future(w)
            for w in (self._pass(reader, upstream_writer, False), self._pass(upstream_reader, writer, True))
        ]
        try:
            await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for direction in directions:
                direction.cancel()
            for stream in (writer, upstream_writer):
                stream.close()
            await asyncio.gather(*directions, return_exceptions=True)
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
