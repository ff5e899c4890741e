"""The agent as its users see it, whether it runs or not.

`connect` gives a `Client`: over D-Bus when org.ordain.Agent1 is on the bus, else one that does the work in
this process, over pystemd, under the same lock. Callers never care which.

Every method raises `Refused` (documents that are wrong) or a `Failure` (see there).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from ordain.agent.bus import Bus
from ordain.agent.model import Outcome, Plan
from ordain.agent.status import Status

Documents = Sequence[tuple[str, bytes]]
"""Documents to use in place of the source's: the path to show in problems, and the bytes."""


class Client(Protocol):
    """What can be asked of the agent. ``documents=None``: those of the source."""

    agent: bool
    """Whether the agent runs and does what is asked."""

    async def plan(self, documents: Documents | None = None) -> Plan:
        """What `apply` would do, with what the documents' problems block or warn of."""

    async def apply(self, documents: Documents | None = None, *, once: bool = False, confirm_sec: int = 0) -> Outcome:
        """Make the documents real. With documents, following is paused unless ``once``."""

    async def status(self) -> Status:
        """How things are."""

    async def explain(self, about: str) -> Mapping[str, Any]:
        """All that is known of a unit, a path or a pointer."""

    async def refresh(self) -> None:
        """Read the source again now."""

    async def pause(self) -> None:
        """Follow the source no more, until `resume`."""

    async def resume(self) -> None:
        """Follow the source again."""

    async def follow(self) -> None:
        """Let go of a pinned generation and of documents applied by hand."""

    def watch(self) -> AsyncIterator[Status]:
        """The status now, and again whenever it changes."""


@asynccontextmanager
async def connect(root: Path = Path("/")) -> AsyncIterator[Client]:
    """The agent of this machine, or its stand-in. Raises `Unavailable` where there is no bus."""
    # Imported here: a look at documents alone needs no bus.
    from ordain.agent.bus import DBUS, DBUS_PATH
    from ordain.agent.bus_pystemd import Pystemd

    bus = Pystemd()
    try:
        if await bus.call(DBUS, DBUS_PATH, DBUS, "NameHasOwner", "s", "org.ordain.Agent1"):
            from ordain.agent.bus_dbus_next import DbusNext
            from ordain.agent.remote import Remote

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
    from ordain.agent.engine import Engine
    from ordain.agent.local import Local
    from ordain.agent.settings import read_settings
    from ordain.agent.sources.directory import Directory
    from ordain.agent.systemd1 import Systemd

    settings, problems = read_settings(root)
    engine = Engine(systemd=await Systemd.open(bus), root=root)
    source = Directory(Path(settings.directory))
    return Local(engine=engine, source=source, settings=settings, problems=problems)
