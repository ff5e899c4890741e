"""systemd-networkd: a .network file for each device, a .netdev for a virtual one, a .link where udev has to act.

What netplan leaves to networkd's defaults is left to them; its own defaults (DHCP routes of metric 100, the MTU of
DHCP) are lines of their own. Each directive is held against the systemd of the target.
"""

from __future__ import annotations

from collections.abc import Iterator

from ordain.transforms.document.network_keys import OFFLOADS
from ordain.transforms.model import Branch, Leaf
from ordain.transforms.render.network.devices import Device, Route, texts
from ordain.transforms.render.network.netdev import Parameters, netdev, plain, table
from ordain.transforms.render.network.section_file import SectionFile
from ordain.transforms.render.paths import NETWORKD

ROUTE = {
    "metric": "Metric",
    "table": "Table",
    "mtu": "MTUBytes",
    "congestion-window": "InitialCongestionWindow",
    "advertised-receive-window": "InitialAdvertisedReceiveWindow",
    "advmss": "TCPAdvertisedMaximumSegmentSize",
}
RULE = {"table": "Table", "priority": "Priority", "mark": "FirewallMark", "type-of-service": "TypeOfService"}
UNKNOWN_ROUTES = frozenset({"nat", "xresolve"})
"""Types that networkd does not know; the kernel neither, since long."""

DHCP4: Parameters = {
    "use-dns": ("UseDNS", plain),
    "use-domains": ("UseDomains", plain),
    "use-ntp": ("UseNTP", plain),
    "use-routes": ("UseRoutes", plain),
    "use-hostname": ("UseHostname", plain),
    "send-hostname": ("SendHostname", plain),
    "hostname": ("Hostname", plain),
    "use-mtu": ("UseMTU", plain),
    "route-metric": ("RouteMetric", plain),
}
DHCP6: Parameters = {key: DHCP4[key] for key in ("use-dns", "use-domains", "use-ntp", "use-hostname")} | {
    key: DHCP4[key] for key in ("send-hostname", "hostname")
}
RA: Parameters = {
    "use-dns": ("UseDNS", plain),
    "use-domains": ("UseDomains", plain),
    "table": ("RouteTable", plain),
}
BY_RA: Parameters = {
    "use-mtu": ("UseMTU", plain),
    "use-routes": ("UseGateway", plain),
    "route-metric": ("RouteMetric", plain),
}
"""Overrides of DHCPv6 that are about what router advertisements say: DHCPv6 offers no MTU and no routes."""

PORT: Parameters = {
    "neigh-suppress": ("NeighborSuppression", plain),
    "hairpin": ("HairPin", plain),
    "port-mac-learning": ("Learning", plain),
}
LINK: Parameters = {key: (directive, plain) for key, directive in OFFLOADS.items()}
METRIC = "100"


def render(device: Device, systemd: int) -> tuple[SectionFile, ...]:
    """The files of one device."""
    path = f"{NETWORKD}/10-ordain-{device.name}"
    files = (netdev(device, path, systemd), _network(device, path, systemd))
    return tuple(file for file in files if file)


def _match(device: Device, file: SectionFile, *, renamed: bool) -> None:
    """The interface: by the name it has, or with ``renamed`` will have, and by its hardware."""
    match = device.branch.branch("match")
    if drivers := match.leaf("driver"):
        file.set("Match", "Driver", plain(drivers.value), drivers)
    if mac := match.leaf("macaddress"):
        # Bonds, bridges and VLANs share the address of a port; the permanent one is the port's alone.
        if file.kind == "link" and file.systemd < PERMANENT:
            # udev reads it before anything has set another one.
            file.set("Match", "MACAddress", str(mac.value), mac)
            what = f"systemd {file.systemd} has no PermanentMACAddress=; the address at boot stands in for it"
            file.warn(mac, what, code="Emulated")
        else:
            file.set("Match", "PermanentMACAddress", str(mac.value), mac)
    leaf = device.branch.leaf("set-name") if renamed else None
    leaf = leaf or match.leaf("name")
    if leaf:
        file.set("Match", "Name" if renamed else "OriginalName", str(leaf.value), leaf)
    elif not match:
        file.set("Match", "Name" if renamed else "OriginalName", device.name, device.here)
    elif not drivers and not mac:
        file.block(device.here, "match says nothing", "name, macaddress or driver")


