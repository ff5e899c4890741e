"""The sections [ipv4] and [ipv6] of a keyfile of NetworkManager."""

from __future__ import annotations

import ipaddress

from ordain.transforms.model import Leaf
from ordain.transforms.render.network.bond_options import text
from ordain.transforms.render.network.devices import Device, Route, texts
from ordain.transforms.render.network.section_file import SectionFile

ROUTE_TYPES = frozenset({"unicast", "local", "blackhole", "unreachable", "prohibit", "throw"})
ROUTE = {
    "table": "table",
    "mtu": "mtu",
    "congestion-window": "initcwnd",
    "advertised-receive-window": "initrwnd",
}
SCOPES = {"link": "253", "host": "254"}
_AUTO = {"use-dns": "ignore-auto-dns", "use-routes": "ignore-auto-routes"}


def no(file: SectionFile, leaf: Leaf, what: str) -> None:
    """NetworkManager cannot express it."""
    file.block(leaf, f"NetworkManager has no word for {what}", "leave it out, or set another `renderer`", "Renderer")


def family(device: Device, file: SectionFile, version: int) -> None:
    """[ipv4] or [ipv6]."""
    branch, section = device.branch, f"ipv{version}"
    file.begin(section)
    method, cause = _method(device, version)
    if cause:
        file.set(section, "method", method, cause)
    else:
        file.default(section, "method", method, f"no document asks for IPv{version}")
    addresses = [address for address in device.addresses if address.version == version]
    for number, address in enumerate(addresses, 1):
        if address.label or address.lifetime == "0":
            no(file, address.leaf, "the label or lifetime of an address")
        file.set(section, f"address{number}", address.address, address.leaf)
    if "ipv4" in device.link_local() and version == 4 and method != "link-local":
        file.set(section, "link-local", "3", branch.leaf("link-local") or device.here)  # NM_..._LINK_LOCAL_ENABLED
    if gateway := branch.leaf(f"gateway{version}"):
        file.set(section, "gateway", str(gateway.value), gateway)
    _names(device, file, version)
    if method in {"auto", "dhcp"}:
        _overrides(device, file, version)
    if version == 6:
        _ipv6(device, file, method)
    for number, route in enumerate((r for r in device.routes if r.version == version), 1):
        _route(route, file, f"route{number}", section)
    for number, rule in enumerate((r for r in device.rules if r.version == version), 1):
        options = rule.options
        if "priority" not in options:
            no(file, rule.leaf, "a routing rule without priority")
            continue
        anywhere = "0.0.0.0/0" if version == 4 else "::/0"
        words = ["priority", str(options["priority"]), "from", rule.source or anywhere]
        words += ["to", rule.to] if rule.to else []
        words += ["tos", f"{options['type-of-service']:#04x}"] if "type-of-service" in options else []
        words += ["fwmark", hex(options["mark"])] if "mark" in options else []
        words += ["table", str(options.get("table", 254))]
        file.set(section, f"routing-rule{number}", " ".join(words), rule.leaf)


def _method(device: Device, version: int) -> tuple[str, Leaf | None]:
    """The method of a family, and what asks for it."""
    branch = device.branch
    dhcp, ra = branch.leaf(f"dhcp{version}"), branch.leaf("accept-ra") if version == 6 else None
    said = branch.leaf("link-local")
    static = next((address.leaf for address in device.addresses if address.version == version), None)
    if dhcp and dhcp.value is True:
        return ("dhcp", ra) if ra and ra.value is False else ("auto", dhcp)
    if ra and ra.value is True:
        return "auto", ra
    if static:
        return "manual", static
    if version == 4:
        return ("link-local", said) if "ipv4" in device.link_local() else ("disabled", None)
    if "ipv6" not in device.link_local():
        return "disabled", said
    # With "ignore" the kernel does what it does without any manager: link-local addresses, router advertisements.
    return ("link-local", ra) if ra else ("ignore", said)


