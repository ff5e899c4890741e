"""Checks of a network device that do not depend on its renderer: keys that need each other, families, names."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import replace

from ordain.transforms.document.formats import network_formats
from ordain.transforms.errors import Problem, Severity, did_you_mean
from ordain.transforms.model import Branch, Leaf
from ordain.transforms.render.network.devices import (
    Device,
    is_secret_text,
    leaf_at,
    private_key,
    problem,
    texts,
)
from ordain.transforms.render.network.network_doubts import doubts
from ordain.transforms.render.network.value_text import seconds

Devices = tuple[Device, ...]
NOT_OF_LOOPBACK = (
    *("dhcp4", "dhcp6", "accept-ra", "macaddress", "set-name", "auth", "wakeonlan", "infiniband-mode"),
    *("link", "virtual-function-count"),
)
REQUIRED = {
    "vlans": ("id", "link"),
    "vrfs": ("table",),
    "tunnels": ("mode",),
    "virtual-ethernets": ("peer",),
    "infiniband-partitions": ("link", "partition-key"),
    "wifis": ("access-points",),
}
"""The keys that a device of a kind must have."""
ETHERNET_OCTETS = 6
LEAST_MTU_OF_IPV6 = 1280
MODES_WITH_KEYS = frozenset({"gre", "gretap", "ip6gre", "ip6gretap", "vti", "vti6"})
MODES_OF_IP = frozenset(
    {"gre", "gretap", "ip6gre", "ip6gretap", "ip6ip6", "ipip", "ipip6", "sit", "vti", "vti6"},
)
VXLAN_KEYS = (
    *("id", "link", "mac-learning", "ageing", "limit", "arp-proxy", "notifications", "short-circuit"),
    *("type-of-service", "checksums", "extensions", "port-range", "flow-label", "do-not-fragment"),
)
KEYS_OF_MODES: tuple[tuple[tuple[str, ...], frozenset[str]], ...] = (
    (VXLAN_KEYS, frozenset({"vxlan"})),
    (("peers", "mark"), frozenset({"wireguard"})),
    (("port",), frozenset({"wireguard", "vxlan"})),
    (("key", "keys"), MODES_OF_IP | {"wireguard"}),
    (("local", "remote", "ttl"), MODES_OF_IP | {"vxlan"}),
    (("macaddress",), frozenset({"gretap", "ip6gretap", "vxlan"})),
)
"""Keys of tunnels, with the modes in which they have a meaning."""
WITHOUT_GATEWAY = frozenset({"blackhole", "unreachable", "prohibit", "throw"})
"""Types of route that lead nowhere. networkd ignores such a route with a gateway, NetworkManager the whole keyfile."""
BRIDGE_SECONDS = {"ageing-time": (0, 1_000_000), "forward-delay": (2, 30), "hello-time": (1, 10), "max-age": (6, 40)}
MODES_OVER_IPV6 = frozenset({"ip6gre", "ip6gretap", "ip6ip6", "ipip6", "vti6"})


def check(device: Device, devices: Devices) -> Iterator[Problem]:
    """Yield the problems of ``device``, which is one of ``devices``."""
    if any(known.code == "Schema" for known in device.problems):
        return  # the other checks need valid strings
    for one_check in _CHECKS:
        yield from one_check(device, devices)


def _identity(device: Device, devices: Devices) -> Iterator[Problem]:
    """Check that the document says which interface of the hardware is meant."""
    if device.virtual or device.matched or device.is_loopback:
        return
    try:
        network_formats.interface(device.name)
    except ValueError as error:
        what = f"{device.name!r} is not an interface name, and nothing else identifies the interface"
        yield problem(device, device.place, what, f"{error}; or add `match`")
    if leaf := device.branch.leaf("set-name"):
        yield problem(device, leaf, "set-name needs `match`", "add `match` to identify the interface")


def _loopback(device: Device, devices: Devices) -> Iterator[Problem]:
    """Check that lo has only what the loopback device can have."""
    if not device.is_loopback:
        return
    for key in NOT_OF_LOOPBACK:
        if (leaf := leaf_at(device.branch, key)) and leaf.value is not False:
            yield problem(device, leaf, f"lo cannot have {key}", "remove it")
    for key, leaf in device.branch.branch("match").leaves():
        if key != "name":
            yield problem(device, leaf, f"lo cannot be found by {key}", "remove it")
    if device.master:
        yield problem(device, device.master.leaf, "lo cannot be a port", "remove it from the list")


def _sriov(device: Device, devices: Devices) -> Iterator[Problem]:
    """Check the keys of SR-IOV, of which network services know only the number of functions."""
    if device.kind != "ethernets":
        return
    for key in ("embedded-switch-mode", "delay-virtual-functions-rebind"):
        if (leaf := device.branch.leaf(key)) and leaf.value is not False:
            what = f"no network service sets {key}"
            yield problem(device, leaf, what, "run `devlink` in a service with phase: early", "Renderer")
    if device.parent and device.parent.kind != "ethernets":
        what = f"{device.parent.name} is not one of network/ethernets"
        yield problem(device, device.parent.leaf, what, "name the device that has the virtual function")


def _without_effect(device: Device, devices: Devices) -> Iterator[Problem]:
    if leaf := device.branch.leaf("optional-addresses"):
        what = "optional-addresses has no effect: no network service has such a setting"
        warning = problem(device, leaf, what, "remove it, or set `optional`")
        yield replace(warning, severity=Severity.WARNING)


def _without_dhcp(device: Device, devices: Devices) -> Iterator[Problem]:
    """Warn of keys that need DHCP."""
    for key, needed in (("dhcp4-overrides", "dhcp4"), ("dhcp6-overrides", "dhcp6"), ("dhcp-identifier", "dhcp4")):
        if (leaf := leaf_at(device.branch, key)) and not device.flag(needed):
            warning = problem(device, leaf, f"{key} has no effect without {needed}", f"set {needed}, or remove it")
            yield replace(warning, severity=Severity.WARNING)


def _deprecated(device: Device, devices: Devices) -> Iterator[Problem]:
    for key in ("gateway4", "gateway6"):
        if leaf := device.branch.leaf(key):
            hint = f"write routes: [{{to: default, via: {leaf.value}}}]"
            # Without an item, because the device works nevertheless.
            yield Problem(
                where=leaf.where,
                what=f"{key} is deprecated",
                hint=hint,
                code="Deprecated",
                severity=Severity.WARNING,
            )


def _routes(device: Device, devices: Devices) -> Iterator[Problem]:
    for route in device.routes:
        if route.to == "default":
            what = "a default route without `via` could be one of IPv4 or IPv6"
            yield problem(device, route.leaf, what, "write to: 0.0.0.0/0 or ::/0")
        elif route.scope == "global" and not route.via and route.type == "unicast":
            what = "a route of scope global needs `via`"
            yield problem(device, route.leaf, what, "add `via`, or set scope: link")
        elif _is_mixed(route.to, route.via, route.source):
            yield problem(device, route.leaf, "a route has addresses of both families", "use only IPv4 or only IPv6")


def _addresses(device: Device, devices: Devices) -> Iterator[Problem]:
    """Check that addresses can belong to an interface."""
    for address in device.addresses:
        ip = ipaddress.ip_interface(address.address).ip
        if ip.is_unspecified or ip.is_multicast or str(ip) == "255.255.255.255":
            what = f"{address.address} is not the address of an interface"
            yield problem(device, address.leaf, what, "write an address of one host")


def _unreachable_gateways(device: Device, devices: Devices) -> Iterator[Problem]:
    """Warn of gateways that the kernel refuses: they are in no network of the device ("invalid gateway").

    A device whose addresses come from a server may have any network.
    """
    gateways = [(route.via, route.leaf) for route in device.routes if route.via and not route.on_link]
    gateways += [(str(leaf.value), leaf) for key in ("gateway4", "gateway6") if (leaf := device.branch.leaf(key))]
    on_link = [
        ipaddress.ip_network(route.to, strict=False) for route in device.routes if "/" in route.to and not route.via
    ]
    for text, leaf in gateways if device.kind != "vrfs" else ():
        via = ipaddress.ip_address(text)
        own = [address for address in device.addresses if address.version == via.version]
        networks = [ipaddress.ip_interface(address.address).network for address in own]
        if any(via == ipaddress.ip_interface(address.address).ip for address in own):
            what = f"the gateway {text} is an address of the device itself, so that the kernel refuses the route"
            yield replace(problem(device, leaf, what, "write the address of the router"), severity=Severity.WARNING)
            continue
        if any(via == network.broadcast_address for network in networks if _has_broadcast(network)):
            what = f"the gateway {text} is the broadcast address of a network, so that the kernel refuses the route"
            yield replace(problem(device, leaf, what, "write the address of the router"), severity=Severity.WARNING)
            continue
        if not own or device.flag(f"dhcp{via.version}") or via.is_link_local:
            continue
        if via.version == 6 and device.branch.value("accept-ra") is not False:
            continue  # router advertisements may bring more networks
        if not any(via in network for network in (*networks, *on_link)):
            what = f"the gateway {text} is in no network of the device, so that the kernel refuses the route"
            warning = problem(device, leaf, what, "correct the gateway, or set on-link: true")
            yield replace(warning, severity=Severity.WARNING)


def _has_broadcast(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Return whether the last address of a network reaches all of its machines (RFC 919; RFC 3021 for /31)."""
    return network.version == 4 and network.prefixlen < 31


