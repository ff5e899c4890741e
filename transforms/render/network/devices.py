"""The section ``network`` as typed values: devices, what they are made of, and what is wrong with them.

    Branch ─read▶ Device, … ─render▶ files (`networkd`, `network_manager`, `ifupdown`)

A `Device` keeps its branch: its scalars are read through it, with their provenance. What needs more than one key or
one device to understand (lists, ports, stacked devices) is a field. `device_checks` says what holds for every renderer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ordain.transforms.document import network_formats
from ordain.transforms.document.network_keys import KINDS
from ordain.transforms.document.network_shapes import Addresses, Rows
from ordain.transforms.document.node import step
from ordain.transforms.document.shapes import Map, Record, Sequence, Shape, String
from ordain.transforms.errors import Problem, Severity, near
from ordain.transforms.model import Branch, Leaf, Row, Tree, Value

PORTS = {"bonds": "bond", "bridges": "bridge"}
"""Kinds of device that have ports, and what NetworkManager and networkd call them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address with its prefix length."""

    address: str
    label: str
    lifetime: str
    leaf: Leaf

    @property
    def version(self) -> int:
        """4 or 6."""
        return network_formats.version(self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route. ``to`` is a network, also for ``default`` where the family is known; ``options`` are its numbers."""

    to: str
    via: str
    source: str
    type: str
    scope: str
    on_link: bool
    options: Mapping[str, int]
    version: int
    leaf: Leaf

    @property
    def is_default(self) -> bool:
        """Whether it leads everywhere."""
        return self.to in {"0.0.0.0/0", "::/0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which packets are looked up in which table; ``options`` are its numbers by key."""

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
class Tie:
    """A device that another is tied to, and who said so."""

    name: str
    leaf: Leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One device. ``renderer`` brings it up; ``problems`` say why this machine cannot have it.

    ``master`` is the bond or bridge it is a port of, ``port`` what that says of the port; ``vlans`` and ``vxlans``
    stand on top of it.
    """

    kind: str
    name: str
    branch: Branch
    renderer: str
    addresses: tuple[Address, ...] = ()
    routes: tuple[Route, ...] = ()
    rules: tuple[Rule, ...] = ()
    peers: tuple[Peer, ...] = ()
    master: Tie | None = None
    master_kind: str = ""
    port: Mapping[str, Leaf] = field(default_factory=dict)
    vrf: Tie | None = None
    vlans: tuple[Tie, ...] = ()
    vxlans: tuple[Tie, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def pointer(self) -> str:
        """The item."""
        return step(f"network/{self.kind}", self.name)

    @property
    def virtual(self) -> bool:
        """Whether it is made, not found."""
        return self.kind != "ethernets"

    @property
    def interface(self) -> str:
        """The name of its interface, globs allowed; "" where only its hardware says which it is."""
        match = self.branch.branch("match")
        found = self.branch.value("set-name") or match.value("name")
        return str(found or ("" if match else self.name))

    @property
    def below(self) -> tuple[str, ...]:
        """The devices it cannot be without."""
        link = (self.text("link"),) if self.branch.leaf("link") else ()
        return (*(tie.name for tie in (self.master, self.vrf) if tie), *link)

    @property
    def here(self) -> Leaf:
        """Where it stands, for what no key says."""
        return self.branch.here

    def text(self, key: str) -> str:
        """A string or number as text, "" if it is not set."""
        value = self.branch.value(key)
        return "" if value is None else str(value)

    def flag(self, key: str, default: bool = False) -> bool:
        """A flag."""
        return self.branch.value(key, default) is True

    def link_local(self) -> frozenset[str]:
        """The families with link-local addresses: IPv6 unless said, none on a port."""
        said = self.branch.value("link-local")
        families = frozenset(map(str, said)) if isinstance(said, tuple) else frozenset({"ipv6"})
        return frozenset() if self.master else families

    def table(self) -> int | None:
        """The routing table of a VRF."""
        value = self.branch.value("table") if self.kind == "vrfs" else None
        return value if isinstance(value, int) else None


def problem(device: Device, leaf: Leaf, what: str, hint: str = "", code: str = "Network") -> Problem:
    """This machine cannot have ``device``."""
    blocked = Severity.BLOCKED
    return Problem(where=leaf.where, what=what, hint=hint, code=code, severity=blocked, item=device.pointer)


def texts(leaf: Leaf | None) -> tuple[str, ...]:
    """A list of strings."""
    return tuple(map(str, leaf.value)) if leaf and isinstance(leaf.value, tuple) else ()


def private_key(device: Device) -> Leaf | None:
    """The private key of a WireGuard tunnel."""
    return device.branch.branch("keys").leaf("private") or device.branch.leaf("key")


def is_secret_text(secret: str) -> bool:
    """Whether a WireGuard key stands there itself, not the path of a file that holds it."""
    try:
        network_formats.wireguard_key(secret)
    except ValueError:
        return False
    return True


def read(tree: Branch, renderer: str) -> tuple[Device, ...]:
    """The devices of ``network``, templates expanded, tied to each other; ``renderer`` is that of the OS."""
    default = str(tree.value("renderer") or renderer)
    return _tied(
        tuple(_device(kind, name, branch, default) for kind in KINDS for name, branch in tree.branch(kind).branches())
    )


# One device


def _device(kind: str, name: str, branch: Branch, renderer: str) -> Device:
    shape = Record(KINDS[kind][0])
    device = Device(kind=kind, name=name, branch=branch, renderer=str(branch.value("renderer") or renderer))
    wrong = tuple(
        problem(device, leaf, f"{text[:80]!r} is not {title}", hint, "Schema")
        for leaf, title, text, hint in _misfits(shape, branch)
    )
    if wrong:
        return replace(device, problems=wrong)
    table = device.table()
    return replace(
        device,
        addresses=tuple(_address(row, leaf) for row, leaf in _rows(branch.leaf("addresses"))),
        routes=tuple(_route(row, leaf, table) for row, leaf in _rows(branch.leaf("routes"))),
        rules=tuple(_rule(row, leaf, table) for row, leaf in _rows(branch.leaf("routing-policy"))),
        peers=tuple(_peer(row, leaf) for row, leaf in _rows(branch.leaf("peers"))),
    )


def _misfits(shape: Shape, tree: Tree) -> Iterator[tuple[Leaf, str, str, str]]:
    """Strings that a template made and no format allows: leaf, title, text, hint."""
    match shape, tree:
        case Record(keys=keys), Branch():
            for name, child in tree.children.items():
                yield from _misfits(keys[name], child)
        case Map(of=of), Branch():
            for child in tree.children.values():
                yield from _misfits(of, child)
        case String(), Leaf():
            yield from _misfit(shape, tree.value, tree)
        case Sequence(item=item), Leaf(value=tuple() as values):
            for value in values:
                yield from _misfit(item, value, tree)
        case Rows(of=Record(keys=keys)), Leaf(value=tuple() as rows):
            for row in rows:
                for name, cell in row.cells if isinstance(row, Row) else ():
                    yield from _misfits(keys[name], _cell(cell, tree))
        case Addresses(options=Record(keys=keys)), Leaf(value=tuple() as rows):
            known = {"address": String(title="an address with its prefix length", format="interface-address"), **keys}
            for row in rows:
                for name, cell in row.cells if isinstance(row, Row) else ():
                    yield from _misfits(known[name], _cell(cell, tree))


def _cell(cell: Value, leaf: Leaf) -> Tree:
    if isinstance(cell, Row):
        return Branch(children={name: _cell(value, leaf) for name, value in cell.cells}, where=leaf.where)
    return replace(leaf, value=cell)


def _misfit(shape: String, value: Value, leaf: Leaf) -> Iterator[tuple[Leaf, str, str, str]]:
    try:
        if shape.format:
            network_formats.FORMATS[shape.format](str(value))
    except ValueError as error:
        yield leaf, shape.title, str(value), str(error)


def _rows(leaf: Leaf | None) -> Iterator[tuple[Row, Leaf]]:
    """The maps of a list, each with the leaf its lines name as their cause."""
    for row in leaf.value if leaf and isinstance(leaf.value, tuple) else ():
        if leaf and isinstance(row, Row):
            yield row, Leaf(value=None, where=row.where, layer=leaf.layer)


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else str(value)


def _numbers(row: Row, table: int | None) -> dict[str, int]:
    found = {name: value for name, value in row.cells if isinstance(value, int) and not isinstance(value, bool)}
    return found if table is None else {"table": table, **found}


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
    """The scope netplan gives a route that says none (its YAML reference, `scope`)."""
    if kind in {"local", "nat"}:
        return "host"
    near_by = kind in {"anycast", "broadcast", "multicast"} or (kind == "unicast" and not via)
    return "link" if near_by else "global"


def _rule(row: Row, leaf: Leaf, table: int | None) -> Rule:
    source, to = _text(row, "from"), _text(row, "to")
    return Rule(source=source, to=to, options=_numbers(row, table), version=_family(source, to), leaf=leaf)


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


# Devices among each other


def _tied(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """The devices with their ports, members and what stands on them; a name that is not there is a problem."""
    by_name: dict[str, Device] = {}
    twins: list[Device] = []
    for device in devices:
        first = by_name.setdefault(device.name, device)
        if first is not device:
            twins.append(_wrong(device, device.here, f"{first.pointer} has this name too", "rename one", "Clash"))
            by_name[first.name] = _wrong(
                first, first.here, f"{device.pointer} has this name too", "rename one", "Clash"
            )
    for name, owner in list(by_name.items()):
        for leaf, other in _mentions(owner):
            if other in by_name:
                by_name[other] = _tie(by_name[other], owner, Tie(name=name, leaf=leaf))
            else:
                hint = near(other, by_name) or f"describe it: network/ethernets/{other}"
                by_name[name] = _wrong(by_name[name], leaf, f"there is no device {other}", hint, "UnknownName")
    return (*by_name.values(), *twins)


def _wrong(device: Device, leaf: Leaf, what: str, hint: str = "", code: str = "Network") -> Device:
    return replace(device, problems=(*device.problems, problem(device, leaf, what, hint, code)))


def _mentions(owner: Device) -> Iterator[tuple[Leaf, str]]:
    for key in ("interfaces", "link", "peer"):
        if leaf := owner.branch.leaf(key):
            for name in texts(leaf) if key == "interfaces" else (str(leaf.value),):
                yield leaf, name


def _tie(there: Device, owner: Device, tie: Tie) -> Device:
    """``there`` with what ``owner`` makes of it."""
    if owner.name == there.name:
        return _wrong(there, tie.leaf, "a device cannot stand on itself")
    if owner.renderer != there.renderer:
        what = f"{owner.renderer} brings up {owner.name}, which it belongs to, and {there.renderer} this"
        return _wrong(there, tie.leaf, what, "give both the same `renderer`")
    match owner.kind:
        case "bonds" | "bridges" if there.master:
            return _wrong(there, tie.leaf, f"it is a port of {there.master.name} already", "", "Clash")
        case "bonds" | "bridges":
            return replace(there, master=tie, master_kind=PORTS[owner.kind], port=_port(owner, there.name))
        case "vrfs" if there.vrf:
            return _wrong(there, tie.leaf, f"it is a member of {there.vrf.name} already", "", "Clash")
        case "vrfs":
            return replace(there, vrf=tie)
        case "vlans":
            return replace(there, vlans=(*there.vlans, tie))
        case "tunnels":
            return replace(there, vxlans=(*there.vxlans, tie))
    return there


def _port(owner: Device, name: str) -> dict[str, Leaf]:
    """What a bond or bridge says of one port: primary, path-cost, port-priority."""
    parameters = owner.branch.branch("parameters")
    found = {key: parameters.branch(key).leaf(name) for key in ("path-cost", "port-priority")}
    primary = parameters.leaf("primary")
    found["primary"] = primary if primary and primary.value == name else None
    return {key: leaf for key, leaf in found.items() if leaf}
