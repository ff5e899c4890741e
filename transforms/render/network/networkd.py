"""systemd-networkd: a .network file for each device, a .netdev for a virtual one, a .link where udev has to act.

We rely on the defaults of networkd that netplan relies on. The defaults of netplan itself (metric 100 for DHCP routes,
the MTU of DHCP) are written as lines. Each directive is checked against the target's systemd.
"""

from __future__ import annotations

from ordain.transforms.document.keys.network_keys import OFFLOADS
from ordain.transforms.model import Branch
from ordain.transforms.render.network.devices import Device, Route, RoutingRule, leaf_at, texts
from ordain.transforms.render.network.netdev import netdev
from ordain.transforms.render.network.section_file import SectionFile
from ordain.transforms.render.network.value_text import Parameters, yes_no
from ordain.transforms.render.paths import NETWORKD

PROGRAM = "networkd"
ROUTE = {
    "metric": "Metric",
    "table": "Table",
    "mtu": "MTUBytes",
    "congestion-window": "InitialCongestionWindow",
    "advertised-receive-window": "InitialAdvertisedReceiveWindow",
    "advertised-mss": "TCPAdvertisedMaximumSegmentSize",
}
RULE = {"table": "Table", "priority": "Priority", "mark": "FirewallMark", "type-of-service": "TypeOfService"}
IGNORED_IN_PORT = {
    "bond": ("addresses", "dhcp4", "dhcp6", "accept-ra", "gateway4", "gateway6", "routes", "link-local"),
    "bridge": ("dhcp6", "accept-ra", "link-local"),
}
"""By kind of the master, the keys that have no effect in a port, which has no link-local addresses either."""
UNKNOWN_ROUTES = frozenset({"nat", "xresolve"})
"""Types that networkd does not know. Linux has not known them for a long time, either."""

DHCP4: Parameters = {
    "use-dns": ("UseDNS", yes_no),
    "use-domains": ("UseDomains", yes_no),
    "use-ntp": ("UseNTP", yes_no),
    "use-routes": ("UseRoutes", yes_no),
    "use-hostname": ("UseHostname", yes_no),
    "send-hostname": ("SendHostname", yes_no),
    "hostname": ("Hostname", yes_no),
    "use-mtu": ("UseMTU", yes_no),
    "route-metric": ("RouteMetric", yes_no),
}
DHCP6: Parameters = {key: DHCP4[key] for key in ("use-dns", "use-domains", "use-ntp", "use-hostname")} | {
    key: DHCP4[key] for key in ("send-hostname", "hostname")
}
RA: Parameters = {
    "use-dns": ("UseDNS", yes_no),
    "use-domains": ("UseDomains", yes_no),
    "table": ("RouteTable", yes_no),
}
DHCP6_FROM_RA: Parameters = {
    "use-mtu": ("UseMTU", yes_no),
    "use-routes": ("UseGateway", yes_no),
    "route-metric": ("RouteMetric", yes_no),
}
"""Overrides of DHCPv6 for values of router advertisements, as DHCPv6 itself offers no MTU and no routes."""

BRIDGE_PORT: Parameters = {
    "neigh-suppress": ("NeighborSuppression", yes_no),
    "hairpin": ("HairPin", yes_no),
    "port-mac-learning": ("Learning", yes_no),
}
OFFLOAD: Parameters = {key: (directive, yes_no) for key, directive in OFFLOADS.items()}
METRIC = "100"
MOST_SEGMENTS = 1023
"""The largest initial window of a route (systemd.network(5), InitialCongestionWindow=)."""
GENERAL: Parameters = {
    "accept-ra": ("IPv6AcceptRA", yes_no),
    "ipv6-privacy": ("IPv6PrivacyExtensions", yes_no),
    "ipv6-mtu": ("IPv6MTUBytes", yes_no),
    "emit-lldp": ("EmitLLDP", yes_no),
}
"""Keys of a device with one directive in [Network]."""
PERMANENT_MAC = 245
"""The first systemd with PermanentMACAddress=."""


