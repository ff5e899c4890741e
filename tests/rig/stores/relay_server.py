"""A relay, as `ordainctl serve --store` runs it, in this process; it can be cut off from its store, and killed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from ordain.agent.delivery.database.database import Database
from ordain.agent.server.relay.relay import Relay
from ordain.agent.server.server import BootServer


class RunningRelay:
    """A relay and the URL that it answers at, until `kill`."""

    def __init__(self, relay: Relay, server: BootServer, runner: web.AppRunner) -> None:
        self.relay = relay
        self.server = server
        self._runner = runner
        self._tasks = [asyncio.create_task(work) for work in (relay.follow(), relay.forward(), server.follow())]
        self.port = int(runner.addresses[0][1])
        self.url = f"http://127.0.0.1:{self.port}"

    async def kill(self) -> None:
        """End the relay; what is on its disk stays."""
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self.server.end()
        await self._runner.cleanup()


@contextlib.asynccontextmanager
async def running_relay(
    database: Database,
    state: Path,
    name: str = "relay1",
    port: int = 0,
    tokens: Path | None = None,
    files: Path | None = None,
    place: str = "",
) -> AsyncIterator[RunningRelay]:
    """Run a relay of ``database`` with its files below ``state``."""
    relay = Relay(name=name, database=database, state=state, pace_sec=0.01, place=place)
    server = BootServer(None, relay=relay, state=state, tokens=tokens, files=files)
    relay.load()
    runner = web.AppRunner(server.app(), access_log=None, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    running = RunningRelay(relay, server, runner)
    try:
        yield running
    finally:
        await running.kill()