def _routes_without_gateway(device: Device, devices: Devices) -> Iterator[Problem]:
    for route in device.routes:
        if route.type in WITHOUT_GATEWAY and route.via:
            what = f"a route of type {route.type} has no gateway"
            yield problem(device, route.leaf, what, "remove `via`, or the type")


def _rules(device: Device, devices: Devices) -> Iterator[Problem]:
    for rule in device.rules:
        if _is_mixed(rule.to, rule.source):
            yield problem(device, rule.leaf, "a rule has addresses of both families", "use only IPv4 or only IPv6")
        if not rule.source and not rule.to and not {"mark", "type-of-service"} & rule.options.keys():
            yield problem(device, rule.leaf, "a rule selects no packets", "set from, to, mark or type-of-service")


def _is_mixed(*addresses: str) -> bool:
    return len({network_formats.version(text) for text in addresses if text}) > 1


def _link_local(device: Device, devices: Devices) -> Iterator[Problem]:
    """Check that IPv6 has link-local addresses where a protocol needs them."""
    if device.master or "ipv6" in device.link_local():
        return
    for key in ("dhcp6", "accept-ra"):
        if (leaf := device.branch.leaf(key)) and leaf.value is True:
            what = f"{key} needs link-local addresses of IPv6"
            yield problem(device, leaf, what, "add ipv6 to `link-local`")


