"""The values of the machine that a generation sets outside of unit states, read again and compared.

Generation, files below the root, PID 1 ──ReadBack──▶ Difference: a condition, and the way to correct it if there is one

Units are compared by the plan itself. Here are kernel parameters, placed files, accounts, the host name, network
devices, the addresses of sockets and the options of mounts: programs that apply them exit with 0 when they ignore some.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ordain.agent.model import Change, Effect, Generation, Observed
from ordain.agent.plan.diff import placed_units
from ordain.agent.status import StatusCondition
from ordain.agent.system.bus import BusError
from ordain.agent.system.cached_file import CachedFile
from ordain.agent.system.systemd1 import Systemd
from ordain.generator import safe_tree
from ordain.generator.files import RECORDS
from ordain.generator.safe_tree import PathState, PlacementError
from ordain.transforms.artifacts import PlacedFile
from ordain.transforms.machine import rootfs
from ordain.transforms.model import Member, OnChange

SYSCTL_READER, HOSTNAME_READER = "systemd-sysctl.service", "ordain-hostname.service"
PER_INTERFACE = ("net/ipv4/conf/", "net/ipv6/conf/", "net/ipv4/neigh/", "net/ipv6/neigh/", "net/mpls/conf/")
"""Parameters below these directories exist once their network interface does."""
PHYSICAL = frozenset({"renderer", "version", "ethernets", "wifis", "modems", "infiniband"})
"""Keys of `network` that make no device: the device is hardware, and may be plugged in later."""
HIDDEN = ("/tmp/", "/var/tmp/")
"""The agent has directories of its own there (PrivateTmp=), so it cannot see the files of the machine."""
FLAGS = (("ro", "rw"), ("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev"))
"""Pairs of mount options of which a mount has one: the restriction, and its opposite (mount(8))."""
LISTEN = (
    *("ListenStream", "ListenDatagram", "ListenSequentialPacket", "ListenFIFO", "ListenSpecial"),
    *("ListenNetlink", "ListenMessageQueue", "ListenUSBFunction"),
)
Signature = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A value of the machine that is not as a generation sets it.

    ``changes`` are those that units have to take up again to correct it; ``path`` is a file to be placed again.
    """

    condition: StatusCondition
    changes: tuple[Change, ...] = ()
    path: str = ""


class ReadBack:
    """Reads the machine below ``root``. It remembers the states of files until their inodes change."""

    def __init__(self, systemd: Systemd, root: Path) -> None:
        self._systemd = systemd
        self._root = root
        self._seen: dict[str, tuple[Signature, PathState]] = {}
        self._records = [
            CachedFile(root / RECORDS[phase] / "placed.json", _placed_states) for phase in ("early", "main")
        ]

    async def differences(self, generation: Generation, observed: Observed) -> tuple[Difference, ...]:
        """Return everything that differs from ``generation``, in the order of the sections."""
        return (
            *kernel_parameters(generation, self._root),
            *self._files(generation),
            *accounts(generation, self._root),
            *host_name(generation, self._root),
            *network_devices(generation, self._root),
            *[found async for found in self._units(generation, observed)],
        )

    def _files(self, generation: Generation) -> Iterator[Difference]:
        placed: dict[str, PathState] = {}
        for record in self._records:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                placed |= record()
        files = [a for a in generation.artifacts if isinstance(a, PlacedFile) and a.path in placed and not a.home]
        self._seen = {path: seen for path, seen in self._seen.items() if path in placed}
        for file in files:
            if file.path.startswith(HIDDEN) or (
                file.mount and not os.path.ismount(self._root / file.mount.lstrip("/"))
            ):
                continue
            ours = placed[file.path]
            try:
                actual = self._state(file.path)
            except (PlacementError, OSError):
                actual = PathState("other")
            if actual != ours:
                what = f"{file.path} was changed by somebody else: {_file_change(ours, actual)}"
                yield Difference(
                    condition=_condition(generation, "FileChanged", _pointer("files", file.path), what, item=file.item),
                    changes=tuple(_changes_of_readers(file.path, generation.members, ours, actual)),
                    path=file.path,
                )

    def _state(self, path: str) -> PathState:
        """Return the state of a file; it is hashed only if its inode has changed since the last time."""
        try:
            status = os.lstat(self._root / path.lstrip("/"))
        except (FileNotFoundError, NotADirectoryError):
            return safe_tree.read_state(self._root, path)[0]
        signature = (
            *(status.st_ino, status.st_mode, status.st_uid, status.st_gid),
            *(status.st_size, status.st_mtime_ns, status.st_ctime_ns),
        )
        if path not in self._seen or self._seen[path][0] != signature:
            state = safe_tree.read_state(self._root, path)[0]
            self._seen[path] = signature, PathState(**state.record())  # type: ignore[arg-type] # without the content
        return self._seen[path][1]

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
                        yield Difference(
                            condition=_condition(generation, "NotListening", member.item, what, item=member.item)
                        )
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
                        yield Difference(
                            condition=_condition(generation, "MountOptions", member.item, what, item=member.item),
                            changes=(change,),
                        )