def _names(device: Device, file: SectionFile, version: int) -> None:
    """DNS, which a family without addresses cannot have."""
    nameservers, section = device.branch.branch("nameservers"), f"ipv{version}"
    servers, search = nameservers.leaf("addresses"), nameservers.leaf("search")
    active = {v for v in (4, 6) if _method(device, v)[0] in {"auto", "dhcp", "manual"}}
    those = [server for server in texts(servers) if (":" in server) == (version == 6)]
    if servers and those:
        if version not in active:
            no(file, servers, f"DNS servers of IPv{version} on a device without it")
        file.set(section, "dns", "".join(f"{server};" for server in those), servers)
    if search and texts(search):
        if not active:
            no(file, search, "search domains on a device without addresses")
        elif version in active:
            file.set(section, "dns-search", "".join(f"{domain};" for domain in texts(search)), search)


def _overrides(device: Device, file: SectionFile, version: int) -> None:
    section = f"ipv{version}"
    overrides = device.branch.branch(f"dhcp{version}-overrides")
    if (identifier := device.branch.leaf("dhcp-identifier")) and version == 4:
        file.set(section, "dhcp-client-id", str(identifier.value), identifier)
    for key, leaf in overrides.leaves():
        match key, leaf.value:
            case (("use-dns" | "use-routes"), value):
                file.set(section, _AUTO[key], "false" if value else "true", leaf)
            case "send-hostname", value:
                file.set(section, "dhcp-send-hostname", "true" if value else "false", leaf)
            case "hostname", value:
                file.set(section, "dhcp-hostname", str(value), leaf)
            case "route-metric", value:
                file.set(section, "route-metric", text(value), leaf)
            case (("use-mtu" | "use-hostname"), True):
                pass  # what it does
            case "use-ntp", False:
                pass  # it hands NTP servers to nobody who is not asked to listen
            case _:
                no(file, leaf, f"{key}: {text(leaf.value)}")


def _ipv6(device: Device, file: SectionFile, method: str) -> None:
    branch = device.branch
    if token := branch.leaf("ipv6-address-token"):
        file.set("ipv6", "addr-gen-mode", "0", token)  # a token needs EUI-64
        file.set("ipv6", "token", str(token.value), token)
    elif made := branch.leaf("ipv6-address-generation"):
        file.set("ipv6", "addr-gen-mode", "0" if made.value == "eui64" else "1", made)
    elif device.kind == "tunnels" and method not in {"disabled", "ignore"}:
        file.default("ipv6", "addr-gen-mode", "1", "NetworkManager knows no EUI-64 of a sit or ipip tunnel")
    if privacy := branch.leaf("ipv6-privacy"):
        file.set("ipv6", "ip6-privacy", "2" if privacy.value else "0", privacy)
    if mtu := branch.leaf("ipv6-mtu"):
        file.set("ipv6", "mtu", text(mtu.value), mtu)


def _route(route: Route, file: SectionFile, name: str, section: str) -> None:
    if route.type not in ROUTE_TYPES:
        no(file, route.leaf, f"a route of type {route.type}")
    if "advmss" in route.options:
        no(file, route.leaf, "advmss of a route")
    to = route.to if "/" in route.to else str(ipaddress.ip_network(route.to))
    metric = str(route.options["metric"]) if "metric" in route.options else ""
    gateway = route.via or ("0.0.0.0" if route.version == 4 else "::") if route.via or metric else ""
    file.set(section, name, ",".join(part for part in (to, gateway, metric) if part), route.leaf)
    options = {
        "onlink": "true" if route.on_link else "",
        "src": route.source,
        "type": "" if route.type == "unicast" else route.type,
        # NetworkManager gives a route without gateway link scope, and a local one host scope, by itself.
        "scope": SCOPES.get(route.scope, "") if route.via or (route.scope, route.type) == ("host", "unicast") else "",
        **{word: str(route.options.get(key, "")) for key, word in ROUTE.items()},
    }
    if said := ",".join(f"{word}={value}" for word, value in options.items() if value):
        file.set(section, f"{name}_options", said, route.leaf)
