"""The values of the machine that a generation sets outside of unit states, read again and compared.

Generation, files below the root, PID 1 ──ReadBack──▶ Difference: a condition, and the way to correct it if there is one

Units are compared by the plan itself. Placed files, the network, the values of the host and the directives that PID 1
ignores have modules of their own; here are the addresses and files of sockets, and the options of mounts.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

from ordain.agent.apply.differences import host_differences
from ordain.agent.apply.differences.difference import Difference, condition, section
from ordain.agent.apply.differences.ignored_directives import IgnoredDirectives
from ordain.agent.apply.differences.network_differences import (
    UNITS,
    ReadNetwork,
    network_differences,
    network_reader,
)
from ordain.agent.apply.differences.placed_file_differences import HIDDEN, PlacedFiles
from ordain.agent.generation import holds_with_starters, use_of
from ordain.agent.model import Change, Effect, Generation, Observed
from ordain.agent.plan.changes.diff import PlacedUnit, placed_units
from ordain.agent.system.bounded_reads import NotAnswering, mount_of, mount_points
from ordain.agent.system.dbus.bus import BusError, get
from ordain.agent.system.systemd.systemd1 import MANAGER, NAME, PATH, Systemd
from ordain.generator import safe_tree
from ordain.generator.safe_tree import PlacementError
from ordain.transforms.model import Member

FLAGS = (("ro", "rw"), ("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev"))
"""Pairs of mount options of which a mount has one: the restriction, and its opposite (mount(8))."""
LISTEN = (
    *("ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO", "ListenSpecial"),
    *("ListenNetlink", "ListenMessageQueue", "ListenUSBFunction"),
)
SOCKET_FILES = {
    "Stream": stat.S_ISSOCK,
    "Datagram": stat.S_ISSOCK,
    "SequentialPacket": stat.S_ISSOCK,
    "FIFO": stat.S_ISFIFO,
}
"""By kind of address in PID 1's words, the type of the file that it makes for a path."""
UNSEEN = ("/dev/", *HIDDEN)
"""The agent has directories of its own there (PrivateDevices=, PrivateTmp=)."""