PERMANENT = 245
"""The first systemd with PermanentMACAddress=."""


def link(device: Device, systemd: int) -> SectionFile | None:
    """What udev does before any renderer sees the device; the file takes the place of systemd's 99-default.link."""
    branch = device.branch
    name, wake, mac = branch.leaf("set-name"), branch.leaf("wakeonlan"), branch.leaf("macaddress")
    policy = mac if mac and ":" not in str(mac.value) and device.renderer == "networkd" else None
    if device.renderer == "NetworkManager":
        wake = None  # it has a word of its own for it
    if not (name or wake or policy or any(key in branch for key in OFFLOADS)):
        return None
    path = f"{NETWORKD}/10-ordain-{device.name}.link"
    file = SectionFile(path=path, device=device, kind="link", systemd=systemd)
    if policy and (device.virtual or policy.value not in {"permanent", "random"}):
        hint = "write an address, or renderer: NetworkManager"
        file.block(policy, f"networkd knows no MAC address policy {policy.value} here", hint)
    _match(device, file, renamed=False)
    if name:
        file.set("Link", "Name", str(name.value), name)
    else:
        file.default("Link", "NamePolicy", "keep kernel database onboard slot path", "as 99-default.link has it")
    if policy:
        file.set("Link", "MACAddressPolicy", "persistent" if policy.value == "permanent" else "random", policy)
    else:
        file.default("Link", "MACAddressPolicy", "persistent", "as 99-default.link has it")
    if wake:
        file.set("Link", "WakeOnLan", "magic" if wake.value is True else "off", wake)
    table(file, "Link", branch, LINK)
    return file


def _network(device: Device, path: str, systemd: int) -> SectionFile:
    branch = device.branch
    file = SectionFile(path=f"{path}.network", device=device, kind="network", systemd=systemd)
    _match(device, file, renamed=True)
    table(file, "Link", branch, {"mtu": ("MTUBytes", plain)})
    if (mac := branch.leaf("macaddress")) and ":" in str(mac.value):
        file.set("Link", "MACAddress", str(mac.value), mac)
    if (optional := branch.leaf("optional")) and optional.value is True:
        file.set("Link", "RequiredForOnline", "no", optional)
    if mode := branch.leaf("activation-mode"):
        file.set("Link", "ActivationPolicy", "manual" if mode.value == "manual" else "always-down", mode)
    file.begin("Network")
    _addressing(device, file)
    _names(branch.branch("nameservers"), file)
    _ties(device, file)
    for address in device.addresses:
        if address.label or address.lifetime:
            file.begin("Address")
            file.set("Address", "Address", address.address, address.leaf)
            if address.label:
                file.set("Address", "Label", address.label, address.leaf)
            if address.lifetime:
                file.set("Address", "PreferredLifetime", address.lifetime, address.leaf)
    for route in device.routes:
        _route(route, file)
    for rule in device.rules:
        file.begin("RoutingPolicyRule")
        for key, text in (("From", rule.source), ("To", rule.to)):
            if text:
                file.set("RoutingPolicyRule", key, text, rule.leaf)
        for option, directive in RULE.items():
            if option in rule.options:
                file.set("RoutingPolicyRule", directive, str(rule.options[option]), rule.leaf)
    _dhcp(device, file)
    return file