def render(device: Device, systemd: int) -> tuple[SectionFile, ...]:
    """Return the files of one device that networkd reads."""
    path = _path(device)
    network = _network(device, path, systemd)
    _block_unsupported(device, network)
    return tuple(file for file in (netdev(device, path, systemd), network) if file)


def _block_unsupported(device: Device, file: SectionFile) -> None:
    """Block what networkd leaves to programs that netplan starts beside it."""
    hint = "set renderer: NetworkManager, or run wpa_supplicant as a service with phase: early"
    if device.kind == "wifis":
        file.block(device.place, "networkd does not connect to Wi-Fi networks", hint, "Renderer")
    if device.kind == "modems":
        file.block(device.place, "networkd does not support modems", "set renderer: NetworkManager", "Renderer")
    mode = device.branch.leaf("infiniband-mode")
    if mode and device.kind == "ethernets":
        # Its parser has the key, but does not let the section through (257: "Unknown section 'IPoIB'. Ignoring.").
        what = "networkd ignores the mode of an InfiniBand device"
        udev = "set renderer: NetworkManager, or write the mode by a rule of udev (ATTR{mode})"
        file.block(mode, what, udev, "Renderer")
    if auth := leaf_at(device.branch, "auth"):
        file.block(auth, "networkd does not log in to networks (802.1X)", hint, "Renderer")


def _path(device: Device) -> str:
    """Return the path of the files of a device, without the ending.

    An interface has the first file that matches it, so a pattern comes after the devices that name their interface.
    """
    return f"{NETWORKD}/{11 if device.has_pattern else 10}-ordain-{device.name}"


def _match(device: Device, file: SectionFile, *, renamed: bool) -> None:
    """Match the interface by its hardware and its name, which with ``renamed`` is the one that `set-name` gives it."""
    match = device.branch.branch("match")
    if drivers := match.leaf("driver"):
        file.set("Match", "Driver", yes_no(drivers.value), drivers)
    if mac := match.leaf("macaddress"):
        # Bonds, bridges and VLANs have the address of a port; the permanent address is that of the port only.
        if file.kind == "link" and file.systemd < PERMANENT_MAC:
            # udev matches before any program has set another address.
            file.set("Match", "MACAddress", str(mac.value), mac)
            what = f"systemd {file.systemd} has no PermanentMACAddress=; MACAddress= at boot replaces it"
            file.warn(mac, what, code="Emulated")
        else:
            file.set("Match", "PermanentMACAddress", str(mac.value), mac)
    name_key = "Name" if renamed else "OriginalName"
    name = (device.branch.leaf("set-name") if renamed else None) or match.leaf("name")
    if name:
        file.set("Match", name_key, str(name.value), name)
    elif not device.matched:
        file.set("Match", name_key, device.name, device.place)
    elif not drivers and not mac:
        file.set("Match", name_key, "*", match.here)


def link(device: Device, systemd: int) -> SectionFile | None:
    """Return the file for udev, which replaces systemd's 99-default.link; None if udev's defaults are enough."""
    branch = device.branch
    name, wake, mac = branch.leaf("set-name"), branch.leaf("wakeonlan"), branch.leaf("macaddress")
    policy = mac if mac and ":" not in str(mac.value) and device.renderer == "networkd" else None
    if device.renderer == "NetworkManager":
        wake = None  # it has a setting of its own
    functions = branch.leaf("virtual-function-count") if device.renderer == "networkd" else None
    if not (name or wake or policy or functions or any(key in branch for key in OFFLOADS)):
        return None
    file = SectionFile(path=f"{_path(device)}.link", device=device, program="udev", kind="link", systemd=systemd)
    if policy and (device.virtual or policy.value not in {"permanent", "random"}):
        hint = "write an address, or renderer: NetworkManager"
        file.block(policy, f"networkd does not know the MAC address policy {policy.value} for this device", hint)
    _match(device, file, renamed=False)
    as_default = "as in 99-default.link"
    if name:
        file.set("Link", "Name", str(name.value), name)
    else:
        file.set_default("Link", "NamePolicy", "keep kernel database onboard slot path", as_default)
    if policy:
        file.set("Link", "MACAddressPolicy", "persistent" if policy.value == "permanent" else "random", policy)
    else:
        file.set_default("Link", "MACAddressPolicy", "persistent", as_default)
    if wake:
        file.set("Link", "WakeOnLan", "magic" if wake.value is True else "off", wake)
    file.set_each("Link", branch, OFFLOAD)
    if functions:
        file.set("Link", "SR-IOVVirtualFunctions", yes_no(functions.value), functions)
    return file


