"""Opens a `Client`: over D-Bus if an agent is on the bus, else one that does the work in this process.

Both take the same lock, so a caller does not need to know which one it has.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ordain.agent.daemon.clients.client import BUS_NAME, ROOT_BUS_NAME, Client
from ordain.agent.system.dbus.blocking_bus import open_blocking_bus
from ordain.agent.system.dbus.bus import DBUS, DBUS_PATH, Bus
from ordain.agent.system.dbus.dbus_next_driver import DbusNext

if TYPE_CHECKING:
    from ordain.agent.status import Status

# The imports that only one of the two needs are in its function: ordainctl starts in a fraction of the time.


@asynccontextmanager
async def connect(root: Path = Path("/")) -> AsyncIterator[Client]:
    """Yield the client of this machine. Raises `Unavailable` if there is no bus."""
    bus = await DbusNext.open()
    try:
        name = await _agent_name(bus)
    except BaseException:
        bus.close()
        raise
    if name:
        from ordain.agent.daemon.clients.remote import RemoteClient

        client = RemoteClient(bus, root, name, partial(_observed, root))
        try:
            yield client
        finally:
            client.close()  # it may have another connection by now
    else:
        bus.close()
        async with _in_process(root) as without_agent:
            yield without_agent


async def _agent_name(bus: Bus) -> str:
    """Return the name of the agent on the bus for this user, "" if no agent runs.

    Users can delay answers at the public name by many calls, and root does not have to wait for them.
    """
    for name in (ROOT_BUS_NAME, BUS_NAME) if os.geteuid() == 0 else (BUS_NAME,):
        if await bus.call(DBUS, DBUS_PATH, DBUS, "NameHasOwner", "s", name):
            return name
    return ""


async def _observed(root: Path) -> Status:
    """Return the status of the machine as this process sees it: its agent does not answer."""
    async with _in_process(root, silent=True) as client:
        return await client.status()


@asynccontextmanager
async def _in_process(root: Path, *, silent: bool = False) -> AsyncIterator[Client]:
    """Yield a client that does the work in this process, as no agent runs, or the agent is ``silent``."""
    bus = open_blocking_bus()
    try:
        yield await _in_process_over(bus, root, silent=silent)
    finally:
        bus.close()


async def _in_process_over(bus: Bus, root: Path, *, silent: bool) -> Client:
    from ordain.agent.apply.apply_parts import build_parts
    from ordain.agent.compile.executor import run_inline
    from ordain.agent.daemon.clients.in_process import InProcessClient
    from ordain.agent.daemon.status.source_reader import SourceReader, open_configured_source
    from ordain.agent.daemon.status.status_reader import AGENT_DOWN, SILENT_AGENT, StatusReader
    from ordain.agent.settings import read_settings
    from ordain.agent.system.systemd.systemd1 import Systemd

    settings, problems = read_settings(root)
    parts = build_parts(systemd=await Systemd.open(bus), executor=run_inline, root=root)
    reader = SourceReader(
        source=open_configured_source(settings, root),
        settings=settings,
        root=root,
        executor=run_inline,
        store=parts.store,
    )
    caller = os.getpid()
    agent = SILENT_AGENT if silent else AGENT_DOWN
    status = StatusReader(parts=parts, source=reader, settings_problems=problems, agent=agent, caller=caller)
    return InProcessClient(
        parts=parts, source=reader, read_status=status.read, settings_problems=lambda: problems, caller=caller
    )
