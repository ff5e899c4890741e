"""cloud-init's network configuration of version 1 as that of version 2, which is netplan's and ours.

The meaning is that of cloud-init's reference ("Networking config Version 1") and of its renderer for netplan.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from functools import partial

from ordain.transforms.decimal_numbers import is_decimal
from ordain.transforms.document.text.node import Node, Number, mapping, sequence
from ordain.transforms.errors import Where
from ordain.transforms.importing.draft.document_draft import DocumentDraft
from ordain.transforms.importing.draft.yaml_values import (
    UnusableValue,
    each,
    flag,
    items,
    listed,
    set_items,
    text,
    texts,
    whole,
)

KINDS = {"physical": "ethernets", "bond": "bonds", "bridge": "bridges", "vlan": "vlans"}
"""Our kind of device for each type that is a device."""
DEVICE_KEYS = frozenset({"type", "name", "mac_address", "mtu", "subnets", "accept-ra", "wakeonlan", "optional"})
KEYS = {
    "physical": DEVICE_KEYS | {"keep_configuration"},
    "bond": DEVICE_KEYS | {"bond_interfaces", "params"},
    "bridge": DEVICE_KEYS | {"bridge_interfaces", "params"},
    "vlan": DEVICE_KEYS | {"vlan_id", "vlan_link"},
    "nameserver": frozenset({"type", "address", "search", "interface"}),
    "route": frozenset({"type", "destination", "netmask", "gateway", "metric"}),
}
SUBNET_KEYS = frozenset(
    {"type", "control", "address", "netmask", "prefix", "broadcast", "gateway", "metric", "mtu"}
    | {"dns_nameservers", "dns_search", "routes"}
)
ROUTE_KEYS = frozenset({"network", "destination", "netmask", "prefix", "gateway", "metric"})
DHCP4 = frozenset({"dhcp", "dhcp4"})
DHCP6 = frozenset({"dhcp6", "ipv6_slaac", "ipv6_dhcpv6-stateless", "ipv6_dhcpv6-stateful"})
HINTS = {
    "infiniband": "write it with the tools of the distribution",
    "loopback": "remove it: the kernel configures lo",
    "bridge_hw": "write it as `macaddress` of the bridge",
}

Device = dict[str, Node]


def converted(node: Node, draft: DocumentDraft) -> Node:
    """Return ``{version: 1, config: […]}`` in version 2. Raises `UnusableValue` if it has no list of devices."""
    return _Version1(draft).converted(node)


class _Version1:
    """The devices of version 2, by kind and name."""

    def __init__(self, draft: DocumentDraft) -> None:
        self.draft = draft
        self.kinds: dict[str, dict[str, Device]] = {}
        self.places: dict[str, Where] = {}
        self.without_names: list[Device] = []

    def converted(self, node: Node) -> Node:
        keys = items(node)
        for key in sorted(keys.keys() - {"version", "config"}):
            self.not_converted(keys[key], f"the key {key} is not known in version 1")
        by_type: dict[str, list[Node]] = {}
        for entry in listed(keys["config"]):
            self.each([entry], lambda entry: by_type.setdefault(self.type_of(entry), []).append(entry))
        for kind in KINDS:
            self.each(by_type.get(kind, ()), partial(self.add_device, kind))
        devices = [device for of_kind in self.kinds.values() for device in of_kind.values()]
        self.without_names = [device for device in devices if "addresses" in device and "nameservers" not in device]
        self.each(by_type.get("nameserver", ()), self.add_nameserver)
        self.each(by_type.get("route", ()), self.add_route)
        self.define_ports()
        kinds = {
            kind: mapping({name: _map(device, self.places[name]) for name, device in of_kind.items()}, {}, node.where)
            for kind, of_kind in self.kinds.items()
        }
        return mapping(kinds, {}, node.where)

    def each(self, entries: Iterable[Node], add: Callable[[Node], None]) -> None:
        """Add every entry. One with a problem does not keep the others from being converted."""
        each(entries, add, self.draft, "network")

    def type_of(self, entry: Node) -> str:
        keys = set_items(entry)
        if "type" not in keys:
            raise UnusableValue(entry, "an entry has no type", "add `type`")
        kind = text(keys["type"])
        if kind not in KEYS:
            raise UnusableValue(entry, f"the type {kind}", HINTS.get(kind, f"the types are {', '.join(KEYS)}"))
        self.check_keys(keys, KEYS[kind], f"a {kind}")
        return kind

    def not_converted(self, node: Node, what: str, hint: str = "") -> None:
        self.draft.not_converted(node.where, f"network: {what}", hint)

    def check_keys(self, keys: Mapping[str, Node], known: frozenset[str], what: str) -> None:
        for key in sorted(keys.keys() - known):
            self.not_converted(keys[key], f"the key {key} of {what}", HINTS.get(key, "remove it"))

    def add_device(self, kind: str, entry: Node) -> None:
        keys = set_items(entry)
        for needed in ("name", *(("vlan_id", "vlan_link") if kind == "vlan" else ())):
            if needed not in keys:
                raise UnusableValue(entry, f"a {kind} has no {needed}", f"add `{needed}`")
        name = text(keys["name"])
        if name in self.places:
            raise UnusableValue(entry, f"{name} is also in line {self.places[name].line}", "remove one")
        device: Device = {}
        self.places[name] = entry.where
        self.kinds.setdefault(KINDS[kind], {})[name] = device
        if "mac_address" in keys:
            self.set_mac(kind, name, device, keys["mac_address"])
        if "params" in keys:
            self.set_parameters(kind, name, device, keys["params"])
        for key, theirs in (("accept-ra", "accept-ra"), ("wakeonlan", "wakeonlan"), ("optional", "optional"),
                            ("keep_configuration", "critical")):  # fmt: skip
            if key in keys:
                device[theirs] = Node(value=flag(keys[key]), where=keys[key].where)
        for key, theirs in (("mtu", "mtu"), ("vlan_id", "id")):
            if key in keys:
                device[theirs] = _number(whole(keys[key]), keys[key].where)
        if "vlan_link" in keys:
            device["link"] = keys["vlan_link"]
        for key in sorted({"bond_interfaces", "bridge_interfaces"} & set(keys)):
            device["interfaces"] = _list(listed(keys[key]), keys[key].where)
        if "subnets" in keys:
            self.each(listed(keys["subnets"]), lambda subnet: self.add_subnet(device, subnet))

    def set_mac(self, kind: str, name: str, device: Device, node: Node) -> None:
        """Set the address: that of an interface finds it, all others are given it."""
        address = Node(value=text(node).lower(), where=node.where)
        if kind == "physical":
            device["match"] = _map({"macaddress": address}, node.where)
            device["set-name"] = Node(value=name, where=node.where)
        else:
            device["macaddress"] = address

    def set_parameters(self, kind: str, name: str, device: Device, node: Node) -> None:
        parameters: Device = {}
        for key, child in items(node).items():
            table, plain_key = (_BOND, key.replace("_", "-")) if kind == "bond" else (_BRIDGE, key.replace("-", "_"))
            if plain_key not in table:
                if (plain_key, text(child) if isinstance(child.value, str) else "") != ("bond-slaves", "none"):
                    self.not_converted(child, f"the parameter {key} of {name}", HINTS.get(plain_key, "remove it"))
                continue
            theirs, convert = table[plain_key]
            try:
                parameters[theirs] = convert(child)
            except UnusableValue as error:
                self.not_converted(error.node, f"the parameter {key} of {name}: {error.what}", error.hint)
        if parameters:
            device["parameters"] = _map(parameters, node.where)

    def add_subnet(self, device: Device, subnet: Node) -> None:
        keys = set_items(subnet)
        kind = text(keys["type"]) if "type" in keys else ""
        self.check_keys(keys, SUBNET_KEYS, "a subnet")
        if "control" in keys and (control := text(keys["control"])) != "auto":
            if control == "manual":
                device["activation-mode"] = keys["control"]
            else:
                self.not_converted(keys["control"], f"control: {control}", "write `optional` or `activation-mode`")
        if kind in DHCP4 | DHCP6:
            family = "dhcp4" if kind in DHCP4 else "dhcp6"
            device[family] = Node(value=True, where=keys["type"].where)
            if "metric" in keys:
                device[f"{family}-overrides"] = _map({"route-metric": keys["metric"]}, keys["metric"].where)
            used = {"type", "control", "metric"}
        elif kind in {"static", "static6"}:
            self.add_address(device, subnet, keys)
            used = {"type", "control", "metric", "address", "netmask", "prefix", "gateway", "mtu", "routes"}
            used |= {"broadcast"}
        elif kind == "manual":
            used = {"type", "control"}
        else:
            types = ", ".join(sorted(DHCP4 | DHCP6 | {"static", "static6", "manual"}))
            raise UnusableValue(keys.get("type", subnet), f"the type {kind!r} of a subnet", f"the types are {types}")
        self.add_names(device, keys.get("dns_nameservers"), keys.get("dns_search"))
        for key in sorted((keys.keys() & SUBNET_KEYS) - used - {"dns_nameservers", "dns_search"}):
            self.not_converted(keys[key], f"{key} of a subnet of the type {kind}", "remove it")

    def add_address(self, device: Device, subnet: Node, keys: Mapping[str, Node]) -> None:
        if "address" not in keys:
            raise UnusableValue(subnet, "a static subnet has no address", "add `address`")
        interface = _network(keys, ("address",))
        _append(device, "addresses", Node(value=str(interface), where=keys["address"].where))
        if "broadcast" in keys and text(keys["broadcast"]) != str(interface.network.broadcast_address):
            hint = "remove it: it follows from the address"
            self.not_converted(keys["broadcast"], f"the broadcast address of {interface}", hint)
        if "mtu" in keys:
            key = "mtu" if interface.version == 4 else "ipv6-mtu"
            mtu = _number(whole(keys["mtu"]), keys["mtu"].where)
            if key in device and device[key].value != mtu.value:
                what = f"the MTU of {interface}, because the device has another one"
                self.not_converted(keys["mtu"], what, "write one of them")
            else:
                device[key] = mtu
        if "gateway" in keys:
            route: Device = {"to": Node(value="default", where=keys["gateway"].where), "via": keys["gateway"]}
            if _address(keys["gateway"]) not in interface.network:
                route["on-link"] = Node(value=True, where=keys["gateway"].where)
            _append(device, "routes", _map(self.with_metric(route, keys), keys["gateway"].where))
        if "routes" in keys:
            self.each(
                listed(keys["routes"]), lambda entry: _append(device, "routes", self.route(entry, ROUTE_KEYS, keys))
            )

    def route(self, entry: Node, known: frozenset[str], subnet: Mapping[str, Node]) -> Node:
        """Return a route, which has the metric of its subnet unless it has its own."""
        keys = set_items(entry)
        self.check_keys(keys, known, "a route")
        if not {"network", "destination"} & set(keys):
            raise UnusableValue(entry, "it has no destination", "add `network` or `destination`")
        where = keys["network" if "network" in keys else "destination"].where
        written = text(keys["network" if "network" in keys else "destination"])
        to = "default" if written == "default" else str(_network(keys, ("network", "destination")).network)
        route: Device = {"to": Node(value=to, where=where)}
        if "gateway" in keys:
            route["via"] = keys["gateway"]
        return _map(self.with_metric(route, keys if "metric" in keys else subnet), entry.where)

    def with_metric(self, route: Device, keys: Mapping[str, Node]) -> Device:
        return {**route, "metric": _number(whole(keys["metric"]), keys["metric"].where)} if "metric" in keys else route

    def add_names(self, device: Device, servers: Node | None, search: Node | None) -> None:
        """Add name servers and search domains; a text with blanks is a list."""
        for key, node in (("addresses", servers), ("search", search)):
            words = [word for item in texts(node) for word in item.split()] if node else []
            if node and words:
                known = device.get("nameservers", _map({}, node.where))
                listed_before = items(known).get(key, _list((), node.where))
                added = (*listed(listed_before), *(Node(value=word, where=node.where) for word in words))
                device["nameservers"] = _map({**items(known), key: _list(added, node.where)}, node.where)

    def add_nameserver(self, entry: Node) -> None:
        """Add a name server to its interface, or to every device with addresses that has none."""
        keys = set_items(entry)
        devices = self.without_names
        if "interface" in keys:
            name = text(keys["interface"])
            devices = [of_kind[name] for of_kind in self.kinds.values() if name in of_kind]
        if not devices:
            raise UnusableValue(entry, "no device takes this name server", "write `nameservers` of a device")
        for device in devices:
            self.add_names(device, keys.get("address"), keys.get("search"))

    def add_route(self, entry: Node) -> None:
        """Add a route to the device whose network holds its gateway."""
        keys = set_items(entry)
        gateway = _address(keys["gateway"]) if "gateway" in keys else None
        for device in (device for of_kind in self.kinds.values() for device in of_kind.values()):
            networks = [ipaddress.ip_interface(text(a)).network for a in listed(device.get("addresses", _NOTHING))]
            if gateway and any(gateway in network for network in networks):
                _append(device, "routes", self.route(entry, KEYS["route"], {}))
                return
        raise UnusableValue(entry, "no device has the network of the gateway", "write it under `routes` of a device")

    def define_ports(self) -> None:
        """Define the ports of bonds and bridges, and the links of VLANs, that have no entry of their own."""
        for device in [device for of_kind in self.kinds.values() for device in of_kind.values()]:
            for node in (*listed(device.get("interfaces", _NOTHING)), *listed(device.get("link", _NOTHING))):
                if (name := text(node)) not in self.places:
                    self.places[name] = node.where
                    self.kinds.setdefault("ethernets", {})[name] = {}


def _network(keys: Mapping[str, Node], names: tuple[str, ...]) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """Return an address with its network; without a prefix or netmask it is /24 or /64, as in cloud-init."""
    node = next(keys[name] for name in names if name in keys)
    written = text(node)
    try:
        address, slash, prefix = written.partition("/")
        if not slash:
            other = next((keys[key] for key in ("prefix", "netmask") if key in keys), None)
            node = other or node
            prefix = text(other) if other else ("64" if ":" in address else "24")
        if ":" in prefix:  # a netmask of IPv6
            prefix = str(int(ipaddress.IPv6Address(prefix)).bit_count())
        return ipaddress.ip_interface(f"{address}/{prefix}")
    except ValueError as error:
        raise UnusableValue(node, f"{written!r}: {error}", "write ADDRESS/PREFIX") from None


def _address(node: Node) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text(node))
    except ValueError as error:
        raise UnusableValue(node, str(error), "write an address") from None


def _map(keys: Mapping[str, Node], where: Where) -> Node:
    return mapping({**keys}, {key: node.where for key, node in keys.items()}, where)


def _list(nodes: Iterable[Node], where: Where) -> Node:
    return sequence([*nodes], where)


def _number(number: int, where: Where) -> Node:
    return Node(value=Number(number), where=where)


def _append(device: Device, key: str, node: Node) -> None:
    device[key] = _list((*listed(device.get(key, _NOTHING)), node), node.where)


_NOTHING = Node(value=None, where=Where())

# Parameters of bonds and bridges


def _same(node: Node) -> Node:
    return (
        Node(value=Number(whole(node)), where=node.where)
        if is_decimal(text(node))
        else Node(value=text(node), where=node.where)
    )


def _flag(node: Node) -> Node:
    return Node(value=flag(node), where=node.where)


def _words(node: Node) -> Node:
    words = [word for item in texts(node) for word in item.replace(",", " ").split()]
    return _list((Node(value=word, where=node.where) for word in words), node.where)


def _numbered(*names: str) -> Callable[[Node], Node]:
    """Return the function that replaces the number of a value, which the kernel also takes, by its name."""

    def name(node: Node) -> Node:
        value = text(node)
        if is_decimal(value) and int(value) < len(names):
            value = names[int(value)]
        return Node(value=value, where=node.where)

    return name


def _by_port(node: Node) -> Node:
    """Return a map for a list of ``PORT VALUE``."""
    by_port: Device = {}
    for item in listed(node):
        port, _, value = text(item).partition(" ")
        if not is_decimal(value.strip()):
            raise UnusableValue(item, f"{text(item)!r} is not a port and a number", "write PORT NUMBER")
        by_port[port] = _number(int(value), item.where)
    return _map(by_port, node.where)


_MODES = ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")
_BOND: Mapping[str, tuple[str, Callable[[Node], Node]]] = {
    "bond-mode": ("mode", _numbered(*_MODES)),
    "bond-miimon": ("mii-monitor-interval", _same),
    "bond-min-links": ("min-links", _same),
    "bond-lacp-rate": ("lacp-rate", _numbered("slow", "fast")),
    "bond-xmit-hash-policy": ("transmit-hash-policy", _numbered("layer2", "layer3+4", "layer2+3")),
    "bond-ad-select": ("ad-select", _numbered("stable", "bandwidth", "count")),
    "bond-all-slaves-active": ("all-members-active", _flag),
    "bond-arp-interval": ("arp-interval", _same),
    "bond-arp-ip-target": ("arp-ip-targets", _words),
    "bond-arp-validate": ("arp-validate", _numbered("none", "active", "backup", "all")),
    "bond-arp-all-targets": ("arp-all-targets", _numbered("any", "all")),
    "bond-updelay": ("up-delay", _same),
    "bond-downdelay": ("down-delay", _same),
    "bond-fail-over-mac": ("fail-over-mac-policy", _numbered("none", "active", "follow")),
    "bond-num-grat-arp": ("gratuitous-arp", _same),
    "bond-num-unsol-na": ("gratuitous-arp", _same),
    "bond-packets-per-slave": ("packets-per-member", _same),
    "bond-primary": ("primary", _same),
    "bond-primary-reselect": ("primary-reselect-policy", _numbered("always", "better", "failure")),
    "bond-resend-igmp": ("resend-igmp", _same),
    "bond-lp-interval": ("learn-packet-interval", _same),
    "bond-learn-packet-interval": ("learn-packet-interval", _same),
}
"""Our key for each parameter of a bond (with dashes), and the function that converts the value."""
_BRIDGE: Mapping[str, tuple[str, Callable[[Node], Node]]] = {
    "bridge_ageing": ("ageing-time", _same),
    "bridge_bridgeprio": ("priority", _same),
    "bridge_fd": ("forward-delay", _same),
    "bridge_hello": ("hello-time", _same),
    "bridge_maxage": ("max-age", _same),
    "bridge_stp": ("stp", _flag),
    "bridge_pathcost": ("path-cost", _by_port),
    "bridge_portprio": ("port-priority", _by_port),
}
"""Our key for each parameter of a bridge (with underscores), and the function that converts the value."""
