"""Has the programs that bring the network up read what changed, and touches no other link; effect.

None of them is restarted: systemd-networkd reads its files again and configures anew the links whose file is another
one, as do NetworkManager with the connections and ifupdown with the interfaces that are named. One that does not run
reads all when it starts, as at boot.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ordain.agent.model import UnitVerdict
from ordain.agent.plan.network_changes import NetworkChange
from ordain.agent.system import atomic_files
from ordain.agent.system.bus import BusError
from ordain.agent.system.systemd1 import Systemd
from ordain.agent.system.transient_units import run

NETWORKD, MANAGER, IFUPDOWN, UDEV = (
    *("systemd-networkd.service", "NetworkManager.service", "networking.service", "systemd-udevd.service"),
)
NAME, PATH = "org.freedesktop.network1", "/org/freedesktop/network1"
COMMANDS = "ordain-network.service"
SAID, STANZAS = "run/ordain/network/said", "run/ordain/network/interfaces"
COMMANDS_SEC = 120.0
SETTLE_SEC = 10.0
"""How long networkd may take to configure a link; DHCP without a server takes for ever."""
POLL_SEC = 0.1
RESULT = "not-configured"
Links = Sequence[Mapping[str, Any]]
_BUSY = frozenset({"pending", "initialized", "configuring"})


class Networking:
    """The network of the machine below ``root``."""

    def __init__(self, systemd: Systemd, root: Path) -> None:
        self._systemd, self._root = systemd, root

    async def change(self, change: NetworkChange) -> list[UnitVerdict]:
        """Make ``change`` real; a verdict for each program that could not."""
        states = await self._systemd.list_units((NETWORKD, MANAGER, IFUPDOWN, UDEV))
        runs = {unit for unit, state in states.items() if state.running}
        wrong: list[UnitVerdict] = []
        commands = list(self._commands(change, runs))
        if commands:
            said = await run(
                self._systemd,
                COMMANDS,
                "Network of the Documents",
                commands,
                said=self._root / SAID,
                seconds=COMMANDS_SEC,
            )
            wrong += [_failed(COMMANDS, said)] if said else []
        if change.networkd and NETWORKD in runs:
            try:
                await self._networkd(change)
            except (BusError, ValueError) as error:
                wrong.append(_failed(NETWORKD, str(error)))
        (self._root / STANZAS).unlink(missing_ok=True)
        return wrong

    def _commands(self, change: NetworkChange, runs: Collection[str]) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        if change.links and UDEV in runs:
            found.append(("udevadm", "control", "--reload"))
            found.append(("-udevadm", "trigger", "--action=add", "--subsystem-match=net"))
            found.append(("-udevadm", "settle", "--timeout=10"))
        if NETWORKD in runs:
            found += [("-networkctl", "delete", name) for name in change.dropped]
            # A file that is no newer keeps naming the device that is gone (network_reload of networkd-network.c).
            found += [("touch", path) for path in change.around]
        if MANAGER in runs and (change.profiles or change.forgotten):
            found += [("-nmcli", "connection", "down", "uuid", uuid) for uuid in change.forgotten]
            found.append(("nmcli", "connection", "reload"))
            found += [("-nmcli", "--wait", "20", "connection", "up", "filename", path) for path in change.profiles]
        if IFUPDOWN in runs and change.down:
            folder = (self._root / STANZAS).parent
            atomic_files.make_folder(folder)
            atomic_files.replace(self._root / STANZAS, change.stanzas.encode())
            found.append(("-ifdown", "--force", f"--interfaces=/{STANZAS}", *change.down))
        if IFUPDOWN in runs and change.up:
            found.append(("ifup", "--force", *change.up))
        return found

    async def _networkd(self, change: NetworkChange) -> None:
        """Have systemd-networkd read its files, and wait until it has done what they say."""
        gone = frozenset(change.dropped)
        await self._until(lambda links: gone.isdisjoint(link["Name"] for link in links))
        await self._call("Reload")
        for link in await self._links():  # those that failed for want of the device are left so by a reload
            if link.get("NetworkFile") in change.around:
                await self._call("ReconfigureLink", "i", link["Index"])
        await self._until(lambda links: not any(link.get("AdministrativeState") in _BUSY for link in links))

    async def _until(self, holds: Callable[[Links], bool]) -> None:
        for _ in range(int(SETTLE_SEC / POLL_SEC)):
            if holds(await self._links()):
                return
            await asyncio.sleep(POLL_SEC)

    async def _links(self) -> Links:
        """What networkd knows of each link (`networkctl --json=short`)."""
        said = json.loads(await self._call("Describe"))
        return list(said.get("Interfaces", ()))

    async def _call(self, member: str, signature: str = "", *body: Any) -> Any:
        return await self._systemd.bus.call(NAME, PATH, f"{NAME}.Manager", member, signature, *body)


def _failed(unit: str, what: str) -> UnitVerdict:
    return UnitVerdict(unit=unit, ok=False, what=f"cannot bring the network up: {what}", result=RESULT, blamed=True)
