"""The sections [ipv4] and [ipv6] of a keyfile of NetworkManager."""

from __future__ import annotations

import ipaddress

from ordain.transforms.model import Leaf, Value
from ordain.transforms.render.network.devices import Device, Route, RoutingRule, texts
from ordain.transforms.render.network.section_file import SectionFile
from ordain.transforms.render.network.value_text import Parameters, false_true, one_zero, true_false

ROUTE_TYPES = frozenset({"unicast", "local", "blackhole", "unreachable", "prohibit", "throw"})
ROUTE = {
    "table": "table",
    "mtu": "mtu",
    "congestion-window": "initcwnd",
    "advertised-receive-window": "initrwnd",
}
SCOPES = {"link": "253", "host": "254"}
MAIN_TABLE = 254
WITHOUT_ROUTES = frozenset({"disabled", "ignore"})
"""The methods of a family that the device does not have, or that NetworkManager leaves to the kernel."""
LINK_LOCAL_ENABLED = "3"  # NM_SETTING_IP4_LINK_LOCAL_ENABLED
DHCP_OVERRIDES: Parameters = {
    "use-dns": ("ignore-auto-dns", false_true),
    "use-routes": ("ignore-auto-routes", false_true),
    "send-hostname": ("dhcp-send-hostname", true_false),
    "hostname": ("dhcp-hostname", one_zero),
    "route-metric": ("route-metric", one_zero),
}
SAME_AS_DEFAULT: tuple[tuple[str, Value], ...] = (
    ("use-mtu", True),
    ("use-hostname", True),
    ("use-ntp", False),  # NetworkManager passes NTP servers only to scripts that ask for them
)
"""Overrides that ask for the default of NetworkManager, so that they need no line."""


def add_family(device: Device, file: SectionFile, version: int, *, shared: bool = False) -> None:
    """Add the section of IP ``version`` 4 or 6; if it is ``shared``, others get addresses from this machine."""
    section = f"ipv{version}"
    file.begin(section)
    method, leaf = ("shared", device.place) if shared else _method(device, version)
    if method in WITHOUT_ROUTES:
        _block_routes(device, file, version)
    if leaf:
        file.set(section, "method", method, leaf)
    else:
        file.set_default(section, "method", method, f"no document asks for IPv{version}")
    _static(device, file, version, method)
    _dns(device, file, version)
    if method in {"auto", "dhcp"}:
        _dhcp(device, file, version)
    if version == 6:
        _ipv6(device, file, method)
    for number, route in enumerate((r for r in device.routes if r.version == version), 1):
        _route(route, file, f"route{number}", section)
    for number, rule in enumerate((r for r in device.rules if r.version == version), 1):
        _rule(rule, file, f"routing-rule{number}", section)


def _method(device: Device, version: int) -> tuple[str, Leaf | None]:
    """Return the method of a family, and the leaf that asks for it."""
    branch = device.branch
    dhcp, ra = branch.leaf(f"dhcp{version}"), branch.leaf("accept-ra") if version == 6 else None
    link_local = branch.leaf("link-local")
    static = next((address.leaf for address in device.addresses if address.version == version), None)
    if dhcp and dhcp.value is True:
        return ("dhcp", ra) if ra and ra.value is False else ("auto", dhcp)
    if ra and ra.value is True:
        return "auto", ra
    if static:
        return "manual", static
    if version == 4:
        return ("link-local", link_local) if "ipv4" in device.link_local() else ("disabled", None)
    if "ipv6" not in device.link_local():
        return "disabled", link_local
    # "ignore" leaves IPv6 to the kernel: it adds link-local addresses, and accepts router advertisements.
    return ("link-local", ra) if ra else ("ignore", link_local)


def _static(device: Device, file: SectionFile, version: int, method: str) -> None:
    """Add the addresses and the gateway."""
    branch, section = device.branch, f"ipv{version}"
    addresses = [address for address in device.addresses if address.version == version]
    for number, address in enumerate(addresses, 1):
        if address.label or address.lifetime == "0":
            file.unsupported(address.leaf, "the label or lifetime of an address")
        file.set(section, f"address{number}", address.address, address.leaf)
    if "ipv4" in device.link_local() and version == 4 and method != "link-local":
        file.set(section, "link-local", LINK_LOCAL_ENABLED, branch.leaf("link-local") or device.place)
    if gateway := branch.leaf(f"gateway{version}"):
        if addresses:
            file.set(section, "gateway", str(gateway.value), gateway)
        else:  # NetworkManager refuses the key without a static address, but not the route
            routes = sum(route.version == version for route in device.routes)
            default = "0.0.0.0/0" if version == 4 else "::/0"
            file.set(section, f"route{routes + 1}", f"{default},{gateway.value}", gateway)


def _block_routes(device: Device, file: SectionFile, version: int) -> None:
    """Block the routes of a family that the device lacks: NetworkManager would not set them."""
    gateway = device.branch.leaf(f"gateway{version}")
    leaves = [route.leaf for route in device.routes if route.version == version]
    for leaf in (*leaves, *([gateway] if gateway else [])):
        what = f"NetworkManager sets no route of IPv{version} on a device without IPv{version}"
        file.block(leaf, what, f"add an address of IPv{version}, or set dhcp{version}", "Renderer")


