"""The keys of the section ``network``: netplan's vocabulary, version 2 (netplan's YAML reference, 1.1).

Left out is what a server's renderers have no word for: wifis, modems, Open vSwitch, SR-IOV, ``auth``. The names are
netplan's; where it knows two names for one thing (ageing-time, aging-time), both are here.
"""

from __future__ import annotations

from ordain.transforms.document.network_shapes import Addresses, FlagOr, Rows
from ordain.transforms.document.shapes import Choice, Flag, Integer, Map, Record, Sequence, Shape, String

RENDERERS = ("networkd", "NetworkManager", "ifupdown")
RENDERER = Choice(RENDERERS, "What brings it up; the transforms say what an OS has unless it is set.")


def text(about: str, title: str, format: str, example: str = "") -> String:
    """A string of one of the formats of `network_formats`."""
    return String(about, title, format, example)


def interface(about: str) -> String:
    """The id of another device, or the name of an interface."""
    return text(about, "the name of a device", "network-id")


def ip(about: str, version: int = 0) -> String:
    """An IP address."""
    title = f"an IPv{version} address" if version else "an IP address"
    return text(about, title, f"ipv{version}" if version else "ip")


def interval(about: str) -> String:
    """A time; a number alone counts in the unit the key says."""
    return text(about, 'a time such as "30s"', "bridge-interval")


def names(about: str) -> Sequence:
    """Other devices."""
    return Sequence(interface(""), about)


DHCP4 = Record(
    {
        "use-dns": Flag("Take the DNS servers it offers; true unless set."),
        "use-ntp": Flag("Take the NTP servers it offers; true unless set."),
        "use-mtu": Flag("Take the MTU it offers; true unless set."),
        "use-hostname": Flag("Take the host name it offers; true unless set."),
        "use-routes": Flag("Take the routes it offers; true unless set."),
        "use-domains": FlagOr(("route",), "Take the search domains it offers; route: for routing queries only."),
        "send-hostname": Flag("Tell it the host name; true unless set."),
        "hostname": text("The host name to tell it.", "a host name", "domain"),
        "route-metric": Integer("The metric of the routes it offers; 100 unless set."),
    },
    "What is taken of what DHCP offers.",
    "the overrides of DHCP",
)

RA = Record(
    {
        "use-dns": Flag("Take the DNS servers they offer; true unless set."),
        "use-domains": FlagOr(("route",), "Take the search domains they offer."),
        "table": Integer("The table for their routes."),
    },
    "What is taken of what router advertisements offer.",
    "the overrides of router advertisements",
)

ADDRESS = Record(
    {
        "label": text("The label of an IPv4 address.", "a label such as eth0:1", "interface-label"),
        "lifetime": Choice(("forever", "0"), "0: never chosen as a source of its own."),
    },
    title="the options of an address",
)

ROUTE = Record(
    {
        "to": text("Where it leads.", "a network, an address, or default", "route-destination"),
        "via": ip("The gateway."),
        "from": ip("The source address it prefers."),
        "on-link": Flag("The gateway is reachable here, whatever the addresses say."),
        "metric": Integer("Lower is preferred."),
        "type": Choice(
            (
                *("unicast", "anycast", "blackhole", "broadcast", "local", "multicast"),
                *("nat", "prohibit", "throw", "unreachable", "xresolve"),
            ),
            "What becomes of packets; unicast unless set.",
        ),
        "scope": Choice(("global", "link", "host"), "How far it reaches (IPv4)."),
        "table": Integer("The table it is in; of a VRF, its own unless set.", 1),
        "mtu": Integer("MTU along it.", 68),
        "congestion-window": Integer("Initial congestion window.", 1),
        "advertised-receive-window": Integer("Initial receive window.", 1),
        "advmss": Integer("The maximum segment size to advertise.", 1),
    },
    title="routes",
)

RULE = Record(
    {
        "from": text("Packets from here.", "a network", "network"),
        "to": text("Packets that go there.", "a network", "network"),
        "table": Integer("The table to look in; of a VRF, its own unless set.", 1),
        "priority": Integer("Lower is first."),
        "mark": Integer("Packets with this firewall mark."),
        "type-of-service": Integer("Packets of this type of service.", 0, 255),
    },
    title="routing rules",
)

NAMESERVERS = Record(
    {
        "addresses": Sequence(ip(""), "DNS servers."),
        "search": Sequence(text("", "a domain", "search-domain"), "Search domains."),
    },
    "Where names are looked up.",
)

