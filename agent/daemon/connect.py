"""A `Client` for whoever needs one: over D-Bus when org.ordain.Agent1 is on the bus, else one that does the work in
this process, over pystemd, under the same lock. Callers never care which."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ordain.agent.daemon.client import Client
from ordain.agent.system.bus import DBUS, DBUS_PATH, Bus
from ordain.agent.system.bus_pystemd import Pystemd

# What only one of the two needs is imported where it is needed: ordainctl starts in a fraction of the time.


@asynccontextmanager
async def connect(root: Path = Path("/")) -> AsyncIterator[Client]:
    """The agent of this machine, or its stand-in. Raises `Unavailable` where there is no bus."""
    bus = Pystemd()
    try:
        if await bus.call(DBUS, DBUS_PATH, DBUS, "NameHasOwner", "s", "org.ordain.Agent1"):
            from ordain.agent.daemon.remote import Remote
            from ordain.agent.system.bus_dbus_next import DbusNext

            connection = await DbusNext.open()
            try:
                yield Remote(connection)
            finally:
                connection.close()
        else:
            yield await _local(bus, root)
    finally:
        bus.close()


async def _local(bus: Bus, root: Path) -> Client:
    from ordain.agent.apply.parts import build_parts
    from ordain.agent.compile.executor import run_inline
    from ordain.agent.daemon.in_process import Local
    from ordain.agent.delivery.source.boot_documents import with_boot_documents
    from ordain.agent.delivery.source.source_factory import open_source
    from ordain.agent.settings import read_settings
    from ordain.agent.system.systemd1 import Systemd

    settings, problems = read_settings(root)
    parts = build_parts(systemd=await Systemd.open(bus), executor=run_inline, root=root)
    source = with_boot_documents(open_source(settings.source, root), root, settings.trust)
    return Local(parts=parts, source=source, settings=settings, problems=problems, caller=os.getpid())
