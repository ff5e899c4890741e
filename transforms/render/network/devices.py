"""The section ``network`` as typed values: the devices, their links to each other, and the problems with them.

    Branch ─read▶ Device, … ─render▶ files (`networkd`, `network_manager`, `ifupdown`)

A `Device` keeps its branch, from which the renderers read the scalars with their provenance. Everything that takes more
than one key or one device to understand (lists, ports, stacked devices) is a field. `device_checks` has the checks that
do not depend on the renderer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ordain.transforms.document.formats import network_formats
from ordain.transforms.document.keys.network_keys import HARDWARE, KINDS
from ordain.transforms.document.keys.network_shapes import Addresses, Rows
from ordain.transforms.document.keys.shapes import Map, Record, Sequence, Shape, String
from ordain.transforms.document.text.node import pointer_below
from ordain.transforms.errors import Problem, blocked, did_you_mean
from ordain.transforms.model import Branch, Leaf, Row, Tree, Value

PORTS = {"bonds": "bond", "bridges": "bridge"}
"""The kinds of device that have ports, with their names in NetworkManager and networkd."""
LOOPBACK = "lo"
GLOB = frozenset("*?[")
"""The characters that make a name a pattern for several interfaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address with its prefix length."""

    address: str
    label: str
    lifetime: str
    leaf: Leaf

    @property
    def version(self) -> int:
        """Return 4 or 6."""
        return network_formats.version(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route. ``to`` is a network, or ``default`` if the family is not known; ``options`` are its numbers by key."""

    to: str
    via: str
    source: str
    type: str
    scope: str
    on_link: bool
    options: Mapping[str, int]
    version: int
    leaf: Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """A rule that selects the routing table for packets; ``options`` are its numbers by key."""

    source: str
    to: str
    options: Mapping[str, int]
    version: int
    leaf: Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A WireGuard peer."""

    public: str
    shared: str
    endpoint: str
    allowed: tuple[str, ...]
    keepalive: int
    leaf: Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedDevice:
    """A device that another one is linked with, and the leaf that links them.

    ``interface`` is as in `Device`; ``matched``: `match` finds the interface.
    """

    kind: str
    name: str
    leaf: Leaf
    interface: str = ""
    matched: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device, which ``renderer`` brings up.

    ``master`` is the bond or bridge of which the device is a port, ``port`` the settings that it has for the port.
    ``vlans``, ``vxlans`` and ``partitions`` are stacked on top of the device, ``parent`` is below it. ``members`` are
    the devices that a bond, bridge or VRF consists of.
    """

    kind: str
    name: str
    branch: Branch
    renderer: str
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    rules: tuple[RoutingRule, ...] = ()
    peers: tuple[Peer, ...] = ()
    master: LinkedDevice | None = None
    master_kind: str = ""
    port: Mapping[str, Leaf] = field(default_factory=dict)
    vrf: LinkedDevice | None = None
    vlans: tuple[LinkedDevice, ...] = ()
    vxlans: tuple[LinkedDevice, ...] = ()
    partitions: tuple[LinkedDevice, ...] = ()
    parent: LinkedDevice | None = None
    members: tuple[LinkedDevice, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def pointer(self) -> str:
        """Return the pointer of its item."""
        return pointer_below(f"network/{self.kind}", self.name)

    @property
    def virtual(self) -> bool:
        """Return whether the renderer creates the device, unlike hardware."""
        return self.kind not in HARDWARE

    @property
    def matched(self) -> bool:
        """Return whether the interface is found by `match`, and not by the name of the device."""
        return "match" in self.branch

    @property
    def has_pattern(self) -> bool:
        """Return whether `match` may find several interfaces."""
        match = self.branch.branch("match")
        if not self.matched or "macaddress" in match or "set-name" in self.branch:
            return False
        return bool(set(str(match.value("name") or "*")) & GLOB)

    @property
    def interface(self) -> str:
        """Return the name of the interface, which may be a glob; ``""`` if only the hardware identifies it."""
        name = self.branch.value("set-name") or self.branch.branch("match").value("name")
        return str(name or ("" if self.matched else self.name))

    @property
    def is_loopback(self) -> bool:
        """Return whether it is lo, by its own name or by the name in `match` or `set-name`."""
        return self.interface == LOOPBACK

    @property
    def below(self) -> tuple[str, ...]:
        """Return the names of the devices that this one needs."""
        link = (self.text("link"),) if self.branch.leaf("link") else ()
        return (*(linked.name for linked in (self.master, self.vrf) if linked), *link)

    @property
    def place(self) -> Leaf:
        """Return a leaf with the place of the device, for lines and problems without a key of their own."""
        return self.branch.here

    def text(self, key: str) -> str:
        """Return a string or number as text, ``""`` if it is not set."""
        value = self.branch.value(key)
        return "" if value is None else str(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a boolean."""
        return self.branch.value(key, default) is True

    def link_local(self) -> frozenset[str]:
        """Return the families with link-local addresses: by default IPv6, on a port none."""
        value = self.branch.value("link-local")
        families = frozenset(map(str, value)) if isinstance(value, tuple) else frozenset({"ipv6"})
        return frozenset() if self.master else families

    def table(self) -> int | None:
        """Return the routing table of a VRF, None for other kinds."""
        value = self.branch.value("table") if self.kind == "vrfs" else None
        return value if isinstance(value, int) else None


def problem(device: Device, leaf: Leaf, what: str, hint: str = "", code: str = "Network") -> Problem:
    """Return the problem that this machine cannot have ``device``."""
    return blocked(device.pointer, leaf.where, what, hint, code)


def texts(leaf: Leaf | None) -> tuple[str, ...]:
    """Return a list of strings, which is empty if it is not set."""
    return tuple(map(str, leaf.value)) if leaf and isinstance(leaf.value, tuple) else ()


def leaf_at(branch: Branch, key: str) -> Leaf | None:
    """Return the leaf of ``key``, or the first leaf of the map at ``key``, None if it is not set."""
    return branch.leaf(key) or next((leaf for _, leaf in branch.branch(key).leaves()), None)


def private_key(device: Device) -> Leaf | None:
    """Return the private key of a WireGuard tunnel, None if it is not set."""
    return device.branch.branch("keys").leaf("private") or device.branch.leaf("key")


def is_secret_text(secret: str) -> bool:
    """Return whether ``secret`` is a WireGuard key itself, not the path of a file that holds one."""
    try:
        network_formats.wireguard_key(secret)
    except ValueError:
        return False
    return True


def read(tree: Branch, renderer: str) -> tuple[Device, ...]:
    """Return the devices of ``network``, whose templates are expanded; ``renderer`` is the default of the OS."""
    devices: list[Device] = []
    for kind in KINDS:
        default = str(tree.branch(kind).value("renderer") or tree.value("renderer") or renderer)
        devices += [_device(kind, name, branch, default) for name, branch in tree.branch(kind).branches()]
    return _linked(tuple(devices))


# One device


def _device(kind: str, name: str, branch: Branch, renderer: str) -> Device:
    shape = Record(KINDS[kind][0])
    device = Device(kind=kind, name=name, branch=branch, renderer=str(branch.value("renderer") or renderer))
    problems = tuple(
        problem(device, leaf, f"{text[:80]!r} is not {title}", hint, "Schema")
        for leaf, title, text, hint in _invalid_strings(shape, branch)
    )
    if problems:
        return replace(device, problems=problems)
    table = device.table()
    return replace(
        device,
        addresses=tuple(_address(row, leaf) for row, leaf in _rows(branch.leaf("addresses"))),
        routes=tuple(_route(row, leaf, table) for row, leaf in _rows(branch.leaf("routes"))),
        rules=tuple(_rule(row, leaf, table) for row, leaf in _rows(branch.leaf("routing-policy"))),
        peers=tuple(_peer(row, leaf) for row, leaf in _rows(branch.leaf("peers"))),
    )


def _invalid_strings(shape: Shape, tree: Tree) -> Iterator[tuple[Leaf, str, str, str]]:
    """Yield leaf, title, text and hint of each string that a template made and its format does not allow."""
    match shape, tree:
        case Record(keys=keys), Branch():
            for name, child in tree.children.items():
                yield from _invalid_strings(keys[name], child)
        case Map(), Branch():
            for name, child in tree.children.items():
                yield from _invalid_strings(shape.below(name), child)
        case String(), Leaf():
            yield from _invalid_string(shape, tree.value, tree)
        case Sequence(item=item), Leaf(value=tuple() as values):
            for value in values:
                yield from _invalid_string(item, value, tree)
        case Rows(of=Record(keys=keys)), Leaf(value=tuple() as rows):
            for row in rows:
                for name, cell in row.cells if isinstance(row, Row) else ():
                    yield from _invalid_strings(keys[name], _cell(cell, tree))
        case Addresses(options=Record(keys=keys)), Leaf(value=tuple() as rows):
            known = {"address": String(title="an address with its prefix length", format="interface-address"), **keys}
            for row in rows:
                for name, cell in row.cells if isinstance(row, Row) else ():
                    yield from _invalid_strings(known[name], _cell(cell, tree))


def _cell(cell: Value, leaf: Leaf) -> Tree:
    if isinstance(cell, Row):
        return Branch(children={name: _cell(value, leaf) for name, value in cell.cells}, where=leaf.where)
    return replace(leaf, value=cell)


def _invalid_string(shape: String, value: Value, leaf: Leaf) -> Iterator[tuple[Leaf, str, str, str]]:
    try:
        if shape.format:
            network_formats.FORMATS[shape.format](str(value))
    except ValueError as error:
        yield leaf, shape.title, str(value), str(error)


def _rows(leaf: Leaf | None) -> Iterator[tuple[Row, Leaf]]:
    """Yield the maps of a list, each with a leaf that has its place."""
    for row in leaf.value if leaf and isinstance(leaf.value, tuple) else ():
        if leaf and isinstance(row, Row):
            yield row, Leaf(value=None, where=row.where, layer=leaf.layer)


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)


def _numbers(row: Row, table: int | None) -> dict[str, int]:
    numbers = {name: value for name, value in row.cells if isinstance(value, int) and not isinstance(value, bool)}
    return numbers if table is None else {"table": table, **numbers}


def _address(row: Row, leaf: Leaf) -> Address:
    return Address(address=_text(row, "address"), label=_text(row, "label"), lifetime=_text(row, "lifetime"), leaf=leaf)


def _family(*addresses: str) -> int:
    return next((network_formats.version(text) for text in addresses if text and text != "default"), 4)


def _route(row: Row, leaf: Leaf, table: int | None) -> Route:
    to, via, source = _text(row, "to"), _text(row, "via"), _text(row, "from")
    version = _family(to, via, source)
    if to == "default" and (via or source):
        to = "0.0.0.0/0" if version == 4 else "::/0"
    kind = _text(row, "type") or "unicast"
    return Route(
        to=to,
        via=via,
        source=source,
        type=kind,
        scope=_text(row, "scope") or (_scope(kind, via) if version == 4 else ""),
        on_link=row.get("on-link") is True,
        options=_numbers(row, table),
        version=version,
        leaf=leaf,
    )


def _scope(kind: str, via: str) -> str:
    """Return the scope that netplan gives a route without one (its YAML reference, `scope`)."""
    if kind in {"local", "nat"}:
        return "host"
    direct = kind in {"anycast", "broadcast", "multicast"} or (kind == "unicast" and not via)
    return "link" if direct else "global"


def _rule(row: Row, leaf: Leaf, table: int | None) -> RoutingRule:
    source, to = _text(row, "from"), _text(row, "to")
    return RoutingRule(source=source, to=to, options=_numbers(row, table), version=_family(source, to), leaf=leaf)


def _peer(row: Row, leaf: Leaf) -> Peer:
    keys = row.get("keys")
    keys = keys if isinstance(keys, Row) else Row(())
    allowed, keepalive = row.get("allowed-ips"), row.get("keepalive")
    return Peer(
        public=_text(keys, "public"),
        shared=_text(keys, "shared"),
        endpoint=_text(row, "endpoint"),
        allowed=tuple(map(str, allowed)) if isinstance(allowed, tuple) else (),
        keepalive=keepalive if isinstance(keepalive, int) else 0,
        leaf=leaf,
    )


# The links between devices


def _linked(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """Return the devices with their links; a name that two devices have, or no device has, is a problem."""
    by_name: dict[str, Device] = {}
    duplicates: list[Device] = []
    for device in devices:
        first = by_name.setdefault(device.name, device)
        if first is not device:
            what, hint = "{} has the same name", "rename one of them"
            duplicates.append(_with_problem(device, device.place, what.format(first.pointer), hint, "Clash"))
            by_name[first.name] = _with_problem(first, first.place, what.format(device.pointer), hint, "Clash")
    for name, owner in list(by_name.items()):
        for key, leaf, other in _references(owner):
            if other in by_name:
                by_name[other] = _link(by_name[other], owner, _linked_device(owner, leaf))
                by_name[name] = _with_part(by_name[name], key, _linked_device(by_name[other], leaf))
            else:
                hint = did_you_mean(other, by_name) or f"add it: network/ethernets/{other}"
                by_name[name] = _with_problem(by_name[name], leaf, f"there is no device {other}", hint, "UnknownName")
    return (*by_name.values(), *duplicates)


def _with_problem(device: Device, leaf: Leaf, what: str, hint: str = "", code: str = "Network") -> Device:
    return replace(device, problems=(*device.problems, problem(device, leaf, what, hint, code)))


def _references(owner: Device) -> Iterator[tuple[str, Leaf, str]]:
    """Yield the names of other devices in ``owner``, each with its key and leaf."""
    for key in ("interfaces", "link", "peer"):
        if leaf := owner.branch.leaf(key):
            for name in texts(leaf) if key == "interfaces" else (str(leaf.value),):
                yield key, leaf, name


def _linked_device(device: Device, leaf: Leaf) -> LinkedDevice:
    return LinkedDevice(
        kind=device.kind, name=device.name, leaf=leaf, interface=device.interface, matched=device.matched
    )


def _with_part(owner: Device, key: str, part: LinkedDevice) -> Device:
    """Return ``owner`` with a device that it names at ``key``."""
    match key:
        case "interfaces":
            return replace(owner, members=(*owner.members, part))
        case "link":
            return replace(owner, parent=part)
    return owner


def _link(device: Device, owner: Device, link: LinkedDevice) -> Device:
    """Return ``device`` with the link that ``owner`` asks for."""
    if owner.name == device.name:
        return _with_problem(device, link.leaf, "a device cannot be linked to itself", "name another device")
    if owner.renderer != device.renderer:
        what = f"{owner.renderer} brings up {owner.name}, but {device.renderer} this device, which belongs to it"
        return _with_problem(device, link.leaf, what, "set the same `renderer` for both")
    match owner.kind:
        case "bonds" | "bridges" if device.master:
            what = f"it is already a port of {device.master.name}"
            return _with_problem(device, link.leaf, what, "remove it from one of them", "Clash")
        case "bonds" | "bridges":
            return replace(device, master=link, master_kind=PORTS[owner.kind], port=_port(owner, device.name))
        case "vrfs" if device.vrf:
            what = f"it is already a member of {device.vrf.name}"
            return _with_problem(device, link.leaf, what, "remove it from one of them", "Clash")
        case "vrfs":
            return replace(device, vrf=link)
        case "vlans":
            return replace(device, vlans=(*device.vlans, link))
        case "tunnels":
            return replace(device, vxlans=(*device.vxlans, link))
        case "infiniband-partitions":
            return replace(device, partitions=(*device.partitions, link))
    return device


def _port(owner: Device, name: str) -> dict[str, Leaf]:
    """Return the settings of one port of a bond or bridge: primary, path-cost, port-priority."""
    parameters = owner.branch.branch("parameters")
    settings = {key: parameters.branch(key).leaf(name) for key in ("path-cost", "port-priority")}
    primary = parameters.leaf("primary")
    settings["primary"] = primary if primary and primary.value == name else None
    return {key: leaf for key, leaf in settings.items() if leaf}