def _network(device: Device, path: str, systemd: int) -> SectionFile:
    file = SectionFile(path=f"{path}.network", device=device, program=PROGRAM, kind="network", systemd=systemd)
    _match(device, file, renamed=True)
    _link_section(device.branch, file)
    file.begin("Network")
    _families(device, file)
    _static_addresses(device, file)
    _general(device, file)
    _dns(device.branch.branch("nameservers"), file)
    _links(device, file)
    _addresses_with_options(device, file)
    for route in device.routes:
        _route(route, file)
    for rule in device.rules:
        _rule(rule, file)
    _dhcp(device, file)
    return file


def _link_section(branch: Branch, file: SectionFile) -> None:
    file.set_each("Link", branch, {"mtu": ("MTUBytes", yes_no)})
    if (mac := branch.leaf("macaddress")) and ":" in str(mac.value):
        file.set("Link", "MACAddress", str(mac.value), mac)
    if (optional := branch.leaf("optional")) and optional.value is True:
        file.set("Link", "RequiredForOnline", "no", optional)
    if mode := branch.leaf("activation-mode"):
        file.set("Link", "ActivationPolicy", "manual" if mode.value == "manual" else "always-down", mode)


def _families(device: Device, file: SectionFile) -> None:
    """Add DHCP and link-local addressing."""
    branch = device.branch
    dhcp = {key: leaf for key in ("dhcp4", "dhcp6") if (leaf := branch.leaf(key)) and leaf.value is True}
    if dhcp:
        value = "yes" if len(dhcp) == 2 else "ipv4" if "dhcp4" in dhcp else "ipv6"
        file.set("Network", "DHCP", value, next(iter(dhcp.values())))
    families = device.link_local()
    value = "yes" if len(families) == 2 else next(iter(families), "no")
    if (link_local := branch.leaf("link-local")) and not device.master:
        file.set("Network", "LinkLocalAddressing", value, link_local)
    else:
        why = "a port has none" if device.master else "IPv6 has link-local addresses, IPv4 has none"
        file.set_default("Network", "LinkLocalAddressing", value, why)


def _static_addresses(device: Device, file: SectionFile) -> None:
    for address in device.addresses:
        if not (address.label or address.lifetime):
            file.set("Network", "Address", address.address, address.leaf)
    for key in ("gateway4", "gateway6"):
        file.set_each("Network", device.branch, {key: ("Gateway", yes_no)})


def _general(device: Device, file: SectionFile) -> None:
    branch = device.branch
    if token := branch.leaf("ipv6-address-token"):
        file.set("Network", "IPv6Token", f"static:{token.value}", token)
    elif (generation := branch.leaf("ipv6-address-generation")) and generation.value == "stable-privacy":
        file.set("Network", "IPv6Token", "prefixstable", generation)
    file.set_each("Network", branch, GENERAL)
    if (critical := branch.leaf("critical")) and critical.value is True:
        file.set("Network", "KeepConfiguration", "yes", critical)
    if (carrier := branch.leaf("ignore-carrier")) and (carrier.value is True or not device.virtual):
        file.set("Network", "ConfigureWithoutCarrier", yes_no(carrier.value), carrier)
    elif device.virtual:
        why = "a device without ports or peers has no carrier"
        file.set_default("Network", "ConfigureWithoutCarrier", "yes", why)


def _dns(nameservers: Branch, file: SectionFile) -> None:
    if servers := nameservers.leaf("addresses"):
        for server in texts(servers):
            file.set("Network", "DNS", server, servers)
    if (search := nameservers.leaf("search")) and texts(search):
        file.set("Network", "Domains", yes_no(search.value), search)