def kernel_parameters(generation: Generation, root: Path) -> Iterator[Difference]:
    """Yield the kernel parameters that are missing or have another value. Names with globs are left out."""
    for name, value in _section(generation, "sysctl").items():
        path = parameter_path(name)
        if "*" in path:
            continue
        pointer = _pointer("sysctl", name)
        try:
            actual = (root / "proc/sys" / path).read_text()
        except FileNotFoundError:
            yield _missing_parameter(generation, root, name, path, pointer)
            continue
        except (OSError, UnicodeDecodeError):
            continue  # it is write-only
        if actual.strip() and _normal(actual) != _normal(str(value)):
            shown = " ".join(actual.split())
            change = Change(unit=SYSCTL_READER, key=name, old=(shown,), new=(str(value),), effect=Effect.RESTART)
            what = f"the kernel parameter {name} is {shown}, not {value}"
            yield Difference(
                condition=_condition(generation, "KernelParameter", pointer, what, item="sysctl"), changes=(change,)
            )


def parameter_path(name: str) -> str:
    """Return the file of a kernel parameter below /proc/sys: the first separator separates its parts (sysctl.d(5)).

    >>> parameter_path("net.ipv4.conf.dm0/100.rp_filter"), parameter_path("net/ipv4/conf/dm0.100/rp_filter")
    ('net/ipv4/conf/dm0.100/rp_filter', 'net/ipv4/conf/dm0.100/rp_filter')
    """
    first = next((char for char in name if char in "./"), "")
    return name.translate(str.maketrans("./", "/.")) if first == "." else name


def _missing_parameter(generation: Generation, root: Path, name: str, path: str, pointer: str) -> Difference:
    for directory in PER_INTERFACE:
        interface, _, key = path.removeprefix(directory).partition("/")
        if path.startswith(directory) and key and not (root / "proc/sys" / directory / interface).exists():
            what = f"the kernel parameter {name} waits for the network interface {interface}"
            hint = "udev sets it when the interface appears; write a / for a dot in the name of an interface"
            condition = _condition(generation, "InterfaceMissing", pointer, what, hint, item="sysctl", fault=False)
            return Difference(condition=condition)
    what = f"there is no kernel parameter {name}"
    hint = "check the spelling, and load the module that brings it (`modules`)"
    return Difference(condition=_condition(generation, "KernelParameter", pointer, what, hint, item="sysctl"))


def _normal(value: str) -> list[str]:
    """Return the words of a value, with numbers in one form."""
    words = []
    for word in value.split():
        try:
            words.append(str(int(word, 0)))
        except ValueError:
            words.append(word)
    return words


def accounts(generation: Generation, root: Path) -> Iterator[Difference]:
    """Yield the users and groups that are missing, or have another number than the documents say."""
    for section, database, key in (("users", "etc/passwd", "uid"), ("groups", "etc/group", "gid")):
        wanted = _section(generation, section)
        if not wanted:
            continue
        lines = (rootfs.read(root, database) or b"").decode("utf-8", "surrogateescape").splitlines()
        known = {fields[0]: fields[2] for fields in (line.split(":") for line in lines) if len(fields) > 2}
        for name, words in wanted.items():
            words = words if isinstance(words, Mapping) else {}
            number, pointer = words.get(key), _pointer(section, name)
            if words.get("state") == "absent":
                continue
            kind = section.removesuffix("s")
            if name not in known:
                what = f"the {kind} {name} does not exist"
            elif number is not None and known[name] != str(number):
                what = f"the {kind} {name} has the {key} {known[name]}, not {number}"
            else:
                continue
            hint = "see `journalctl -u ordain-users`; a number that is in use is never changed"
            yield Difference(condition=_condition(generation, "Account", pointer, what, hint, item=pointer))