def _addressing(device: Device, file: SectionFile) -> None:
    branch = device.branch
    dhcp = {key: leaf for key in ("dhcp4", "dhcp6") if (leaf := branch.leaf(key)) and leaf.value is True}
    if dhcp:
        value = "yes" if len(dhcp) == 2 else "ipv4" if "dhcp4" in dhcp else "ipv6"
        file.set("Network", "DHCP", value, next(iter(dhcp.values())))
    families = device.link_local()
    value = "yes" if len(families) == 2 else next(iter(families), "no")
    if (said := branch.leaf("link-local")) and not device.master:
        file.set("Network", "LinkLocalAddressing", value, said)
    else:
        why = "a port has none" if device.master else "IPv6 has link-local addresses, IPv4 has none"
        file.default("Network", "LinkLocalAddressing", value, why)
    for address in device.addresses:
        if not (address.label or address.lifetime):
            file.set("Network", "Address", address.address, address.leaf)
    for key in ("gateway4", "gateway6"):
        table(file, "Network", branch, {key: ("Gateway", plain)})
    if token := branch.leaf("ipv6-address-token"):
        file.set("Network", "IPv6Token", f"static:{token.value}", token)
    elif (made := branch.leaf("ipv6-address-generation")) and made.value == "stable-privacy":
        file.set("Network", "IPv6Token", "prefixstable", made)
    table(
        file,
        "Network",
        branch,
        {
            "accept-ra": ("IPv6AcceptRA", plain),
            "ipv6-privacy": ("IPv6PrivacyExtensions", plain),
            "ipv6-mtu": ("IPv6MTUBytes", plain),
            "emit-lldp": ("EmitLLDP", plain),
        },
    )
    if (critical := branch.leaf("critical")) and critical.value is True:
        file.set("Network", "KeepConfiguration", "yes", critical)
    if (carrier := branch.leaf("ignore-carrier")) and (carrier.value is True or not device.virtual):
        file.set("Network", "ConfigureWithoutCarrier", plain(carrier.value), carrier)
    elif device.virtual:
        file.default("Network", "ConfigureWithoutCarrier", "yes", "a device without ports or peers has no carrier")


def _names(nameservers: Branch, file: SectionFile) -> None:
    if servers := nameservers.leaf("addresses"):
        for server in texts(servers):
            file.set("Network", "DNS", server, servers)
    if (search := nameservers.leaf("search")) and texts(search):
        file.set("Network", "Domains", plain(search.value), search)


def _ties(device: Device, file: SectionFile) -> None:
    """The devices it is a port of, and those that stand on it."""
    if device.master:
        file.set("Network", device.master_kind.capitalize(), device.master.name, device.master.leaf)
    if primary := device.port.get("primary"):
        file.set("Network", "PrimarySlave", "yes", primary)
    for key, ties in (("VRF", (device.vrf,) if device.vrf else ()), ("VLAN", device.vlans), ("VXLAN", device.vxlans)):
        for tie in ties:
            file.set("Network", key, tie.name, tie.leaf)
    for key, directive in (("path-cost", "Cost"), ("port-priority", "Priority")):
        if leaf := device.port.get(key):
            file.set("Bridge", directive, plain(leaf.value), leaf)
    if device.master_kind == "bridge":
        table(file, "Bridge", device.branch, PORT)
    else:
        for leaf in _said(device.branch, PORT):
            file.block(leaf, f"{leaf.where.pointer.rpartition('/')[2]} is for a port of a bridge")


def _said(branch: Branch, parameters: Parameters) -> Iterator[Leaf]:
    return (leaf for key in parameters if (leaf := branch.leaf(key)))


def _route(route: Route, file: SectionFile) -> None:
    if route.type in UNKNOWN_ROUTES:
        file.block(route.leaf, f"networkd knows no routes of type {route.type}")
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


def _dhcp(device: Device, file: SectionFile) -> None:
    branch = device.branch
    four, six = branch.branch("dhcp4-overrides"), branch.branch("dhcp6-overrides")
    if device.flag("dhcp4"):
        table(file, "DHCPv4", branch, {"dhcp-identifier": ("ClientIdentifier", plain)})
        table(file, "DHCPv4", four, DHCP4)
        if "route-metric" not in four:
            file.default("DHCPv4", "RouteMetric", METRIC, "as netplan and NetworkManager have it")
        if "use-mtu" not in four and "mtu" not in branch:
            file.default("DHCPv4", "UseMTU", "yes", "as netplan has it")
    if device.flag("dhcp6"):
        table(file, "DHCPv6", six, DHCP6)
        table(file, "IPv6AcceptRA", six, BY_RA)
        if (routes := six.leaf("use-routes")) is not None:
            file.set("IPv6AcceptRA", "UseRoutePrefix", plain(routes.value), routes)
        if "route-metric" not in six:
            file.default("IPv6AcceptRA", "RouteMetric", METRIC, "as netplan and NetworkManager have it")
    table(file, "IPv6AcceptRA", branch.branch("ra-overrides"), RA)
