"""The state that the programs of the network were told to bring about, read from the files that we gave them.

    Generation ──expected_devices──▶ ExpectedDevice, …, which `apply.differences.network_differences` holds against
                                     the kernel

The files are our own, so they have only the forms that `transforms.render.network` writes. A device without a file is
blocked, and nothing is expected of it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ordain.agent.model import Generation
from ordain.transforms.artifacts import RegularFile
from ordain.transforms.lazy_patterns import lazy_pattern
from ordain.transforms.render.cause_comments import read_cause
from ordain.transforms.render.network.device_kinds import KIND
from ordain.transforms.render.paths import IFUPDOWN, NETWORK_MANAGER, NETWORKD

HARDWARE = frozenset({"ethernets", "modems", "wifis"})
"""The kinds of device that no program creates."""
GLOB = frozenset("*?[")
MODES_OF_IP6TNL = frozenset({"ip6ip6", "ipip6"})
"""The modes of tunnels that are one kind of device to the kernel."""
MAIN_TABLE = 254
TABLE_OF_TYPE = {"local": 255, "broadcast": 255, "anycast": 255, "nat": 255}
"""Types of route that are in another table than the main one, if no document says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRoute:
    """A route to a network; ``via`` is ``""`` without a gateway, ``metric`` None if any will do."""

    to: str
    via: str = ""
    type: str = "unicast"
    table: int = MAIN_TABLE
    metric: int | None = None

    def __str__(self) -> str:
        kind = "" if self.type == "unicast" else f"{self.type} "
        table = "" if self.table == MAIN_TABLE else f" in table {self.table}"
        return f"{kind}{self.to}{f' via {self.via}' if self.via else ''}{table}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRule:
    """A rule that selects ``table``. ``source`` and ``to`` are networks, ``""`` for every address.

    ``priority`` is None if any will do.
    """

    version: int
    table: int
    source: str = ""
    to: str = ""
    priority: int | None = None
    mark: int = 0
    tos: int = 0

    def __str__(self) -> str:
        words = (("from", self.source), ("to", self.to), ("mark", self.mark), ("type-of-service", self.tos))
        text = " ".join(f"{word} {value}" for word, value in words if value) or f"for all of IPv{self.version}"
        priority = "" if self.priority is None else f" with priority {self.priority}"
        return f"{text} to table {self.table}{priority}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedDevice:
    """One device of the documents.

    ``item`` is its pointer. ``name`` is the name of the interface, which may be a glob or ``""``; ``mac`` then
    identifies it. ``configuration`` is the text that the program has read about it, without comments. ``path`` is the
    file, ``dhcp`` the IP versions that it asks a server about. ``without_carrier``: it has addresses without a cable.
    ``unmanaged``: an administrator brings it up, or it stays down. ``keys`` is the device in the documents, and
    ``others`` are the devices that it names there, by id, each with the name of its interface and its MAC address.
    """

    item: str
    program: str
    path: str
    configuration: str
    name: str = ""
    mac: str = ""
    drivers: bool = False
    addresses: tuple[str, ...] = ()
    routes: tuple[ExpectedRoute, ...] = ()
    dhcp: tuple[int, ...] = ()
    master: str = ""
    mtu: int = 0
    uuid: str = ""
    optional: bool = False
    without_carrier: bool = False
    unmanaged: bool = False
    rules: tuple[ExpectedRule, ...] = ()
    keys: Mapping[str, object] = field(default_factory=dict)
    others: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Return the name that other devices of the documents know it by."""
        return self.item.rpartition("/")[2]

    @property
    def kernel_kind(self) -> str:
        """Return the kind of a virtual device in the words of ip-link(8), ``""`` for hardware."""
        if not self.virtual:
            return ""
        kind = KIND.get(self.kind) or str(self.keys.get("mode", ""))
        return "ip6tnl" if kind in MODES_OF_IP6TNL else kind

    @property
    def kind(self) -> str:
        """Return the kind of device, such as ``bonds``."""
        return self.item.split("/")[1]

    @property
    def virtual(self) -> bool:
        """Return whether the program creates the device."""
        return self.kind not in HARDWARE and self.name != "lo"

    @property
    def has_pattern(self) -> bool:
        """Return whether it may be about several interfaces."""
        return not self.mac and (not self.name or bool(set(self.name) & GLOB))


def expected_devices(generation: Generation) -> tuple[ExpectedDevice, ...]:
    """Return the devices of ``generation`` that it gives files for, by item."""
    files = [a for a in generation.artifacts if isinstance(a, RegularFile) and a.item.partition("/")[0] == "network"]
    devices: list[ExpectedDevice] = []
    for file in files:
        for prefix, read in _READERS.items():
            if file.path.startswith(prefix):
                devices += read(file)
    # A Wi-Fi has a file for each network; which of them is in reach, nobody knows.
    devices = list({device.item: device for device in reversed(devices)}.values())
    netdevs = {file.item: _bare(file.content) for file in files if file.path.endswith(".netdev")}
    masters = {port: device.name for device in devices for port in _ports_of(device)}
    interfaces = {device.id: (device.name, device.mac) for device in devices}
    return tuple(
        _with_keys(
            generation,
            replace(
                device,
                configuration=netdevs.get(device.item, "") + device.configuration,
                master=device.master or masters.get(device.name, ""),
            ),
            interfaces,
        )
        for device in sorted(devices, key=lambda device: device.item)
    )


def changed_devices(old: Generation, new: Generation) -> tuple[ExpectedDevice, ...]:
    """Return the devices of ``new`` that ``old`` has not, or that it configures otherwise."""
    before = {(device.item, device.program): device.configuration for device in expected_devices(old)}
    return tuple(
        device for device in expected_devices(new) if before.get((device.item, device.program)) != device.configuration
    )


def _with_keys(
    generation: Generation, device: ExpectedDevice, interfaces: Mapping[str, tuple[str, str]]
) -> ExpectedDevice:
    """Return ``device`` with its keys in the documents, and what they say of it for every program."""
    words: object = generation.document
    for part in device.item.split("/"):
        words = words.get(part, {}) if isinstance(words, Mapping) else {}
    keys = words if isinstance(words, Mapping) else {}
    by_itself = device.program == "systemd-networkd" and device.virtual
    return replace(
        device,
        optional=keys.get("optional") is True,
        unmanaged="activation-mode" in keys,
        without_carrier=keys.get("ignore-carrier", by_itself) is True,
        rules=tuple(_rules(keys)),
        keys=keys,
        others={name: interfaces[name] for name in _names_in(keys) if name in interfaces},
    )


def _rules(keys: Mapping[str, Any]) -> Iterator[ExpectedRule]:
    """Yield the routing rules of a device; a VRF's are about its own table."""
    for words in keys.get("routing-policy") or ():
        source, to = (_network(words.get(key, "")) for key in ("from", "to"))
        yield ExpectedRule(
            version=6 if ":" in f"{source}{to}" else 4,
            table=words.get("table", keys.get("table", MAIN_TABLE)),
            source=source,
            to=to,
            priority=words.get("priority"),
            mark=words.get("mark", 0),
            tos=words.get("type-of-service", 0),
        )