COMMON: dict[str, Shape] = {
    "renderer": RENDERER,
    "addresses": Addresses(ADDRESS, "Static addresses."),
    "dhcp4": Flag("Ask for an IPv4 address."),
    "dhcp6": Flag("Ask for an IPv6 address."),
    "dhcp4-overrides": DHCP4,
    "dhcp6-overrides": DHCP4,
    "dhcp-identifier": Choice(("mac", "duid"), "How it introduces itself to a DHCP server."),
    "accept-ra": Flag("Whether router advertisements are heard; the kernel decides unless set."),
    "ra-overrides": RA,
    "link-local": Sequence(
        String(title="ipv4 or ipv6", format="ip-family"), "Link-local addresses; [ipv6] unless set."
    ),
    "ipv6-address-generation": Choice(("eui64", "stable-privacy"), "How IPv6 addresses are made."),
    "ipv6-address-token": ip("The host part of IPv6 addresses.", 6),
    "ipv6-mtu": Integer("MTU of IPv6.", 1280),
    "ipv6-privacy": Flag("Temporary IPv6 addresses."),
    "gateway4": ip("Deprecated: write a route to default.", 4),
    "gateway6": ip("Deprecated: write a route to default.", 6),
    "nameservers": NAMESERVERS,
    "routes": Rows(ROUTE, "Static routes.", needs=("to",)),
    "routing-policy": Rows(RULE, "Which routing table packets are looked up in."),
    "macaddress": text("The MAC address to take.", "a MAC address or a policy", "mac-or-policy"),
    "mtu": Integer("MTU.", 68, 2**32 - 1),
    "optional": Flag("The boot does not wait for it."),
    "critical": Flag("Its configuration stays when the renderer stops."),
    "ignore-carrier": Flag("It is configured without a carrier too."),
    "activation-mode": Choice(("manual", "off"), "manual: an admin brings it up; off: it is kept down."),
    "emit-lldp": Flag("Send LLDP packets."),
    "neigh-suppress": Flag("As a bridge port: suppress ARP and neighbour discovery."),
    "hairpin": Flag("As a bridge port: packets may go back where they came from."),
    "port-mac-learning": Flag("As a bridge port: learn MAC addresses."),
}

OFFLOADS = {
    "receive-checksum-offload": "ReceiveChecksumOffload",
    "transmit-checksum-offload": "TransmitChecksumOffload",
    "tcp-segmentation-offload": "TCPSegmentationOffload",
    "tcp6-segmentation-offload": "TCP6SegmentationOffload",
    "generic-segmentation-offload": "GenericSegmentationOffload",
    "generic-receive-offload": "GenericReceiveOffload",
    "large-receive-offload": "LargeReceiveOffload",
}

ETHERNET: dict[str, Shape] = {
    **COMMON,
    "match": Record(
        {
            "name": text("The name the kernel gave it.", "a name, globs allowed", "interface-glob"),
            "macaddress": text("Its permanent MAC address.", "a MAC address", "mac"),
            "driver": Sequence(text("", "a driver, globs allowed", "driver"), "Its driver."),
        },
        "Which interface it is, where its id is not the name.",
    ),
    "set-name": text("The name to give it.", "an interface name", "interface"),
    "wakeonlan": Flag("Wake the machine by a magic packet."),
    **{key: Flag(f"{directive}= of systemd.link(5).") for key, directive in OFFLOADS.items()},
}

BOND = Record(
    {
        "mode": Choice(
            ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"),
            "How the ports are used; balance-rr unless set.",
        ),
        "lacp-rate": Choice(("slow", "fast"), "How often LACP packets are sent."),
        "mii-monitor-interval": interval("How often the link is checked; a number counts milliseconds."),
        "min-links": Integer("How many links it needs to be up."),
        "transmit-hash-policy": Choice(
            ("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"), "How ports are chosen."
        ),
        "ad-select": Choice(("stable", "bandwidth", "count"), "How the aggregator is chosen."),
        "all-members-active": Flag("Packets on inactive ports are delivered."),
        "all-slaves-active": Flag("The same by its old name."),
        "arp-interval": interval("How often ARP checks the link; a number counts milliseconds."),
        "arp-ip-targets": Sequence(ip("", 4), "Whom ARP asks."),
        "arp-validate": Choice(("none", "active", "backup", "all"), "Which ports' answers are checked."),
        "arp-all-targets": Choice(("any", "all"), "Which targets must answer."),
        "up-delay": interval("Wait before a link is used; a number counts milliseconds."),
        "down-delay": interval("Wait before a link is given up; a number counts milliseconds."),
        "fail-over-mac-policy": Choice(("none", "active", "follow"), "Whose MAC address it has."),
        "gratuitous-arp": Integer("ARP packets after a fail-over.", 1, 255),
        "packets-per-member": Integer("Packets before the next port (balance-rr).", 0, 65535),
        "packets-per-slave": Integer("The same by its old name.", 0, 65535),
        "primary-reselect-policy": Choice(("always", "better", "failure"), "When the primary port takes over again."),
        "resend-igmp": Integer("IGMP reports after a fail-over.", 0, 255),
        "learn-packet-interval": interval("Wait between learning packets; a number counts seconds."),
        "primary": interface("The port to prefer."),
    },
    "Parameters of the bond.",
)

BRIDGE = Record(
    {
        "ageing-time": interval("How long a MAC address is kept; a number counts seconds."),
        "aging-time": interval("The same, spelt otherwise."),
        "forward-delay": interval("Time in listening and learning; a number counts seconds."),
        "hello-time": interval("Time between hellos; a number counts seconds."),
        "max-age": interval("How long a hello counts; a number counts seconds."),
        "priority": Integer("Priority of the bridge; lower becomes the root.", 0, 65535),
        "stp": Flag("Spanning tree; true where any parameter is set."),
        "path-cost": Map(Integer("Cost.", 1, 65535), "Cost of a path through a port.", "a port", "network-id"),
        "port-priority": Map(Integer("Priority.", 0, 63), "Priority of a port.", "a port", "network-id"),
    },
    "Parameters of the bridge.",
)

