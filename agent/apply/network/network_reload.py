"""Has the programs that bring the network up read their changed files, without touching other links.

    two generations, what somebody changed ──network_change──▶ NetworkChange
    NetworkChange ──apply──▶ networkd, NetworkManager, ifupdown ──▶ UnitVerdict
    restore undoes what was done about that what somebody changed

None of these programs is restarted. systemd-networkd reads its files again and configures those links anew whose file
has changed; NetworkManager does so with connections, ifupdown with the interfaces that it is told. A program that does
not run reads everything when it starts, as at boot.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ordain.agent.apply.differences.network_differences import (
    UNITS,
    DeviceFinding,
    ReadNetwork,
    Repair,
    faults_of_apply,
    findings,
    is_repaired,
    link_states,
    network_reader,
)
from ordain.agent.apply.network import network_snapshot
from ordain.agent.apply.network.network_snapshot import NetworkSnapshot
from ordain.agent.json_codec import from_json
from ordain.agent.model import Generation, Plan, UnitVerdict, to_json
from ordain.agent.plan.changes.network_changes import (
    DeviceRepair,
    NetworkChange,
    displaced_files,
    network_change,
    repaired_files,
)
from ordain.agent.plan.network_expectation import ExpectedDevice, changed_devices, expected_devices
from ordain.agent.system import atomic_files
from ordain.agent.system.dbus.bus import BusError
from ordain.agent.system.netlink import KernelNetwork
from ordain.agent.system.systemd.systemd1 import Systemd
from ordain.agent.system.systemd.transient_units import run

NETWORKD, NETWORK_MANAGER, IFUPDOWN = (UNITS[name] for name in ("systemd-networkd", "NetworkManager", "ifupdown"))
UDEV = "systemd-udevd.service"
NAME, PATH = "org.freedesktop.network1", "/org/freedesktop/network1"
COMMANDS = "ordain-network.service"
SNAPSHOT = "run/ordain/network/before"
"""The network before a repair, while that may still be undone."""
COMMANDS_OUTPUT, OLD_STANZAS = "run/ordain/network/said", "run/ordain/network/interfaces"
COMMANDS_SEC = 120.0
SETTLE_SEC = 10.0
"""networkd may take this long to configure a link; DHCP without a server never ends."""
POLL_SEC = 0.1
RESULT = "not-configured"
Links = Sequence[Mapping[str, Any]]
_BUSY = frozenset({"pending", "initialized", "configuring"})


class NetworkReload:
    """Changes the network of the machine below ``root``."""

    def __init__(self, systemd: Systemd, root: Path, read_network: ReadNetwork | None = None) -> None:
        self._systemd, self._root = systemd, root
        self._read_network = read_network or network_reader(root)

    async def apply(
        self, old: Generation, new: Generation, plan: Plan, *, asked: bool = False, rolls_back: bool = False
    ) -> list[UnitVerdict]:
        """Have the files of ``plan``, which were placed, take effect; return a verdict for each failure.

        Devices that somebody has changed are configured again if the plan says so. The network before that is kept for
        `restore`. If an administrator has ``asked`` for the apply, the programs read files again that others had
        changed. The devices of the changes must come up, unless the apply ``rolls_back``.
        """
        paths = repaired_files(plan)
        broken, network = self._broken(new, paths) if paths else ((), None)
        states = await self._systemd.list_units((*UNITS.values(), UDEV))
        running = {unit for unit, state in states.items() if state.running}
        wrong = [
            UnitVerdict(unit=finding.device.item, ok=False, what=f"{unit} does not run, so nothing configures it")
            for finding in broken
            for unit in (UNITS[finding.device.program],)
            if unit not in running
        ]
        idle = {verdict.unit for verdict in wrong}
        broken = [finding for finding in broken if finding.device.item not in idle]
        repairs = [_repair_of(finding) for finding in broken]
        if network and repairs:
            self._keep(network, new, [repair.name for repair in repairs])
        change = network_change(old, new, repairs, displaced_files(plan) if asked else ())
        if not change:
            return wrong
        items = {finding.device.item for finding in broken}
        changed = [*changed_devices(old, new), *(d for d in expected_devices(new) if d.item in items)]
        return [*wrong, *await self._take_effect(change, running, () if rolls_back else changed)]

    def _broken(
        self, generation: Generation, paths: Collection[str]
    ) -> tuple[list[DeviceFinding], KernelNetwork | None]:
        """Return what is to be repaired about the devices of the files ``paths``, and the network as it is."""
        network = self._read_network()
        if network is None:
            return [], None
        # A file that was placed again a moment ago gives its device no time: the device had differed before.
        known = findings(expected_devices(generation), network, link_states(self._root, network), {})
        return [finding for finding in known if is_repaired(finding) and finding.device.path in paths], network

    def _keep(self, network: KernelNetwork, generation: Generation, names: Iterable[str]) -> None:
        """Keep the ``network`` as it is, for `restore`."""
        of_documents = {device.name for device in expected_devices(generation) if not device.has_pattern}
        path = self._root / SNAPSHOT
        atomic_files.make_folder(path.parent)
        snapshot = network_snapshot.take(network, {*names, *of_documents} - {""})
        atomic_files.replace(path, json.dumps(to_json(snapshot)).encode())

    async def restore(self) -> list[UnitVerdict]:
        """Bring the network back that was there before the last repair; do nothing if that has succeeded."""
        try:
            before = from_json(NetworkSnapshot, json.loads(atomic_files.read(self._root / SNAPSHOT)))
        except (OSError, ValueError):
            return []
        network = self._read_network()
        back = [] if network is None else list(network_snapshot.commands(before, network))
        message = await self._run(back) if back else ""
        self.forget()
        return [_failed(COMMANDS, message)] if message else []

    def forget(self) -> None:
        """Forget the network before the last repair."""
        (self._root / SNAPSHOT).unlink(missing_ok=True)

    async def _run(self, commands: Sequence[tuple[str, ...]]) -> str:
        return await run(
            self._systemd,
            COMMANDS,
            "Network of the Documents",
            commands,
            output=self._root / COMMANDS_OUTPUT,
            seconds=COMMANDS_SEC,
        )

    async def _take_effect(
        self, change: NetworkChange, running: Collection[str], devices: Sequence[ExpectedDevice]
    ) -> list[UnitVerdict]:
        """Have ``change`` take effect; return a verdict for each program that failed.

        ``devices`` must then come up: each that does not in time is a failure, too.
        """
        wrong: list[UnitVerdict] = []
        if commands := self._commands(change, running):
            message = await self._run(commands)
            wrong += [_failed(COMMANDS, message)] if message else []
        if change.networkd and NETWORKD in running:
            try:
                await self._reload_networkd(change)
            except (BusError, ValueError) as error:
                wrong.append(_failed(NETWORKD, str(error)))
        (self._root / OLD_STANZAS).unlink(missing_ok=True)
        return wrong or [verdict async for verdict in self._failures(devices)]

    async def _failures(self, devices: Sequence[ExpectedDevice]) -> AsyncIterator[UnitVerdict]:
        """Wait until ``devices`` are as their programs were told; yield a verdict for each that is not in time."""
        for _ in range(int(SETTLE_SEC / POLL_SEC)):
            if not (failed := self._failed_devices(devices)):
                return
            await asyncio.sleep(POLL_SEC)
        errors = [line for line in self._output().splitlines() if line.startswith("Error: ")]
        for finding in failed:
            said = f" ({errors[-1]})" if errors and finding.device.program == "NetworkManager" else ""
            yield _failed(finding.device.item, f"{finding.what}{said}")

    def _failed_devices(self, devices: Sequence[ExpectedDevice]) -> list[DeviceFinding]:
        network = self._read_network() if devices else None
        if network is None:
            return []
        return faults_of_apply(findings(devices, network, link_states(self._root, network), {}))

    def _output(self) -> str:
        """Return the output of the commands of the last change."""
        try:
            return (self._root / COMMANDS_OUTPUT).read_text("utf-8", "replace")
        except OSError:
            return ""

    def _commands(self, change: NetworkChange, running: Collection[str]) -> list[tuple[str, ...]]:
        """Return the commands for the programs in ``running``; those that begin with ``-`` may fail."""
        commands: list[tuple[str, ...]] = []
        if change.links and UDEV in running:
            commands.append(("udevadm", "control", "--reload"))
            commands.append(("-udevadm", "trigger", "--action=add", "--subsystem-match=net"))
            commands.append(("-udevadm", "settle", "--timeout=10"))
        if NETWORKD in running:
            commands += [("-networkctl", "delete", name) for name in change.dropped]
            # networkd would keep a link on the deleted device unless its file is newer (networkd-network.c,
            # network_reload).
            commands += [("touch", path) for path in change.around]
        if NETWORK_MANAGER in running and (change.profiles or change.forgotten):
            gone = (*change.forgotten, *change.made_again)
            commands += [("-nmcli", "connection", "down", "uuid", uuid) for uuid in gone]
            # One after the other: NetworkManager makes a virtual device when it reads the connection, if it then knows
            # the connection of the device below, and not later.
            for path in change.profiles:
                commands.append(("nmcli", "connection", "load", path))
                commands.append(("-nmcli", "--wait", "20", "connection", "up", "filename", path))
            commands += [("nmcli", "connection", "reload")] if change.forgotten else []
        if IFUPDOWN in running and change.down:
            folder = (self._root / OLD_STANZAS).parent
            atomic_files.make_folder(folder)
            atomic_files.replace(self._root / OLD_STANZAS, change.stanzas.encode())
            commands.append(("-ifdown", "--force", f"--interfaces=/{OLD_STANZAS}", *change.down))
        if IFUPDOWN in running and change.up:
            commands.append(("ifup", "--force", *change.up))
        return commands

    async def _reload_networkd(self, change: NetworkChange) -> None:
        """Have systemd-networkd read its files, and wait until it has configured the links."""
        dropped = frozenset(change.dropped)
        await self._wait_until(lambda links: dropped.isdisjoint(link["Name"] for link in links))
        await self._call("Reload")
        for link in await self._links():  # a reload leaves links alone that failed because their device was missing
            if link.get("NetworkFile") in change.around:
                await self._call("ReconfigureLink", "i", link["Index"])
        await self._wait_until(lambda links: all(map(self._is_settled, links)))

    def _is_settled(self, link: Mapping[str, Any]) -> bool:
        """Return whether networkd has configured the link, or has let go of it after its file was removed."""
        file = link.get("NetworkFile")
        let_go = not file or (self._root / file.lstrip("/")).exists()
        return let_go and link.get("AdministrativeState") not in _BUSY

    async def _wait_until(self, holds: Callable[[Links], bool]) -> None:
        for _ in range(int(SETTLE_SEC / POLL_SEC)):
            if holds(await self._links()):
                return
            await asyncio.sleep(POLL_SEC)

    async def _links(self) -> Links:
        """Return networkd's description of each link (`networkctl --json=short`)."""
        description = json.loads(await self._call("Describe"))
        return list(description.get("Interfaces", ()))

    async def _call(self, member: str, signature: str = "", *body: Any) -> Any:
        return await self._systemd.bus.call(NAME, PATH, f"{NAME}.Manager", member, signature, *body)


def _repair_of(finding: DeviceFinding) -> DeviceRepair:
    device = finding.device
    return DeviceRepair(
        path=device.path,
        name=finding.interface or device.name,
        again=finding.repair is Repair.MAKE,
        ports=finding.repair is Repair.PORTS,
    )


def _failed(unit: str, what: str) -> UnitVerdict:
    public = "could not change the network"
    return UnitVerdict(unit=unit, ok=False, what=f"{public}: {what}", result=RESULT, blamed=True, public=public)