def _hardware_address(device: Device, devices: Devices) -> Iterator[Problem]:
    """Check that an interface can have the MAC address (is_valid_ether_addr() of the kernel)."""
    leaf = device.branch.leaf("macaddress")
    octets = str(leaf.value).split(":") if leaf else []
    if leaf and len(octets) == ETHERNET_OCTETS and (int(octets[0], 16) & 1 or not any(int(o, 16) for o in octets)):
        what = f"{leaf.value} is a multicast address or zero, and no interface can have it"
        yield problem(device, leaf, what, "write an address whose first octet is even, such as 02:…")


def _mtu_of_ipv6(device: Device, devices: Devices) -> Iterator[Problem]:
    mtu = device.branch.leaf("mtu")
    uses_ipv6 = any(address.version == 6 for address in device.addresses) or device.flag("dhcp6")
    uses_ipv6 = uses_ipv6 or ("ipv6" in device.link_local() and not device.master)
    if mtu and uses_ipv6 and isinstance(mtu.value, int) and mtu.value < LEAST_MTU_OF_IPV6:
        what = f"with an MTU below {LEAST_MTU_OF_IPV6}, the kernel has no IPv6 on the device (RFC 8200, section 5)"
        yield replace(problem(device, mtu, what, "write a larger MTU"), severity=Severity.WARNING)


