"""A boot server, as `ordainctl serve` runs it, in this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web

from ordain.agent.server.prebuilt_caches import PrebuiltCaches
from ordain.agent.server.server import BootServer


@contextlib.asynccontextmanager
async def running_boot_server(
    directory: Path, prebuilt: PrebuiltCaches | None = None, seconds: float = 20
) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """Run a server for ``directory``; yield a client session and its URL. Fails after ``seconds``."""
    server = BootServer(directory, prebuilt)
    await server.load()
    runner = web.AppRunner(server.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    following = asyncio.create_task(server.follow())
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(seconds):
            yield session, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        following.cancel()
        await asyncio.wait([following])
        server.end()
        await runner.cleanup()