def _network(text: str) -> str:
    """Return a network in the kernel's spelling, ``""`` for one of all addresses."""
    network = ipaddress.ip_network(text, strict=False) if text else None
    return str(network) if network and network.prefixlen else ""


def _names_in(keys: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the devices whose interfaces a device is compared with."""
    parameters = keys.get("parameters") or {}
    yield from (str(keys.get("link", "")), str(keys.get("peer", "")), str(parameters.get("primary", "")))
    for key in ("path-cost", "port-priority"):
        yield from parameters.get(key) or ()


# Sections of networkd and NetworkManager

_Section = Mapping[str, Sequence[str]]


def _sections(text: str) -> Iterator[tuple[str, _Section]]:
    """Yield the name and the values by key of each section."""
    name, values = "", dict[str, list[str]]()
    for line in text.splitlines():
        if line.startswith("["):
            if name:
                yield name, values
            name, values = line.strip("[]"), {}
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    if name:
        yield name, values


def _bare(text: str) -> str:
    """Return ``text`` without comments, which name line numbers of the documents and change with them."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#"))


def _last(section: _Section, *keys: str) -> str:
    """Return the last value of the first key that is set, ``""`` if none is."""
    return next((section[key][-1] for key in keys if section.get(key)), "")


def _route(to: str, via: str = "", kind: str = "", table: str = "", metric: str = "") -> ExpectedRoute:
    """Return a route; each part is a word of one of the programs, or ``""`` if there is none."""
    version = 6 if ":" in f"{to}{via}" else 4
    everywhere = "::/0" if version == 6 else "0.0.0.0/0"
    type = kind or "unicast"
    return ExpectedRoute(
        to=str(ipaddress.ip_network(everywhere if to in {"", "default"} else to, strict=False)),
        via=str(ipaddress.ip_address(via)) if via and via not in {"0.0.0.0", "::"} else "",
        type=type,
        table=int(table) if table else TABLE_OF_TYPE.get(type, MAIN_TABLE),
        metric=int(metric) if metric else None,
    )