def _labels(device: Device, devices: Devices) -> Iterator[Problem]:
    for address in device.addresses:
        if address.label and address.version == 6:
            yield problem(device, address.leaf, "an IPv6 address cannot have a label", "remove it")


def _token(device: Device, devices: Devices) -> Iterator[Problem]:
    token = device.branch.leaf("ipv6-address-token")
    if not token:
        return
    if "ipv6-address-generation" in device.branch:
        what = "ipv6-address-generation has no effect with ipv6-address-token"
        yield problem(device, token, what, "remove one of them")
    if not int(ipaddress.IPv6Address(str(token.value))) & (2**64 - 1):
        yield problem(device, token, "the host part of the token is zero", "write the host part, such as ::2")


def _ports(device: Device, devices: Devices) -> Iterator[Problem]:
    """Check that parameters are only about ports of the device, and that the kernel accepts the ports."""
    parameters = device.branch.branch("parameters")
    ports = {member.name for member in device.members}
    primary = parameters.leaf("primary")
    named: list[tuple[Leaf, str]] = [(primary, str(primary.value))] if primary else []
    for key in ("path-cost", "port-priority"):
        named += [(leaf, name) for name, leaf in parameters.branch(key).leaves()]
    for leaf, name in named:
        if name not in ports:
            hint = did_you_mean(name, ports) or f"add {name} to `interfaces`"
            yield problem(device, leaf, f"{name} is not a port of {device.name}", hint, "UnknownName")
    if device.master_kind != "bridge":
        for key in ("neigh-suppress", "hairpin", "port-mac-learning"):
            if (option := device.branch.leaf(key)) and option.value is not False:
                what = f"{key} is only for a port of a bridge"
                yield problem(device, option, what, "remove it, or make the device a port")


def _bridge_times(device: Device, devices: Devices) -> Iterator[Problem]:
    """Check the times that the kernel accepts for a bridge (net/bridge/br_stp.c, in seconds)."""
    parameters = device.branch.branch("parameters") if device.kind == "bridges" else Branch()
    for key, (least, most) in BRIDGE_SECONDS.items():
        least = 0 if key == "forward-delay" and parameters.value("stp") is False else least
        if (leaf := parameters.leaf(key)) and not least <= int(seconds(leaf.value)) <= most:
            what = f"{key} of a bridge is from {least} s to {most} s"
            yield problem(device, leaf, what, "write a time in that range; a bare number is in seconds")


def _required_keys(device: Device, devices: Devices) -> Iterator[Problem]:
    for key in REQUIRED.get(device.kind, ()):
        if not device.branch.leaf(key) and not device.branch.branch(key):
            yield problem(device, device.place, f"the key {key} is missing", "add it")


def _pair(device: Device, devices: Devices) -> Iterator[Problem]:
    if device.kind != "virtual-ethernets":
        return
    peer = next((other for other in devices if other.name == device.text("peer")), None)
    if peer and peer.kind != device.kind:
        what = f"{peer.name} is not one of network/virtual-ethernets"
        yield problem(device, device.place, what, "name one of them as `peer`")
    elif peer and peer.text("peer") != device.name:
        what = f"{peer.name} does not name this device as its `peer`"
        yield problem(device, device.place, what, f"add `peer: {device.name}` to it")


def _tunnel(device: Device, devices: Devices) -> Iterator[Problem]:
    if device.kind != "tunnels":
        return
    mode = device.text("mode")
    for keys, modes in KEYS_OF_MODES:
        for key in keys if mode and mode not in modes else ():
            if leaf := leaf_at(device.branch, key):
                yield problem(device, leaf, f"{key} has no meaning in a tunnel of mode {mode}", "remove it")
    if mode == "wireguard":
        yield from _wireguard(device)
    elif mode == "vxlan":
        yield from _vxlan(device)
    else:
        yield from _ip_tunnel(device, mode)


