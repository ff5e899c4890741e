"""The network changes between two generations, and repairs, for each program that configures the network."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ordain.agent.model import Change, FileAction, FileChange, Generation, Plan
from ordain.transforms.artifacts import RegularFile
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.render.paths import IFUPDOWN, NETWORK_MANAGER, NETWORKD

UNCHANGEABLE = ("infiniband", "ip-tunnel", "veth", "vlan", "vrf", "vxlan")
"""The sections of keyfiles whose keys a device has from its beginning. NetworkManager would leave it as it is."""
_RIGHTS = frozenset({"mode", "owner", "group"})
"""The keys of changes of a file that leave its content as it is."""
_STANZA = lazy_pattern(r"^(?:auto|allow-hotplug|iface) (\S+)", re.MULTILINE)
_MASTER = lazy_pattern(r"^master=(.*)$", re.MULTILINE)
_NAME = lazy_pattern(r"^Name=(\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkChange:
    """The changes that have to take effect.

    networkd: ``networkd`` says whether its files change, ``dropped`` are devices that are removed or created again, and
    ``around`` the .network files that mention these devices, whose links are configured again. udev: ``links`` says
    whether .link files change. NetworkManager: ``profiles`` are new or changed keyfiles, ``forgotten`` the UUIDs of
    removed connections, ``made_again`` those of devices that cannot be changed. ifupdown: ``down`` and
    ``up`` are interfaces, in order; those in ``down`` are taken down with the old configuration, ``stanzas``.
    """

    networkd: bool = False
    dropped: tuple[str, ...] = ()
    around: tuple[str, ...] = ()
    links: bool = False
    profiles: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    made_again: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    up: tuple[str, ...] = ()
    stanzas: str = ""

    def __bool__(self) -> bool:
        """Return whether anything changes."""
        return self.networkd or self.links or bool(self.profiles or self.forgotten or self.down or self.up)


def touches_network(plan: Plan) -> bool:
    """Return whether files of the section ``network`` change, if only by a comment."""
    return any(map(_of_network, plan.files))


def _of_network(file: FileChange) -> bool:
    return file.item.partition("/")[0] == "network"


def displaced_files(plan: Plan) -> frozenset[str]:
    """Return the files of the network whose content somebody else has changed, and that ``plan`` places again."""
    return frozenset(
        file.path
        for file in plan.files
        if _of_network(file)
        and file.what is FileAction.CHANGED
        and any(change.key not in _RIGHTS and not is_repair(change) for change in file.changes)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRepair:
    """A device to repair: the file that configures it, and its interface.

    ``again``: the device itself is made again. ``ports``: it is about the ports of the device.
    """

    path: str
    name: str
    again: bool = False
    ports: bool = False


def network_change(
    old: Generation, new: Generation, repairs: Collection[DeviceRepair] = (), displaced: Collection[str] = ()
) -> NetworkChange:
    """Return the changes from the network of ``old`` to the network of ``new``.

    The programs also configure the devices of ``repairs`` again, in the network of ``new``, and read the files
    ``displaced`` again, which somebody else has changed.
    """
    before, after = _texts(old), _texts(new)
    changed = sorted(p for p in before.keys() | after.keys() if _bare(before.get(p, "")) != _bare(after.get(p, "")))
    again = {repair.name for repair in repairs if repair.again}
    paths = {repair.path for repair in repairs if not repair.ports}
    netdevs = [p for p in changed if p.startswith(f"{NETWORKD}/") and p.endswith(".netdev") and p in before]
    made = sorted(name for name in again if any(_makes(text, name) for text in after.values()))
    dropped = dict.fromkeys([*(name for p in netdevs for name in _NAME.findall(before[p])[:1]), *made])
    about = again | {repair.name for repair in repairs if repair.ports}
    around = [
        p
        for p in sorted(after)
        if p.endswith(".network") and (p in paths or _names(after[p] + before.get(p, "")) & (about | dropped.keys()))
    ]
    keyfiles = {p: text for p, text in after.items() if p.startswith(f"{NETWORK_MANAGER}/")}
    profiles = {*changed, *displaced, *paths} & keyfiles.keys()
    profiles |= {p for p, text in keyfiles.items() if {_owner(text), *_MASTER.findall(text)} & about}
    made_again = {p for p in profiles if _owner(after[p]) in again or _is_made_again(before.get(p, ""), after[p])}
    stanzas = before.get(IFUPDOWN, "")
    down, up = _interfaces(
        stanzas, after.get(IFUPDOWN, ""), {repair.name for repair in repairs if repair.path == IFUPDOWN}
    )
    read = {*changed, *displaced}
    return NetworkChange(
        networkd=bool(around) or any(p.startswith(f"{NETWORKD}/") and not p.endswith(".link") for p in read),
        dropped=tuple(dropped),
        around=tuple(around),
        links=any(p.endswith(".link") for p in read),
        profiles=_below_first({p: after[p] for p in profiles}),
        made_again=tuple(_uuid(before.get(p, after[p])) for p in sorted(made_again)),
        forgotten=tuple(_uuid(before[p]) for p in changed if p.startswith(f"{NETWORK_MANAGER}/") and p not in after),
        down=down,
        up=up,
        stanzas=stanzas if down else "",
    )


def _owner(keyfile: str) -> str:
    """Return the interface of a keyfile, ``""`` if it does not name it."""
    return next((line.partition("=")[2] for line in keyfile.splitlines() if line.startswith("interface-name=")), "")


def _makes(text: str, name: str) -> bool:
    """Return whether a .netdev file creates the device ``name``."""
    return "[NetDev]" in text and name in _NAME.findall(text)[:1]


def is_repair(change: Change) -> bool:
    """Return whether a change of a file is about a network device that somebody has changed: its unit is the item."""
    return change.unit.startswith("network/")


def without_repairs(displaced: Mapping[str, tuple[Change, ...]]) -> Mapping[str, tuple[Change, ...]]:
    """Return the changed files of a machine without what is about network devices that somebody has changed."""
    files = {path: tuple(c for c in changes if not is_repair(c)) for path, changes in displaced.items()}
    return {path: changes for path, changes in files.items() if changes or not displaced[path]}


def repaired_files(plan: Plan) -> frozenset[str]:
    """Return the files of the network devices that somebody has changed, and that ``plan`` has configured again."""
    return frozenset(file.path for file in plan.files if any(map(is_repair, file.changes)))


def _texts(generation: Generation) -> Mapping[str, str]:
    return {
        a.path: a.content
        for a in generation.artifacts
        if isinstance(a, RegularFile) and a.item.partition("/")[0] == "network"
    }


def _bare(text: str) -> str:
    """Return ``text`` without comments, which name line numbers of the documents and change with them."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#"))