class ReadBack:
    """Reads the machine below ``root``; ``read_network`` reads the network of its kernel."""

    def __init__(self, systemd: Systemd, root: Path, read_network: ReadNetwork | None = None) -> None:
        self._systemd = systemd
        self._root = root
        self._read_network = read_network or network_reader(root)
        self._ignored = IgnoredDirectives(systemd)
        self.files = PlacedFiles(root)

    async def differences(self, generation: Generation, observed: Observed) -> tuple[Difference, ...]:
        """Return everything that differs from ``generation``, in the order of the sections."""
        differences: tuple[Difference, ...] = (
            *host_differences.kernel_parameters(generation, self._root),
            *host_differences.kernel_modules(generation, self._root),
            *await self.file_differences(generation, observed),
            *host_differences.accounts(generation, self._root),
            *host_differences.host_name(generation, self._root),
            *host_differences.time_zone(generation, self._root),
            *host_differences.locale(generation, self._root, await self._environment(generation)),
            *host_differences.keymap(generation, observed, self._root),
            *host_differences.open_files(generation, self._root),
            *network_differences(generation, self._read_network, self._root, await self._idle_programs(generation)),
            *[difference async for difference in self._units(generation, observed)],
            *await self._ignored.differences(generation, observed),
        )
        return tuple(_with_holds(difference, generation, observed) for difference in differences)

    async def file_differences(self, generation: Generation, observed: Observed) -> tuple[Difference, ...]:
        """Return the placed files that somebody has changed."""
        return tuple(
            _with_holds(difference, generation, observed) for difference in await self.files.differences(generation)
        )

    async def _idle_programs(self, generation: Generation) -> frozenset[str]:
        """Return the units of network programs that do not run; none if the documents have no network."""
        if not section(generation, "network"):
            return frozenset()
        states = await self._systemd.list_units(UNITS.values())
        return frozenset(unit for unit, state in states.items() if not state.running)

    async def _environment(self, generation: Generation) -> list[str] | None:
        """Return the environment that PID 1 passes on to services; None if nobody has to know it."""
        if "locale" not in section(generation, "host"):
            return None
        with contextlib.suppress(BusError):
            return list(await get(self._systemd.bus, NAME, PATH, MANAGER, "Environment"))
        return None

    async def _units(self, generation: Generation, observed: Observed) -> AsyncIterator[Difference]:
        names = [m for m in generation.members if m.unit.endswith((".socket", ".mount"))]
        active = [member for member in names if observed.unit(member.unit).active_state == "active"]
        placed = placed_units(generation) if active else {}
        for member in active:
            content = placed.get(member.unit)
            if content is None or not content.fragment:
                continue
            read = self._socket if member.unit.endswith(".socket") else self._mount
            with contextlib.suppress(BusError):
                async for difference in read(member, content, generation):
                    yield difference

    async def _mount(self, member: Member, content: PlacedUnit, generation: Generation) -> AsyncIterator[Difference]:
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
            reported = condition(generation, "MountOptions", member.item, what, item=member.item)
            yield Difference(condition=reported, pointer=member.item, actual=",".join(mounted), changes=(change,))

    async def _socket(self, member: Member, content: PlacedUnit, generation: Generation) -> AsyncIterator[Difference]:
        asked = [value for key in LISTEN for value in content.values.get(("Socket", key), ())]
        listen = [(str(kind), str(address)) for kind, address in await self._systemd.property(member.unit, "Listen")]
        bound = [address for _, address in listen]
        if missing := unbound(asked, bound):
            what = f"{member.unit} does not listen on {', '.join(missing)}: systemd ignored the address"
            hint = f"see `journalctl -b -u {member.unit}`, and correct the address"
            reported = condition(generation, "NotListening", member.item, what, hint, item=member.item)
            yield Difference(condition=reported, pointer=member.item, actual=", ".join(bound))
        points = mount_points()
        for kind, path in listen:
            if path.startswith(UNSEEN) or not path.startswith("/") or kind not in SOCKET_FILES:
                continue
            with contextlib.suppress(NotAnswering):
                mount = mount_of(os.fspath(self._root / path.lstrip("/")), points)
                work = partial(self._socket_file, kind, path, member, content)
                for key, actual, wanted, what in await self.files.reads.run(mount, work):
                    change = Change(
                        unit=member.unit,
                        section="Socket",
                        key=key,
                        old=(actual,),
                        new=(wanted,),
                        effect=Effect.RESTART,
                    )
                    pointer = _socket_pointer(member.item, generation)
                    reported = condition(generation, "SocketChanged", pointer, what, item=member.item)
                    yield Difference(condition=reported, pointer=member.item, actual=actual, changes=(change,))

    def _socket_file(
        self, kind: str, path: str, member: Member, content: PlacedUnit
    ) -> list[tuple[str, str, str, str]]:
        """Return the directives with which the file of a socket does not agree: key, actual, wanted, both in words.

        A mode or owner that the documents do not set is the service's own business.
        """
        try:
            status = os.lstat(self._root / path.lstrip("/"))
        except (FileNotFoundError, NotADirectoryError):
            what = f"{path} was removed by somebody else, so nobody can connect to {member.unit}"
            return [(f"Listen{kind}", "missing", path, what)]
        except OSError:
            return []
        if not SOCKET_FILES[kind](status.st_mode):
            what = f"something else is at {path}, so nobody can connect to {member.unit}"
            return [(f"Listen{kind}", "something else", path, what)]
        rows = []
        actual_mode, mode = f"{stat.S_IMODE(status.st_mode):04o}", content.last("Socket", "SocketMode")
        with contextlib.suppress(ValueError):  # PID 1 ignores a mode that is not a number
            if mode and int(actual_mode, 8) != int(mode, 8):
                rows.append(("SocketMode", "mode", actual_mode, mode))
        for key, name, database, number in (
            ("SocketUser", "owner", "passwd", status.st_uid),
            ("SocketGroup", "group", "group", status.st_gid),
        ):
            account = content.last("Socket", key)
            with contextlib.suppress(PlacementError):  # an account that is not in the files is left to NSS
                if account and safe_tree.account_number(self._root, database, account) != number:
                    rows.append((key, name, safe_tree.account_name(self._root, number, database), account))
        return [
            (key, actual, wanted, f"{path}, the socket of {member.unit}, has the {name} {actual}, not {wanted}")
            for key, name, actual, wanted in rows
        ]


def _socket_pointer(item: str, generation: Generation) -> str:
    """Return the first place in the documents that says something about the socket of an item, else the item."""
    about = (f"{item}/listen", f"{item}/Socket", item)
    return next((at for top in about for at in generation.provenance if at == top or at.startswith(f"{top}/")), item)


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
    reported = difference.condition
    hint = f"`ordainctl unhold {held[0]}` returns it to the documents"
    reported = replace(reported, what=f"{reported.what}; kept, because {held[0]} is held", hint=hint, fault=False)
    return replace(difference, condition=reported, changes=(), path="", file_changes=())


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
