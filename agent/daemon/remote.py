"""The client of a running agent, over D-Bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from dbus_next.signature import Variant

from ordain.agent.daemon.client import BUS_NAME, OBJECT_PATH, Documents
from ordain.agent.errors import BY_NAME, REFUSED
from ordain.agent.json_codec import from_json
from ordain.agent.model import Hold, Outcome, Plan
from ordain.agent.status import Status, UnitExplanation
from ordain.agent.system.bus import BusError, Signal
from ordain.agent.system.bus_dbus_next import DbusNext
from ordain.transforms.document.reader import read
from ordain.transforms.errors import Problem, Refused

APPLY_TIMEOUT_SEC = 3600.0
"""Longer than an apply takes: the agent limits that by the timeouts of the units."""
CONFIRM_TIMEOUT_SEC = 25.0


class RemoteClient:
    """A `Client` that asks the agent on the bus."""

    agent = True

    def __init__(self, bus: DbusNext) -> None:
        self._bus = bus

    async def _call(self, member: str, signature: str = "", *body: Any, timeout_sec: float = APPLY_TIMEOUT_SEC) -> Any:
        try:
            return await self._bus.call(
                BUS_NAME, OBJECT_PATH, BUS_NAME, member, signature, *body, timeout_sec=timeout_sec
            )
        except BusError as error:
            if error.error == REFUSED:
                raise Refused(from_json(tuple[Problem, ...], json.loads(error.message))) from None
            if error.error in BY_NAME:
                raise BY_NAME[error.error](error.message) from None
            raise

    async def plan(self, documents: Documents | None = None) -> Plan:
        """See `Client.plan`."""
        return from_json(Plan, json.loads(await self._call("Plan", "a(ss)", _texts(documents))))

    async def apply(self, documents: Documents | None = None, *, once: bool = False, confirm_sec: int = 0) -> Outcome:
        """See `Client.apply`."""
        options = {"once": Variant("b", once), "confirm": Variant("u", confirm_sec)}
        return from_json(Outcome, json.loads(await self._call("Apply", "a(ss)a{sv}", _texts(documents), options)))

    async def confirm(self) -> int:
        """See `Client.confirm`. The wait is short: an agent that does not answer confirms nothing."""
        return int(await self._call("Confirm", timeout_sec=CONFIRM_TIMEOUT_SEC))

    async def rollback(self, number: int = 0) -> Outcome:
        """See `Client.rollback`."""
        return from_json(Outcome, json.loads(await self._call("Rollback", "u", number)))

    async def status(self) -> Status:
        """See `Client.status`."""
        return from_json(Status, json.loads(await self._call("Status")))

    async def explain(self, about: str) -> UnitExplanation:
        """See `Client.explain`."""
        return from_json(UnitExplanation, json.loads(await self._call("Explain", "s", about)))

    async def hold(self, unit: str, *, unmask: bool = False) -> Hold:
        """See `Client.hold`."""
        return from_json(Hold, json.loads(await self._call("Hold", "sa{sv}", unit, {"unmask": Variant("b", unmask)})))

    async def unhold(self, unit: str) -> Outcome | None:
        """See `Client.unhold`."""
        return from_json(Outcome | None, json.loads(await self._call("Unhold", "s", unit)))  # type: ignore[arg-type]

    async def follow_unit(self, unit: str) -> Outcome | None:
        """See `Client.follow_unit`."""
        return from_json(Outcome | None, json.loads(await self._call("FollowUnit", "s", unit)))  # type: ignore[arg-type]

    async def refresh(self) -> None:
        """See `Client.refresh`."""
        await self._call("Refresh")

    async def pause(self) -> None:
        """See `Client.pause`."""
        await self._call("Pause")

    async def resume(self) -> None:
        """See `Client.resume`."""
        await self._call("Resume")

    async def follow(self) -> None:
        """See `Client.follow`."""
        await self._call("Follow")

    async def watch(self) -> AsyncIterator[Status]:
        """See `Client.watch`."""
        changed = asyncio.Event()
        changed.set()

        def on_signal(_signal: Signal) -> None:
            changed.set()

        await self._bus.listen(BUS_NAME, OBJECT_PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", on_signal)
        while True:
            await changed.wait()
            changed.clear()
            yield await self.status()


def _texts(documents: Documents | None) -> list[list[str]]:
    """Return documents as D-Bus carries them. Raises `Refused` for bytes that are not UTF-8, as D-Bus strings are."""
    texts = []
    problems: list[Problem] = []
    for path, data in documents or ():
        try:
            text = data.decode()
        except UnicodeDecodeError:
            problems += read(path, data)[1]
        else:
            # A D-Bus string cannot hold NUL. A document cannot hold either character, and the agent reports that.
            texts.append([path, text.replace("\0", "\x01")])
    if problems:
        raise Refused(problems)
    return texts