def _links(device: Device, file: SectionFile) -> None:
    """Add the bond, bridge or VRF that the device is in, and the devices stacked on top of it."""
    if device.master:
        file.set("Network", device.master_kind.capitalize(), device.master.name, device.master.leaf)
    for key in IGNORED_IN_PORT.get(device.master_kind, ()):
        if (leaf := leaf_at(device.branch, key)) and leaf.value not in (False, ()):
            what = f"networkd ignores {key} of a port of a {device.master_kind}"
            file.warn(leaf, what, f"set it for the {device.master_kind}, and remove it here")
    if primary := device.port.get("primary"):
        file.set("Network", "PrimarySlave", "yes", primary)
    for key, links in (
        ("VRF", (device.vrf,) if device.vrf else ()),
        ("VLAN", device.vlans),
        ("VXLAN", device.vxlans),
        ("IPoIB", device.partitions),
    ):
        for other in links:
            file.set("Network", key, other.name, other.leaf)
    for key, directive in (("path-cost", "Cost"), ("port-priority", "Priority")):
        if leaf := device.port.get(key):
            file.set("Bridge", directive, yes_no(leaf.value), leaf)
    if device.master_kind == "bridge":
        file.set_each("Bridge", device.branch, BRIDGE_PORT)


def _addresses_with_options(device: Device, file: SectionFile) -> None:
    """Add a section for each address with a label or lifetime."""
    for address in device.addresses:
        if not (address.label or address.lifetime):
            continue
        file.begin("Address")
        for directive, value in (
            ("Address", address.address),
            ("Label", address.label),
            ("PreferredLifetime", address.lifetime),
        ):
            if value:
                file.set("Address", directive, value, address.leaf)


def _route(route: Route, file: SectionFile) -> None:
    for key in ("congestion-window", "advertised-receive-window"):
        if route.options.get(key, 0) > MOST_SEGMENTS:
            file.block(route.leaf, f"networkd ignores a {key} above {MOST_SEGMENTS}", "write a smaller number")
    if route.type in UNKNOWN_ROUTES:
        file.block(route.leaf, f"networkd does not know routes of type {route.type}", "remove it")
        return
    file.begin("Route")
    lines = {
        "Destination": route.to,
        "Gateway": route.via,
        "PreferredSource": route.source,
        "Scope": "" if route.scope == "global" else route.scope,
        "Type": "" if route.type == "unicast" else route.type,
        "GatewayOnLink": "yes" if route.on_link else "",
        **{directive: str(route.options.get(key, "")) for key, directive in ROUTE.items()},
    }
    for directive, text in lines.items():
        if text:
            file.set("Route", directive, text, route.leaf)


def _rule(rule: RoutingRule, file: SectionFile) -> None:
    file.begin("RoutingPolicyRule")
    numbers = {directive: str(rule.options.get(key, "")) for key, directive in RULE.items()}
    for directive, text in {"From": rule.source, "To": rule.to, **numbers}.items():
        if text:
            file.set("RoutingPolicyRule", directive, text, rule.leaf)


def _dhcp(device: Device, file: SectionFile) -> None:
    branch = device.branch
    four, six = branch.branch("dhcp4-overrides"), branch.branch("dhcp6-overrides")
    same_metric = "as netplan and NetworkManager do"
    if device.flag("dhcp4"):
        file.set_each("DHCPv4", branch, {"dhcp-identifier": ("ClientIdentifier", yes_no)})
        file.set_each("DHCPv4", four, DHCP4)
        if "route-metric" not in four:
            file.set_default("DHCPv4", "RouteMetric", METRIC, same_metric)
        if "use-mtu" not in four and "mtu" not in branch:
            file.set_default("DHCPv4", "UseMTU", "yes", "as netplan does")
    if device.flag("dhcp6"):
        file.set_each("DHCPv6", six, DHCP6)
        file.set_each("IPv6AcceptRA", six, DHCP6_FROM_RA)
        if (routes := six.leaf("use-routes")) is not None:
            file.set("IPv6AcceptRA", "UseRoutePrefix", yes_no(routes.value), routes)
        if "route-metric" not in six:
            file.set_default("IPv6AcceptRA", "RouteMetric", METRIC, same_metric)
    file.set_each("IPv6AcceptRA", branch.branch("ra-overrides"), RA)