def _networkd(file: RegularFile) -> Iterator[ExpectedDevice]:
    if not file.path.endswith(".network"):
        return
    merged: dict[str, dict[str, list[str]]] = {}
    addresses: list[str] = []
    routes: list[ExpectedRoute] = []
    for name, section in _sections(file.content):
        if name == "Address":
            addresses.append(_last(section, "Address"))
        elif name == "Route":
            routes.append(
                _route(
                    _last(section, "Destination"),
                    _last(section, "Gateway"),
                    _last(section, "Type"),
                    _last(section, "Table"),
                    _last(section, "Metric"),
                )
            )
        else:
            for key, values in section.items():
                merged.setdefault(name, {}).setdefault(key, []).extend(values)
    match, network, link = merged.get("Match", {}), merged.get("Network", {}), merged.get("Link", {})
    dhcp = {"yes": (4, 6), "ipv4": (4,), "ipv6": (6,)}.get(_last(network, "DHCP"), ())
    bonded = "Bond" in network  # networkd then ignores addresses and routes
    yield ExpectedDevice(
        item=file.item,
        program="systemd-networkd",
        path=file.path,
        configuration=_bare(file.content),
        name=_last(match, "Name"),
        mac=_last(match, "PermanentMACAddress", "MACAddress").lower(),
        drivers="Driver" in match,
        addresses=() if bonded else (*network.get("Address", ()), *addresses),
        routes=() if bonded else (*routes, *(_route("", via) for via in network.get("Gateway", ()))),
        dhcp=() if bonded else dhcp,
        master=_last(network, "Bond", "Bridge", "VRF"),
        mtu=int(_last(link, "MTUBytes") or 0),
    )


def _network_manager(file: RegularFile) -> Iterator[ExpectedDevice]:
    sections = dict(_sections(file.content))
    connection, match = sections.get("connection", {}), sections.get("match", {})
    addresses: list[str] = []
    routes: list[ExpectedRoute] = []
    dhcp: list[int] = []
    for version in (4, 6):
        ip = sections.get(f"ipv{version}", {})
        addresses += [values[-1] for key, values in ip.items() if re.fullmatch("address[0-9]+", key)]
        if _last(ip, "method") in {"auto", "dhcp"}:
            dhcp.append(version)
        if gateway := _last(ip, "gateway"):
            routes.append(_route("", gateway))
        for key, values in ip.items():
            if re.fullmatch("route[0-9]+", key):
                to, via, metric, *_ = (*values[-1].split(","), "", "")
                words = (word.partition("=") for word in _last(ip, f"{key}_options").split(","))
                options = {word: value for word, _, value in words}
                routes.append(_route(to, via, options.get("type", ""), options.get("table", ""), metric))
    mtus = (_last(sections.get(name, {}), "mtu") for name in ("ethernet", "infiniband", "wireguard", "ip-tunnel"))
    yield ExpectedDevice(
        item=file.item,
        program="NetworkManager",
        path=file.path,
        configuration=_bare(file.content),
        name=_last(connection, "interface-name") or _last(match, "interface-name").rstrip(";"),
        mac=_last(sections.get("ethernet", {}), "mac-address").lower(),
        drivers="driver" in match,
        addresses=tuple(addresses),
        routes=tuple(routes),
        dhcp=tuple(dhcp),
        master=_last(connection, "master"),
        mtu=int(next(filter(None, mtus), "0")),
        uuid=_last(connection, "uuid"),
    )