def host_name(generation: Generation, root: Path) -> Iterator[Difference]:
    """Yield the host name of the kernel if the documents set another one."""
    wanted = _section(generation, "host").get("hostname")
    actual = (rootfs.read(root, "proc/sys/kernel/hostname") or b"").decode(errors="replace").strip()
    if wanted and actual and actual != wanted:
        change = Change(unit=HOSTNAME_READER, key="hostname", old=(actual,), new=(wanted,), effect=Effect.RESTART)
        what = f"the host name is {actual}, not {wanted}"
        yield Difference(
            condition=_condition(generation, "HostName", "host/hostname", what, item="host"), changes=(change,)
        )


def network_devices(generation: Generation, root: Path) -> Iterator[Difference]:
    """Yield the virtual network devices that do not exist, where the machine has a list of its devices."""
    devices = set(rootfs.names(root, "sys/class/net"))
    for kind, named in _section(generation, "network").items():
        if kind in PHYSICAL or not isinstance(named, Mapping) or not devices:
            continue
        for name in named.keys() - devices:
            pointer = f"network/{_pointer(kind, name)}"
            what = f"the network device {name} does not exist"
            hint = "see `journalctl -b -u systemd-networkd -u NetworkManager -u networking`"
            yield Difference(condition=_condition(generation, "DeviceMissing", pointer, what, hint, item=pointer))


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


def _changes_of_readers(path: str, members: Iterable[Member], ours: PathState, actual: PathState) -> Iterator[Change]:
    for member in members:
        for used, on_change in member.uses:
            if path == used or (used.endswith("/") and path.startswith(used)):
                effect = Effect.RESTART if on_change is OnChange.RESTART else Effect.RELOAD
                yield Change(unit=member.unit, key=path, old=(_shown(actual),), new=(_shown(ours),), effect=effect)
                break


def _shown(state: PathState) -> str:
    """Return a state in a few words, which differ for states that differ."""
    if state.kind == "nothing":
        return "missing"
    return f"{state.digest[:16] or state.kind} {state.mode:04o} {state.uid}:{state.gid}"


def _file_change(ours: PathState, actual: PathState) -> str:
    if ours.kind == "nothing":
        return "it exists again"
    if actual.kind == "nothing":
        return "it was deleted"
    if actual.kind != ours.kind:
        return f"it is a {actual.kind} now"
    changes = []
    if actual.digest != ours.digest:
        changes.append("its target" if ours.kind == "link" else "its content")
    if actual.mode != ours.mode:
        changes.append(f"its mode ({ours.mode:04o} → {actual.mode:04o})")
    if (actual.uid, actual.gid) != (ours.uid, ours.gid):
        changes.append(f"its owner ({ours.uid}:{ours.gid} → {actual.uid}:{actual.gid})")
    return " and ".join(changes)


def _placed_states(data: bytes) -> dict[str, PathState]:
    return {path: PathState(**row["ours"]) for path, row in json.loads(data).items()}


def _section(generation: Generation, name: str) -> Mapping[str, Any]:
    section = generation.document.get(name)
    return section if isinstance(section, Mapping) else {}


def _pointer(*names: str) -> str:
    return "/".join(name.replace("~", "~0").replace("/", "~1") for name in names)


def _condition(
    generation: Generation, code: str, pointer: str, what: str, hint: str = "", *, item: str, fault: bool = True
) -> StatusCondition:
    """Return a condition that begins with the place in the documents, if that is known."""
    origin = generation.provenance.get(pointer, {})
    place = f"{origin['path']}:{origin['line']}: " if origin.get("path") else ""
    return StatusCondition(
        code=code, what=f"{place}{what}", hint=hint or "`ordainctl apply` corrects it", item=item, fault=fault
    )
