"""ifupdown: one file of stanzas (interfaces(5)), in which each device follows the devices that it consists of.

Only addresses and DHCP use ifupdown's own methods. ip(8) does everything else, because every system has it; the scripts
of other packages (ifenslave, bridge-utils, vlan) may be missing, and ifup skips them silently then. The formats of all
values allow no character with a meaning to a shell.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping

from ordain.transforms.model import Branch, Leaf
from ordain.transforms.render.cause_comments import MADE_BY, cause, comment
from ordain.transforms.render.network.bond_options import bond_options, unmonitored, unused_options
from ordain.transforms.render.network.device_draft import DeviceDraft
from ordain.transforms.render.network.devices import (
    GLOB,
    PORTS,
    Address,
    Device,
    Route,
    RoutingRule,
    leaf_at,
    texts,
)
from ordain.transforms.render.network.value_text import one_zero, seconds

HEADER = f"{MADE_BY} `ordainctl explain network` shows the documents it was made from."

UNSUPPORTED = (
    *("emit-lldp", "critical", "ra-overrides", "dhcp-identifier", "dhcp6-overrides", "ipv6-address-generation"),
    *("ipv6-address-token", "extensions", "checksums", "notifications", "auth", "virtual-function-count"),
)
ROUTE = {
    "metric": "metric",
    "table": "table",
    "mtu": "mtu",
    "congestion-window": "initcwnd",
    "advertised-receive-window": "initrwnd",
    "advertised-mss": "advmss",
}
WITHOUT_DEVICE = frozenset({"blackhole", "unreachable", "prohibit", "throw"})
"""Types of route that have no device."""
VXLAN = {
    "local": "local",
    "type-of-service": "tos",
    "ttl": "ttl",
    "ageing": "ageing",
    "limit": "maxaddress",
    "flow-label": "flowlabel",
}
SWITCHES = {"mac-learning": "learning", "arp-proxy": "proxy", "short-circuit": "rsc"}
CENTISECONDS = {
    "ageing-time": "ageing_time",
    "forward-delay": "forward_delay",
    "hello-time": "hello_time",
    "max-age": "max_age",
}
PORT = {"path-cost": "cost", "port-priority": "priority"}
PORT_SWITCHES = {"hairpin": "hairpin", "neigh-suppress": "neigh_suppress", "port-mac-learning": "learning"}


class Stanzas(DeviceDraft):
    """The stanzas of one device as ``text``; ``before`` and ``after`` are commands and their causes."""

    def __init__(self, device: Device) -> None:
        super().__init__(device=device, program="ifupdown")
        self.name = device.interface
        self.before: list[tuple[str, Leaf]] = []
        self.after: list[tuple[str, Leaf]] = []
        self.text = ""

    def option(self, option: str, value: str, leaf: Leaf) -> str:
        """Return one line of a stanza, below a comment on its place."""
        self.is_one_line(option, value, leaf)
        return f"    {comment(cause(leaf))}\n    {option} {value}\n"

    def run_before(self, command: str, leaf: Leaf) -> None:
        """Run a command before ifup brings the device up."""
        self.before.append((command, leaf))

    def run_after(self, command: str, leaf: Leaf) -> None:
        """Run a command when the device is up."""
        self.after.append((command, leaf))


NO_DAD = "    dad-attempts 0\n"
"""ifup fails if an address does not prove unique within 6 s, which never happens without a carrier (interfaces(5))."""


def render(device: Device) -> Stanzas:
    """Return the stanzas of one device."""
    stanzas = Stanzas(device)
    _block_unsupported(device, stanzas)
    if device.virtual:
        _create(device, stanzas)
    _link(device, stanzas)
    _ports(device, stanzas)
    for route in device.routes:
        stanzas.run_after(_route(route, stanzas), route.leaf)
    for key in ("gateway4", "gateway6"):
        if leaf := device.branch.leaf(key):
            stanzas.run_after(f"ip route replace default via {leaf.value} dev {stanzas.name}", leaf)
    for rule in device.rules:
        stanzas.run_after(_rule(rule), rule.leaf)
    stanzas.text = _text(stanzas)
    return stanzas


def file_text(stanzas: Mapping[str, Stanzas]) -> str:
    """Return the whole file: stanzas by name, but each after those of the devices that it consists of."""
    order: list[str] = []

    def place(name: str) -> None:
        if name in stanzas and name not in order:
            device = stanzas[name].device
            ports = texts(device.branch.leaf("interfaces")) if device.kind in PORTS else ()
            peer = "" if _makes_pair(device) else device.text("peer")
            for part in (*ports, device.text("link"), peer, device.vrf.name if device.vrf else ""):
                place(part)
            order.append(name)

    for name in sorted(stanzas):
        place(name)
    return "\n".join((f"{comment(HEADER)}\n", *(stanzas[name].text for name in order)))


def _text(stanzas: Stanzas) -> str:
    device, name = stanzas.device, stanzas.name
    families = list(_families(device, stanzas))
    lines = [f"{comment(cause(device.place))}\n"]
    if device.branch.value("activation-mode") != "manual":
        hot = device.flag("optional") and not device.virtual
        lines.append(f"{'allow-hotplug' if hot else 'auto'} {name}\n")
    for number, (method, body) in enumerate(families):
        lines.append(f"iface {name} {method}\n")
        if number == 0:
            lines += [stanzas.option("pre-up", command, leaf) for command, leaf in stanzas.before]
        lines.append(body)
        if number == len(families) - 1:
            lines += [stanzas.option("up", command, leaf) for command, leaf in stanzas.after]
            for command, leaf in stanzas.after:
                if " rule add " in command:  # a rule outlives its device
                    lines.append(stanzas.option("down", command.replace(" rule add ", " rule del "), leaf))
            if any(command.startswith("ip link add ") for command, _ in stanzas.before):
                lines.append(stanzas.option("post-down", f"ip link delete dev {name}", device.place))
    return _without_repeated_comments("".join(lines))


def _without_repeated_comments(text: str) -> str:
    """Return ``text`` without comments that are the same as the comment before."""
    last_comment, kept = "", []
    for line in text.splitlines(keepends=True):
        is_comment = line.lstrip().startswith("#")
        if not is_comment or line.strip() != last_comment:
            kept.append(line)
        last_comment = line.strip() if is_comment else last_comment
    return "".join(kept)


def _block_unsupported(device: Device, stanzas: Stanzas) -> None:
    branch = device.branch
    for key in UNSUPPORTED:
        if (leaf := leaf_at(branch, key)) and leaf.value is not False:
            stanzas.unsupported(leaf, key)
    if (mode := branch.leaf("activation-mode")) and mode.value == "off":
        stanzas.unsupported(mode, "activation-mode: off")
    if not stanzas.name or set(stanzas.name) & GLOB:
        stanzas.block(device.place, "ifupdown needs the name of the interface", "add `set-name`", "Renderer")
    for key, leaf in branch.branch("dhcp4-overrides").leaves():
        if key not in {"hostname", "route-metric"} and leaf.value is not True:
            stanzas.unsupported(leaf, f"{key}: {one_zero(leaf.value)}")
    if (link_local := branch.leaf("link-local")) and device.link_local() != {"ipv6"} and not device.master:
        stanzas.unsupported(link_local, "link-local addresses other than those of IPv6")
    if (mac := branch.leaf("macaddress")) and ":" not in str(mac.value):
        stanzas.unsupported(mac, f"the MAC address policy {mac.value}")
    if device.is_loopback or device.kind in {"wifis", "modems"}:
        stanzas.unsupported(device.place, "lo, as it would take it down" if device.is_loopback else device.kind)
    if device.text("mode") == "wireguard":
        stanzas.unsupported(branch.leaf("mode") or device.place, "WireGuard")
    if servers := branch.branch("nameservers").leaf("addresses"):
        stanzas.warn(servers, "ifupdown needs the package resolvconf to set DNS servers")


def _create(device: Device, stanzas: Stanzas) -> None:
    branch, name, mode = device.branch, stanzas.name, device.text("mode")
    kind = branch.leaf("mode") or device.place
    match device.kind:
        case "dummy-devices":
            stanzas.run_before(f"ip link add name {name} type dummy", kind)
        case "bonds":
            for leaf, what, hint in unused_options(branch.branch("parameters")):
                stanzas.block(leaf, f"ip refuses the bond: {what}", hint, "Renderer")
            if doubt := unmonitored(branch.branch("parameters")):
                stanzas.warn(*doubt)
            options = "".join(f" {option} {value}" for option, value, _ in bond_options(branch.branch("parameters")))
            stanzas.run_before(f"ip link add name {name} type bond{options}", kind)
        case "bridges":
            stanzas.run_before(f"ip link add name {name} type bridge{_bridge(branch)}", kind)
        case "vlans":
            parent = device.parent.interface if device.parent else ""
            stanzas.run_before(f"ip link add link {parent} name {name} type vlan id {device.text('id')}", kind)
        case "infiniband-partitions":
            parent = device.parent.interface if device.parent else ""
            mode_words = f" mode {device.text('infiniband-mode')}" if device.text("infiniband-mode") else ""
            pkey = f"pkey {int(device.text('partition-key') or 0):#06x}"
            stanzas.run_before(f"ip link add link {parent} name {name} type ipoib {pkey}{mode_words}", kind)
        case "virtual-ethernets" if _makes_pair(device):
            stanzas.run_before(f"ip link add name {name} type veth peer name {device.text('peer')}", kind)
        case "vrfs":
            stanzas.run_before(f"ip link add name {name} type vrf table {device.text('table')}", kind)
        case "tunnels" if mode == "vxlan":
            stanzas.run_before(f"ip link add name {name} type vxlan{_vxlan(device)}", kind)
        case "tunnels" if mode != "wireguard":
            stanzas.run_before(f"ip link add name {name}{_ip_tunnel(device)}", kind)


def _makes_pair(device: Device) -> bool:
    """Return whether ``device`` is the end of a pair that creates both ends, and so precedes the other."""
    return device.name < device.text("peer")


def _bridge(branch: Branch) -> str:
    parameters = branch.branch("parameters")
    stp = parameters.value("stp", "parameters" in branch)
    words = [f" stp_state {1 if stp else 0}"]
    for key, word in CENTISECONDS.items():
        if leaf := parameters.leaf(key):
            words.append(f" {word} {int(seconds(leaf.value)) * 100}")
    if priority := parameters.leaf("priority"):
        words.append(f" priority {priority.value}")
    return "".join(words)


def _ip_tunnel(device: Device) -> str:
    branch, mode = device.branch, device.text("mode")
    words = [f" type ip6tnl mode {mode}" if mode in {"ip6ip6", "ipip6"} else f" type {mode}"]
    words += [f" {key} {device.text(key)}" for key in ("local", "remote", "ttl") if device.text(key)]
    for end, word in (("input", "ikey"), ("output", "okey")):
        if leaf := branch.branch("keys").leaf(end) or branch.leaf("key"):
            words.append(f" {word} {leaf.value}")
    return "".join(words)


def _vxlan(device: Device) -> str:
    branch = device.branch
    words = [f" id {device.text('id')}"]
    words += [f" dev {device.parent.interface}"] if device.parent else []
    words += [f" {word} {one_zero(leaf.value)}" for key, word in VXLAN.items() if (leaf := branch.leaf(key))]
    words += [f" {'' if leaf.value else 'no'}{word}" for key, word in SWITCHES.items() if (leaf := branch.leaf(key))]
    if remote := branch.leaf("remote"):
        group = ipaddress.ip_address(str(remote.value)).is_multicast
        words.append(f" {'group' if group else 'remote'} {remote.value}")
    words.append(f" dstport {one_zero(branch.value('port', 8472))}")
    if ports := texts(branch.leaf("port-range")):
        words.append(f" srcport {' '.join(ports)}")
    if branch.leaf("do-not-fragment"):
        words.append(f" df {'set' if branch.value('do-not-fragment') else 'unset'}")
    return "".join(words)


def _link(device: Device, stanzas: Stanzas) -> None:
    branch, name = device.branch, stanzas.name
    for key, word in (("macaddress", "address"), ("mtu", "mtu")):
        if leaf := branch.leaf(key):
            stanzas.run_before(f"ip link set dev {name} {word} {one_zero(leaf.value)}", leaf)
    if device.kind == "ethernets" and (mode := branch.leaf("infiniband-mode")):
        stanzas.run_before(f"ip link set dev {name} type ipoib mode {mode.value}", mode)
    if device.vrf:
        stanzas.run_after(f"ip link set dev {name} master {device.vrf.name}", device.vrf.leaf)
    if mtu := branch.leaf("ipv6-mtu"):
        stanzas.run_after(f"sysctl -q -w net/ipv6/conf/{name}/mtu={one_zero(mtu.value)}", mtu)


def _ports(device: Device, stanzas: Stanzas) -> None:
    """Add the commands for ports; a device must be down when it becomes the port of a bond."""
    if device.kind in PORTS:
        interfaces = {port.name: port.interface for port in device.members}
        for port in device.members:
            stanzas.run_before(f"ip link set dev {port.interface} down", port.leaf)
            stanzas.run_before(f"ip link set dev {port.interface} master {stanzas.name}", port.leaf)
            stanzas.run_before(f"ip link set dev {port.interface} up", port.leaf)
        parameters = device.branch.branch("parameters")
        for key, word in PORT.items():
            for name, cost in parameters.branch(key).leaves():
                port_options = f"dev {interfaces.get(name, name)} type bridge_slave {word} {one_zero(cost.value)}"
                stanzas.run_before(f"ip link set {port_options}", cost)
        if primary := parameters.leaf("primary"):
            interface = interfaces.get(str(primary.value), "")
            stanzas.run_before(f"ip link set dev {stanzas.name} type bond primary {interface}", primary)
    for key, word in PORT_SWITCHES.items():
        if (leaf := device.branch.leaf(key)) and device.master_kind == "bridge":
            switch = "on" if leaf.value else "off"
            stanzas.run_after(f"ip link set dev {stanzas.name} type bridge_slave {word} {switch}", leaf)


def _families(device: Device, stanzas: Stanzas) -> Iterator[tuple[str, str]]:
    """Yield each family and method (``inet static``) with its lines; there is at least one."""
    branch = device.branch
    families = [*_inet(device, stanzas), *_inet6(device, stanzas)]
    if not families:
        up = stanzas.option("up", f"ip link set dev {stanzas.name} up", device.place)
        families.append(("inet manual", up))
    for number, (method, body) in enumerate(families):
        dns = _dns(branch.branch("nameservers"), stanzas) if number == 0 else ""
        yield method, body + dns


def _inet(device: Device, stanzas: Stanzas) -> Iterator[tuple[str, str]]:
    dhcp = device.branch.leaf("dhcp4")
    if dhcp and dhcp.value is True:
        lines = f"    {comment(cause(dhcp))}\n"
        overrides = device.branch.branch("dhcp4-overrides")
        for key, option in (("hostname", "hostname"), ("route-metric", "metric")):
            if leaf := overrides.leaf(key):
                lines += stanzas.option(option, one_zero(leaf.value), leaf)
        yield "inet dhcp", lines
    for address in _static(device, 4):
        yield "inet static", _address(address, stanzas)


def _inet6(device: Device, stanzas: Stanzas) -> Iterator[tuple[str, str]]:
    branch = device.branch
    dhcp, ra = branch.leaf("dhcp6"), branch.leaf("accept-ra")
    extra = ""
    if ra:
        extra += stanzas.option("accept_ra", "1" if ra.value else "0", ra)
    if (privacy := branch.leaf("ipv6-privacy")) is not None:
        extra += stanzas.option("privext", "2" if privacy.value else "0", privacy)
    if dhcp and dhcp.value is True:
        yield "inet6 dhcp", extra or f"    {comment(cause(dhcp))}\n"
        extra = ""
    elif ra and ra.value is True:
        yield "inet6 auto", extra
        extra = ""
    for address in _static(device, 6):
        yield "inet6 static", _address(address, stanzas) + NO_DAD + extra
        extra = ""


def _static(device: Device, version: int) -> Iterator[Address]:
    return (address for address in device.addresses if address.version == version)


def _address(address: Address, stanzas: Stanzas) -> str:
    if address.label or address.lifetime == "0":
        stanzas.unsupported(address.leaf, "the label or lifetime of an address")
    return stanzas.option("address", address.address, address.leaf)


def _dns(nameservers: Branch, stanzas: Stanzas) -> str:
    lines = ""
    for key, option in (("addresses", "dns-nameservers"), ("search", "dns-search")):
        if (leaf := nameservers.leaf(key)) and texts(leaf):
            lines += stanzas.option(option, " ".join(texts(leaf)), leaf)
    return lines


def _route(route: Route, stanzas: Stanzas) -> str:
    if route.type in {"nat", "xresolve"}:
        stanzas.unsupported(route.leaf, f"a route of type {route.type}")
    words = ["ip", *(["-6"] if route.version == 6 else []), "route", "replace"]
    words += [*([] if route.type == "unicast" else [route.type]), _network(route.to)]
    words += ["via", route.via] if route.via else []
    words += [] if route.type in WITHOUT_DEVICE else ["dev", stanzas.name]
    words += ["src", route.source] if route.source else []
    words += ["scope", route.scope] if route.scope not in {"", "global"} else []
    for key, word in ROUTE.items():
        words += [word, str(route.options[key])] if key in route.options else []
    return " ".join([*words, *(["onlink"] if route.on_link else [])])


def _rule(rule: RoutingRule) -> str:
    words = ["ip", *(["-6"] if rule.version == 6 else []), "rule", "add"]
    words += ["from", rule.source] if rule.source else []
    words += ["to", rule.to] if rule.to else []
    for key, word in (("mark", "fwmark"), ("type-of-service", "tos"), ("table", "table"), ("priority", "priority")):
        words += [word, str(rule.options[key])] if key in rule.options else []
    return " ".join(words)


def _network(text: str) -> str:
    """Return the destination of a route without the bits of a host, which ip(8) refuses.

    >>> _network("198.51.100.7/24"), _network("198.51.100.7"), _network("default")
    ('198.51.100.0/24', '198.51.100.7', 'default')
    """
    return str(ipaddress.ip_network(text, strict=False)) if "/" in text else text