def _vxlan(device: Device) -> Iterator[Problem]:
    branch = device.branch
    if not branch.leaf("id"):
        yield problem(device, device.place, "the key id is missing", "set it to the VXLAN id")
    ports = branch.leaf("port-range")
    ends = [int(port) for port in texts(ports)]
    if ports and (len(ends) != 2 or ends != sorted(ends)):
        what = "port-range is not the lowest and the highest port"
        yield problem(device, ports, what, "write it like [42000, 43000]")
    local = branch.leaf("local")
    if local and _is_mixed(str(local.value), device.text("remote")):
        what = "the ends of a VXLAN have addresses of both families"
        yield problem(device, local, what, "use only IPv4 or only IPv6")


def _wireguard(device: Device) -> Iterator[Problem]:
    key = private_key(device)
    if not key:
        yield problem(device, device.place, "a WireGuard tunnel needs a key", "set key, or keys: {private: …}")
    elif device.renderer == "networkd" and is_secret_text(str(key.value)):
        # networkd can read the key from a file, the other renderers cannot.
        what = "everybody who reads the documents knows this private key"
        known = problem(device, key, what, "write keys: {private: /path/of/a/file}", "Secret")
        yield replace(known, severity=Severity.WARNING)
    keys: set[str] = set()
    networks: dict[str, str] = {}
    for peer in device.peers:
        if not peer.public:
            yield problem(device, peer.leaf, "a peer needs its public key", "set keys: {public: …}")
        elif peer.public in keys:
            what = "another peer has the same public key, and WireGuard keeps one of them"
            yield problem(device, peer.leaf, what, "write one peer with all its networks", "Clash")
        keys.add(peer.public)
        for text in peer.allowed:
            network = str(ipaddress.ip_network(text, strict=False))
            if networks.setdefault(network, peer.public) != peer.public:
                what = f"another peer has the allowed network {network}, and WireGuard gives it to the last one"
                clash = problem(device, peer.leaf, what, "write the network for one of them", "Clash")
                yield replace(clash, severity=Severity.WARNING)


def _ip_tunnel(device: Device, mode: str) -> Iterator[Problem]:
    branch = device.branch
    remote, local = branch.leaf("remote"), branch.leaf("local")
    if not remote:
        yield problem(device, device.place, "the key remote is missing", "set it to the address of the other end")
    family = 6 if mode in MODES_OVER_IPV6 else 4
    for end in (remote, local):
        if end and network_formats.version(str(end.value)) != family:
            what = f"the ends of a tunnel of mode {mode} have IPv{family} addresses"
            yield problem(device, end, what, f"write an IPv{family} address")
    for leaf in (branch.leaf("key"), *branch.branch("keys").children.values()):
        if not isinstance(leaf, Leaf):
            continue
        if mode not in MODES_WITH_KEYS:
            yield problem(device, leaf, f"a tunnel of mode {mode} cannot have a key", "remove it")
        elif not _is_number_or_ipv4(str(leaf.value)):
            what = f"the key of a tunnel of mode {mode} is neither a number nor an IPv4 address"
            yield problem(device, leaf, what, "write one of them")


def _is_number_or_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text if "." in text else int(text))
    except ValueError:
        return False
    return True


_CHECKS: tuple[Callable[[Device, Devices], Iterator[Problem]], ...] = (
    *(
        _identity,
        _loopback,
        _sriov,
        _without_effect,
        _without_dhcp,
        _deprecated,
        _addresses,
        _routes,
        _routes_without_gateway,
        _unreachable_gateways,
        _rules,
        _hardware_address,
        _mtu_of_ipv6,
        _labels,
        _link_local,
        _token,
    ),
    *(_ports, _bridge_times, _required_keys, _tunnel, _pair, doubts),
)