PEER = Record(
    {
        "endpoint": text("Where the peer is.", 'such as "192.0.2.1:51820"', "host-and-port"),
        "allowed-ips": Sequence(text("", "a network", "network"), "What the peer may send, and what is sent to it."),
        "keepalive": Integer("Seconds between packets that keep the way open.", 1, 65535),
        "keys": Record(
            {
                "public": text("Its public key.", "a WireGuard key", "wireguard-key"),
                "shared": text("A key both know.", "a WireGuard key, or the path of one", "wireguard-secret"),
            },
            "Keys of the peer.",
        ),
    },
    title="WireGuard peers",
)

TUNNEL: dict[str, Shape] = {
    **COMMON,
    "mode": Choice(
        (
            *("gre", "gretap", "ip6gre", "ip6gretap", "ip6ip6", "ipip", "ipip6", "sit", "vti", "vti6"),
            *("wireguard", "vxlan"),
        ),
        "What kind of tunnel it is.",
    ),
    "local": ip("The address of this end."),
    "remote": ip("The address of the other end; of a VXLAN, a multicast group or one."),
    "ttl": Integer("Time to live of its packets.", 0, 255),
    "key": text("Its key both ways; of WireGuard, the private one.", "a key", "tunnel-key"),
    "keys": Record(
        {
            "input": text("What is received.", "a number or an IPv4 address", "tunnel-key"),
            "output": text("What is sent.", "a number or an IPv4 address", "tunnel-key"),
            "private": text("WireGuard.", "a WireGuard key, or the path of one", "wireguard-secret"),
        },
        "Its keys, where they differ.",
    ),
    "mark": Integer("Firewall mark of its packets (WireGuard)."),
    "port": Integer("UDP port: where WireGuard listens, where VXLAN sends.", 1, 65535),
    "peers": Rows(PEER, "WireGuard peers.", needs=("keys",)),
    "id": Integer("Its VXLAN id.", 1, 2**24 - 1),
    "link": interface("The device below it (VXLAN)."),
    "mac-learning": Flag("VXLAN: learn MAC addresses."),
    "ageing": Integer("VXLAN: seconds a MAC address is kept."),
    "aging": Integer("The same, spelt otherwise."),
    "limit": Integer("VXLAN: most MAC addresses kept."),
    "arp-proxy": Flag("VXLAN: answer ARP on behalf of others."),
    "notifications": Sequence(
        String(title="l2-miss or l3-miss", format="vxlan-miss"), "VXLAN: what is told of misses."
    ),
    "short-circuit": Flag("VXLAN: route between networks itself."),
    "type-of-service": Integer("VXLAN: type of service of its packets.", 0, 255),
    "checksums": Sequence(String(title="a kind of checksum", format="vxlan-checksum"), "VXLAN: checksums."),
    "extensions": Sequence(String(title="an extension", format="vxlan-extension"), "VXLAN: extensions."),
    "port-range": Sequence(
        String(title="two ports", format="port"), "VXLAN: source ports, the lowest and the highest."
    ),
    "flow-label": Integer("VXLAN: IPv6 flow label.", 0, 2**20 - 1),
    "do-not-fragment": Flag("VXLAN: packets may not be cut."),
}

KINDS: dict[str, tuple[dict[str, Shape], str]] = {
    "ethernets": (ETHERNET, "Interfaces that are there."),
    "dummy-devices": (COMMON, "Interfaces that lead nowhere."),
    "virtual-ethernets": (
        {**COMMON, "peer": interface("The other end.")},
        "Pairs of interfaces; each names the other.",
    ),
    "bonds": (
        {**COMMON, "interfaces": names("Its ports."), "parameters": BOND},
        "Several interfaces as one.",
    ),
    "bridges": (
        {**COMMON, "interfaces": names("Its ports."), "parameters": BRIDGE},
        "Switches.",
    ),
    "vlans": (
        {**COMMON, "id": Integer("Its VLAN id.", 0, 4094), "link": interface("The device below it.")},
        "VLANs on another device.",
    ),
    "vrfs": (
        {**COMMON, "table": Integer("Its routing table.", 1), "interfaces": names("Its members.")},
        "Routing domains of their own; a route by a gateway is made at the member that has it.",
    ),
    "tunnels": (TUNNEL, "Tunnels."),
}

NETWORK = Record(
    {
        "version": Integer("netplan's version of this vocabulary: 2.", 2, 2),
        "renderer": RENDERER,
        **{
            kind: Map(
                Record(keys, title="the keys of a device"),
                about,
                "a device" if kind == "ethernets" else "an interface name",
                "network-id" if kind == "ethernets" else "interface",
            )
            for kind, (keys, about) in KINDS.items()
        },
    },
    "Network devices, in netplan's words.",
)
