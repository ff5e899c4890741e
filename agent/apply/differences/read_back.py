"""The values of the machine that a generation sets outside of unit states, read again and compared.

Generation, files below the root, PID 1 ──ReadBack──▶ Difference: a condition, and the way to correct it if there is one

Units are compared by the plan itself. Placed files, the network and the values of the host have modules of their own;
here are the addresses of sockets and the options of mounts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from ordain.agent.apply.differences import host_differences
from ordain.agent.apply.differences.difference import Difference, condition, section
from ordain.agent.apply.differences.network_differences import ReadNetwork, network_differences, network_reader
from ordain.agent.apply.differences.placed_file_differences import PlacedFiles
from ordain.agent.generation import holds_with_starters, use_of
from ordain.agent.model import Change, Effect, Generation, Observed
from ordain.agent.plan.diff import placed_units
from ordain.agent.system.bus import BusError, get
from ordain.agent.system.systemd1 import MANAGER, NAME, PATH, Systemd

FLAGS = (("ro", "rw"), ("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev"))
"""Pairs of mount options of which a mount has one: the restriction, and its opposite (mount(8))."""
LISTEN = (
    *("ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO", "ListenSpecial"),
    *("ListenNetlink", "ListenMessageQueue", "ListenUSBFunction"),
)


class ReadBack:
    """Reads the machine below ``root``; ``read_network`` reads the network of its kernel."""

    def __init__(self, systemd: Systemd, root: Path, read_network: ReadNetwork | None = None) -> None:
        self._systemd = systemd
        self._root = root
        self._read_network = read_network or network_reader(root)
        self.files = PlacedFiles(root)

    async def differences(self, generation: Generation, observed: Observed) -> tuple[Difference, ...]:
        """Return everything that differs from ``generation``, in the order of the sections."""
        found: tuple[Difference, ...] = (
            *host_differences.kernel_parameters(generation, self._root),
            *host_differences.kernel_modules(generation, self._root),
            *await self.file_differences(generation, observed),
            *host_differences.accounts(generation, self._root),
            *host_differences.host_name(generation, self._root),
            *host_differences.time_zone(generation, self._root),
            *host_differences.locale(generation, self._root, await self._environment(generation)),
            *network_differences(generation, self._read_network, self._root),
            *[difference async for difference in self._units(generation, observed)],
        )
        return tuple(_with_holds(difference, generation, observed) for difference in found)

    async def file_differences(self, generation: Generation, observed: Observed) -> tuple[Difference, ...]:
        """Return the placed files that somebody has changed."""
        return tuple(_with_holds(found, generation, observed) for found in await self.files.differences(generation))

    async def _environment(self, generation: Generation) -> list[str] | None:
        """Return the environment that PID 1 passes on to services; None if nobody has to know it."""
        if "locale" not in section(generation, "host"):
            return None
        with contextlib.suppress(BusError):
            return list(await get(self._systemd.bus, NAME, PATH, MANAGER, "Environment"))
        return None

    async def _units(self, generation: Generation, observed: Observed) -> Any:
        names = [m for m in generation.members if m.unit.endswith((".socket", ".mount"))]
        active = [member for member in names if observed.unit(member.unit).active_state == "active"]
        placed = placed_units(generation) if active else {}
        for member in active:
            content = placed.get(member.unit)
            if content is None or not content.fragment:
                continue
            with contextlib.suppress(BusError):
                if member.unit.endswith(".socket"):
                    asked = [value for key in LISTEN for value in content.values.get(("Socket", key), ())]
                    bound = [address for _, address in await self._systemd.property(member.unit, "Listen")]
                    if missing := unbound(asked, bound):
                        what = f"{member.unit} does not listen on {', '.join(missing)}: systemd ignored the address"
                        hint = f"see `journalctl -b -u {member.unit}`, and correct the address"
                        found = condition(generation, "NotListening", member.item, what, hint, item=member.item)
                        yield Difference(condition=found, pointer=member.item, actual=", ".join(bound))
                else:
                    asked = content.last("Mount", "Options").split(",")
                    mounted = str(await self._systemd.property(member.unit, "Options")).split(",")
                    if wrong := other_flags(asked, mounted):
                        what = f"{member.unit} is not mounted with {', '.join(wrong)}"
                        change = Change(
                            unit=member.unit,
                            section="Mount",
                            key="Options",
                            old=(",".join(mounted),),
                            new=(",".join(asked),),
                            effect=Effect.RELOAD,
                        )
                        found = condition(generation, "MountOptions", member.item, what, item=member.item)
                        yield Difference(
                            condition=found, pointer=member.item, actual=",".join(mounted), changes=(change,)
                        )


def _with_holds(difference: Difference, generation: Generation, observed: Observed) -> Difference:
    """Return ``difference`` as a note if it is about a unit that is held: an administrator wants it so."""
    if not observed.holds:
        return difference
    holds = holds_with_starters(observed.holds, generation.members)
    units = {change.unit for change in difference.changes}
    if difference.path:
        units |= {member.unit for member in generation.members if use_of(difference.path, member)}
    if not (held := sorted(units & holds.keys())):
        return difference
    found = difference.condition
    hint = f"`ordainctl unhold {held[0]}` returns it to the documents"
    found = replace(found, what=f"{found.what}; kept, because {held[0]} is held", hint=hint, fault=False)
    return replace(difference, condition=found, changes=(), path="", file_changes=())


def unbound(asked: Collection[str], bound: Collection[str]) -> list[str]:
    """Return the addresses of ``asked`` that are not among the addresses in PID 1's words.

    >>> unbound(["8080", "[fe80::1%eth0]:80", "/run/a"], ["[::]:8080", "/run/a"])
    ['[fe80::1%eth0]:80']
    """
    if len(asked) <= len(bound):
        return []
    exact = [
        value for value in asked if not any(address == value or address.endswith(f":{value}") for address in bound)
    ]
    return exact or list(asked)


def other_flags(asked: Collection[str], mounted: Collection[str]) -> list[str]:
    """Return the options in ``asked`` of which a mount has the opposite.

    >>> other_flags(["noexec", "rw", "size=1M"], ["rw", "nosuid"])
    ['noexec']
    """
    wrong = []
    for restriction, opposite in FLAGS:
        if restriction in asked and restriction not in mounted:
            wrong.append(restriction)
        elif opposite in asked and restriction not in asked and restriction in mounted:
            wrong.append(opposite)
    return wrong