def _dns(device: Device, file: SectionFile, version: int) -> None:
    """Add DNS servers and search domains, which only a family with addresses can have."""
    nameservers, section = device.branch.branch("nameservers"), f"ipv{version}"
    servers, search = nameservers.leaf("addresses"), nameservers.leaf("search")
    active = {v for v in (4, 6) if _method(device, v)[0] in {"auto", "dhcp", "manual"}}
    of_family = [server for server in texts(servers) if (":" in server) == (version == 6)]
    if servers and of_family:
        if version not in active:
            file.unsupported(servers, f"DNS servers with IPv{version} addresses on a device without IPv{version}")
        file.set(section, "dns", "".join(f"{server};" for server in of_family), servers)
    if search and texts(search):
        if not active:
            file.unsupported(search, "search domains on a device without addresses")
        elif version in active:
            file.set(section, "dns-search", "".join(f"{domain};" for domain in texts(search)), search)


def _dhcp(device: Device, file: SectionFile, version: int) -> None:
    section = f"ipv{version}"
    if version == 4:
        file.set_each(section, device.branch, {"dhcp-identifier": ("dhcp-client-id", one_zero)})
    for key, leaf in device.branch.branch(f"dhcp{version}-overrides").leaves():
        if key in DHCP_OVERRIDES:
            name, to_text = DHCP_OVERRIDES[key]
            file.set(section, name, to_text(leaf.value), leaf)
        elif (key, leaf.value) not in SAME_AS_DEFAULT:
            file.unsupported(leaf, f"{key}: {one_zero(leaf.value)}")


def _ipv6(device: Device, file: SectionFile, method: str) -> None:
    branch = device.branch
    if token := branch.leaf("ipv6-address-token"):
        if int(ipaddress.IPv6Address(str(token.value))) >> 64:
            what = "NetworkManager accepts only a token whose first 64 bits are zero"
            file.block(token, what, "write only the host part, such as ::2", "Renderer")
        file.set("ipv6", "addr-gen-mode", "0", token)  # a token needs EUI-64
        file.set("ipv6", "token", str(token.value), token)
    elif generation := branch.leaf("ipv6-address-generation"):
        file.set("ipv6", "addr-gen-mode", "0" if generation.value == "eui64" else "1", generation)
    elif device.kind == "tunnels" and method not in {"disabled", "ignore"}:
        why = "NetworkManager does not support EUI-64 on a sit or ipip tunnel"
        file.set_default("ipv6", "addr-gen-mode", "1", why)
    if privacy := branch.leaf("ipv6-privacy"):
        file.set("ipv6", "ip6-privacy", "2" if privacy.value else "0", privacy)
    elif method not in WITHOUT_ROUTES:
        why = "no temporary addresses, whatever the kernel parameter use_tempaddr says"
        file.set_default("ipv6", "ip6-privacy", "0", why)
    file.set_each("ipv6", branch, {"ipv6-mtu": ("mtu", one_zero)})


def _route(route: Route, file: SectionFile, name: str, section: str) -> None:
    if route.type not in ROUTE_TYPES:
        file.unsupported(route.leaf, f"a route of type {route.type}")
    if "advertised-mss" in route.options:
        file.unsupported(route.leaf, "advertised-mss of a route")
    to = route.to if "/" in route.to else str(ipaddress.ip_network(route.to))
    metric = str(route.options["metric"]) if "metric" in route.options else ""
    gateway = route.via or ("0.0.0.0" if route.version == 4 else "::") if route.via or metric else ""
    file.set(section, name, ",".join(part for part in (to, gateway, metric) if part), route.leaf)
    options = {
        "onlink": "true" if route.on_link else "",
        "src": route.source,
        "type": "" if route.type == "unicast" else route.type,
        # By itself, NetworkManager gives a route without gateway the scope link, and a local route the scope host.
        "scope": SCOPES.get(route.scope, "") if route.via or (route.scope, route.type) == ("host", "unicast") else "",
        **{word: str(route.options.get(key, "")) for key, word in ROUTE.items()},
    }
    if text := ",".join(f"{word}={value}" for word, value in options.items() if value):
        file.set(section, f"{name}_options", text, route.leaf)


def _rule(rule: RoutingRule, file: SectionFile, name: str, section: str) -> None:
    options = rule.options
    if "priority" not in options:
        file.unsupported(rule.leaf, "a routing rule without priority")
        return
    anywhere = "0.0.0.0/0" if rule.version == 4 else "::/0"
    words = ["priority", str(options["priority"]), "from", rule.source or anywhere]
    words += ["to", rule.to] if rule.to else []
    words += ["tos", f"{options['type-of-service']:#04x}"] if "type-of-service" in options else []
    words += ["fwmark", hex(options["mark"])] if "mark" in options else []
    words += ["table", str(options.get("table", MAIN_TABLE))]
    file.set(section, name, " ".join(words), rule.leaf)