def _names(text: str) -> frozenset[str]:
    """Return all words of the values in a .network file; the devices that it mentions are among them."""
    return frozenset(value for line in text.splitlines() for value in line.partition("=")[2].split())


def _is_made_again(before: str, after: str) -> bool:
    """Return whether two keyfiles differ in the section of a type of device that cannot be changed."""
    return bool(before and after) and any(_section(before, name) != _section(after, name) for name in UNCHANGEABLE)


def _section(keyfile: str, name: str) -> str:
    """Return the lines of a section of a keyfile, without comments."""
    return _bare(keyfile).partition(f"[{name}]\n")[2].partition("\n[")[0].strip()


def _uuid(keyfile: str) -> str:
    return next((line[5:] for line in keyfile.splitlines() if line.startswith("uuid=")), "")


def _below_first(keyfiles: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths of ``keyfiles``, each after those of the devices that it is stacked on or belongs to."""
    owners: dict[str, str] = {}
    for path, text in keyfiles.items():
        owners |= dict.fromkeys(re.findall("^(?:uuid|interface-name)=(.*)$", text, re.MULTILINE), path)
    order: list[str] = []

    def place(path: str, above: frozenset[str]) -> None:
        for name in re.findall("^(?:parent|master)=(.*)$", keyfiles[path], re.MULTILINE):
            if (below := owners.get(name)) and below not in above:
                place(below, above | {path})
        if path not in order:
            order.append(path)

    for path in sorted(keyfiles):
        place(path, frozenset({path}))
    return tuple(order)


def _interfaces(before: str, after: str, again: Collection[str] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the interfaces to take down, the last one first, and those to bring up: what changes, and ``again``.

    An interface whose stanza mentions one that is taken down is taken down and brought up with it.
    """
    old, new = _stanzas(_bare(before)), _stanzas(_bare(after))
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name) or name in again}
    while more := {
        name
        for name in old.keys() & new.keys() - changed
        if any(re.search(rf"(?<![\w.-]){re.escape(other)}(?![\w.-])", new[name]) for other in changed & old.keys())
    }:
        changed |= more
    return tuple(name for name in reversed(old) if name in changed), tuple(name for name in new if name in changed)


def _stanzas(text: str) -> dict[str, str]:
    """Return the lines of each interface, in the order of the file."""
    stanzas: dict[str, str] = {}
    name = ""
    for line in text.splitlines(keepends=True):
        match = _STANZA.match(line)
        name = match[1] if match else name
        if name:
            stanzas[name] = stanzas.get(name, "") + line
    return stanzas