# Stanzas of ifupdown

_STANZA = lazy_pattern(r"(?:auto|allow-hotplug|iface) (?P<name>\S+)(?: \S+ (?P<method>\S+))?")
_PORT = lazy_pattern(r"ip link set dev (?P<port>\S+) master (?P<master>\S+)$")


def _ifupdown(file: RegularFile) -> Iterator[ExpectedDevice]:
    """Yield a device for each interface; the first comment above its stanzas names the item."""
    lines: dict[str, list[str]] = {}
    items: dict[str, str] = {}
    name, item = "", ""
    for line in file.content.splitlines():
        if (cause := read_cause(line)) is not None:
            item = "/".join(cause.pointer.split("/")[:3])
        if stanza := _STANZA.match(line):
            name = stanza["name"]
            items.setdefault(name, item)
        if name and not line.lstrip().startswith("#"):
            lines.setdefault(name, []).append(line.strip())
    for name, stanzas in lines.items():
        yield _interface(name, items[name], file.path, stanzas)


def _interface(name: str, item: str, path: str, lines: Sequence[str]) -> ExpectedDevice:
    methods = [stanza["method"] for line in lines if (stanza := _STANZA.match(line)) and stanza["method"]]
    families = [line.split()[2] for line in lines if line.startswith("iface ")]
    asks = zip(families, methods, strict=True)
    commands = [line.partition(" ")[2] for line in lines if line.startswith(("up ", "pre-up "))]
    masters = [port["master"] for line in commands if (port := _PORT.match(line)) and port["port"] == name]
    mtus = [line.rpartition(" ")[2] for line in commands if line.startswith(f"ip link set dev {name} mtu ")]
    return ExpectedDevice(
        item=item,
        program="ifupdown",
        path=path,
        configuration="\n".join(lines),
        name=name,
        addresses=tuple(line.partition(" ")[2] for line in lines if line.startswith("address ")),
        routes=tuple(_route_of(words) for words in commands if " route replace " in words),
        dhcp=tuple({"inet": 4, "inet6": 6}[family] for family, method in asks if method in {"dhcp", "auto"}),
        master=next(iter(masters), ""),
        mtu=int(next(iter(mtus), "0")),
    )


def _route_of(command: str) -> ExpectedRoute:
    words = command.partition(" route replace ")[2].split()
    kind = words.pop(0) if re.fullmatch("[a-z]+", words[0]) and words[0] != "default" else ""
    options = dict(zip(words[1::2], words[2::2], strict=False))
    return _route(words[0], options.get("via", ""), kind, options.get("table", ""), options.get("metric", ""))


def _ports_of(device: ExpectedDevice) -> Iterable[str]:
    """Return the interfaces that the stanzas of a bond or bridge make its ports."""
    if device.program != "ifupdown":
        return ()
    ports = (_PORT.search(line) for line in device.configuration.splitlines())
    return [port["port"] for port in ports if port and port["master"] == device.name]


_READERS: Mapping[str, Callable[[RegularFile], Iterator[ExpectedDevice]]] = {
    f"{NETWORKD}/": _networkd,
    f"{NETWORK_MANAGER}/": _network_manager,
    IFUPDOWN: _ifupdown,
}
