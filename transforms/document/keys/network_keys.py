"""The keys of the section ``network``: netplan's vocabulary, version 2 (netplan's YAML reference, 1.1).

Keys that no renderer can express are left out: Open vSwitch, and netplan's ``networkmanager``. The names are netplan's.
If it has two names for one key, `ALIASES` maps the other one to the name that the canonical form has.
"""

from __future__ import annotations

from ordain.transforms.document.keys.network_shapes import Addresses, FlagOr, Rows
from ordain.transforms.document.keys.shapes import Choice, Flag, Integer, Map, Record, Sequence, Shape, String

RENDERERS = ("networkd", "NetworkManager", "ifupdown")
RENDERER = Choice(
    RENDERERS, "The network service that configures it. Default: the one of the system, which the transforms name."
)
RENDERER_OF_KIND = Choice(RENDERERS, "The network service for all devices of this kind that name none themselves.")


ALIASES = {
    "advmss": "advertised-mss",  # the name that Ordain had for it at first
    "aging": "ageing",
    "aging-time": "ageing-time",
    "all-slaves-active": "all-members-active",
    "gratuitious-arp": "gratuitous-arp",
    "packets-per-slave": "packets-per-member",
}
"""Other names of keys, with the names that netplan's reference uses."""


def known_keys(keys: dict[str, Shape], about: str = "", title: str = "a map") -> Record:
    """Return the shape of a map with ``keys``, of which some may be aliases."""
    return Record(keys, about, title, aliases={key: name for key, name in ALIASES.items() if key in keys})


def text(about: str, title: str, format: str, example: str = "") -> String:
    """Return the shape of a string in one of the formats of `network_formats`."""
    return String(about, title, format, example)


def interface(about: str) -> String:
    """Return the shape of the id of another device or the name of an interface."""
    return text(about, "the name of a device", "network-id")


def ip(about: str, version: int = 0) -> String:
    """Return the shape of an IP address."""
    title = f"an IPv{version} address" if version else "an IP address"
    return text(about, title, f"ipv{version}" if version else "ip")


def interval(about: str) -> String:
    """Return the shape of a time; ``about`` names the unit of a bare number."""
    return text(about, 'a time such as "30s"', "bridge-interval")


def names(about: str) -> Sequence:
    """Return the shape of a list of other devices."""
    return Sequence(interface(""), about)


DHCP4 = Record(
    {
        "use-dns": Flag("Use the DNS servers that DHCP offers. Default: true."),
        "use-ntp": Flag("Use the NTP servers that DHCP offers. Default: true."),
        "use-mtu": Flag("Use the MTU that DHCP offers. Default: true."),
        "use-hostname": Flag("Use the host name that DHCP offers. Default: true."),
        "use-routes": Flag("Use the routes that DHCP offers. Default: true."),
        "use-domains": FlagOr(("route",), "Use the search domains that DHCP offers; route: only to route queries."),
        "send-hostname": Flag("Send the host name. Default: true."),
        "hostname": text("The host name to send.", "a host name", "domain"),
        "route-metric": Integer("The metric of the routes that DHCP offers. Default: 100."),
    },
    "The parts of a DHCP offer to use, and the data to send.",
    "the overrides of DHCP",
)

RA = Record(
    {
        "use-dns": Flag("Use the DNS servers that they offer. Default: true."),
        "use-domains": FlagOr(("route",), "Use the search domains that they offer."),
        "table": Integer("The table for their routes.", 1),
    },
    "The parts of router advertisements to use.",
    "the overrides of router advertisements",
)

ADDRESS = Record(
    {
        "label": text("The label of an IPv4 address.", "a label such as eth0:1", "interface-label"),
        "lifetime": Choice(("forever", "0"), "0: the kernel never chooses it as a source address by itself."),
    },
    title="the options of an address",
)

ROUTE = known_keys(
    {
        "to": text("The destination.", "a network, an address, or default", "route-destination"),
        "via": ip("The gateway."),
        "from": ip("The preferred source address."),
        "on-link": Flag("The gateway is reachable on this link, whatever the addresses are."),
        "metric": Integer("Its metric; the route with the lowest is used."),
        "type": Choice(
            (
                *("unicast", "anycast", "blackhole", "broadcast", "local", "multicast"),
                *("nat", "prohibit", "throw", "unreachable", "xresolve"),
            ),
            "The type of the route. Default: unicast.",
        ),
        "scope": Choice(("global", "link", "host"), "The scope of the destination (IPv4)."),
        "table": Integer("The routing table that it is in. Default in a VRF: the table of the VRF.", 1),
        "mtu": Integer("The MTU of the route.", 68),
        "congestion-window": Integer("The initial congestion window.", 1),
        "advertised-receive-window": Integer("The initial receive window.", 1),
        "advertised-mss": Integer("The maximum segment size to advertise.", 1),
        "advmss": Integer("An older name of `advertised-mss`.", 1),
    },
    title="routes",
)

RULE = Record(
    {
        "from": text("Match packets from this network.", "a network", "network"),
        "to": text("Match packets to this network.", "a network", "network"),
        "table": Integer("The routing table to look in. Default in a VRF: the table of the VRF.", 1),
        "priority": Integer("The priority; the rule with the lowest number comes first."),
        "mark": Integer("Match packets with this firewall mark."),
        "type-of-service": Integer("Match packets of this type of service.", 0, 255),
    },
    title="routing rules",
)

NAMESERVERS = Record(
    {
        "addresses": Sequence(ip(""), "The DNS servers."),
        "search": Sequence(text("", "a domain", "search-domain"), "The search domains."),
    },
    "The servers and domains for names.",
)

COMMON: dict[str, Shape] = {
    "renderer": RENDERER,
    "addresses": Addresses(ADDRESS, "The static addresses."),
    "dhcp4": Flag("Ask for an IPv4 address."),
    "dhcp6": Flag("Ask for an IPv6 address."),
    "dhcp4-overrides": DHCP4,
    "dhcp6-overrides": DHCP4,
    "dhcp-identifier": Choice(("mac", "duid"), "The identifier to send to a DHCP server."),
    "accept-ra": Flag("Accept router advertisements. Default: the kernel decides."),
    "ra-overrides": RA,
    "link-local": Sequence(
        String(title="ipv4 or ipv6", format="ip-family"), "The families with a link-local address. Default: [ipv6]."
    ),
    "ipv6-address-generation": Choice(("eui64", "stable-privacy"), "The way in which IPv6 addresses are generated."),
    "ipv6-address-token": ip("The host part of IPv6 addresses.", 6),
    "ipv6-mtu": Integer("The MTU of IPv6.", 1280),
    "ipv6-privacy": Flag("Use temporary IPv6 addresses."),
    "gateway4": ip("Deprecated: write a route to default.", 4),
    "gateway6": ip("Deprecated: write a route to default.", 6),
    "nameservers": NAMESERVERS,
    "routes": Rows(ROUTE, "The static routes.", needs=("to",)),
    "routing-policy": Rows(RULE, "Rules that choose the routing table for packets."),
    "macaddress": text("The MAC address to use.", "a MAC address or a policy", "mac-or-policy"),
    "mtu": Integer("The MTU.", 68, 2**32 - 1),
    "optional": Flag("The boot does not wait for it."),
    "optional-addresses": Sequence(
        text("", "a kind of address", "address-kind"), "Read for netplan's sake; no network service knows it."
    ),
    "critical": Flag("Its configuration stays when the network service stops."),
    "ignore-carrier": Flag("It is configured even without a carrier."),
    "activation-mode": Choice(("manual", "off"), "manual: an administrator brings it up; off: it is kept down."),
    "emit-lldp": Flag("Send LLDP packets."),
    "neigh-suppress": Flag("As a bridge port: suppress ARP and neighbour discovery."),
    "hairpin": Flag("As a bridge port: packets may leave by the port that they came in by."),
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

FOUND: dict[str, Shape] = {
    "match": Record(
        {
            "name": text("The name that the kernel gave it.", "a name, globs allowed", "interface-glob"),
            "macaddress": text("Its permanent MAC address.", "a MAC address", "mac"),
            "driver": Sequence(text("", "a driver, globs allowed", "driver"), "Its driver."),
        },
        "The interface that this entry is about, unless its id is the name of the interface. `{}`: every interface.",
    ),
    "set-name": text("The name to give to it.", "an interface name", "interface"),
}
"""The keys that find hardware and name it."""

AUTH = Record(
    {
        "key-management": Choice(
            ("none", "psk", "psk-sha256", "eap", "eap-sha256", "eap-suite-b-192", "sae", "802.1x"),
            "The way in which keys are agreed on. On a cable: 802.1x.",
        ),
        "password": text("The password, or the shared key of psk and sae.", "a password", "free-text"),
        "method": Choice(("tls", "peap", "leap", "pwd", "ttls"), "The method of EAP."),
        "identity": text("The identity.", "an identity", "free-text"),
        "anonymous-identity": text("The identity to show unencrypted.", "an identity", "free-text"),
        "ca-certificate": text("The file of trusted certificates.", "a path", "file"),
        "client-certificate": text("The file of the certificate to show.", "a path", "file"),
        "client-key": text("The file of its private key.", "a path", "file"),
        "client-key-password": text("The password of that file.", "a password", "free-text"),
        "phase2-auth": text("The inner authentication of peap and ttls.", "a method such as mschapv2", "network-word"),
    },
    "The login to the network (802.1X, WPA).",
)

INFINIBAND_MODE = Choice(("datagram", "connected"), "IP over InfiniBand: its mode. Default: the driver decides.")

ETHERNET: dict[str, Shape] = {
    **COMMON,
    **FOUND,
    "auth": AUTH,
    "infiniband-mode": INFINIBAND_MODE,
    "link": interface("SR-IOV: the device whose virtual function it is."),
    "virtual-function-count": Integer("SR-IOV: the number of virtual functions to make.", 0, 256),
    "embedded-switch-mode": Choice(("switchdev", "legacy"), "SR-IOV: the mode of the switch in the hardware."),
    "delay-virtual-functions-rebind": Flag("SR-IOV: bind virtual functions after the boot."),
    "wakeonlan": Flag("A magic packet wakes the machine."),
    **{key: Flag(f"{directive}= of systemd.link(5).") for key, directive in OFFLOADS.items()},
}

BOND = known_keys(
    {
        "mode": Choice(
            ("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"),
            "The way in which the ports are used. Default: balance-rr.",
        ),
        "lacp-rate": Choice(("slow", "fast"), "The rate of LACP packets."),
        "mii-monitor-interval": interval("The time between two checks of the link; a bare number is in milliseconds."),
        "min-links": Integer("The number of links that must be up for the bond to be up.", 0, 2**31 - 1),
        "transmit-hash-policy": Choice(
            ("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"),
            "The data that choose the port for a packet.",
        ),
        "ad-select": Choice(("stable", "bandwidth", "count"), "The rule that chooses the aggregator."),
        "all-members-active": Flag("Deliver packets that arrive on inactive ports."),
        "all-slaves-active": Flag("The old name of `all-members-active`."),
        "arp-interval": interval("The time between two checks of the link by ARP; a bare number is in milliseconds."),
        "arp-ip-targets": Sequence(ip("", 4), "The addresses that ARP asks for."),
        "arp-validate": Choice(("none", "active", "backup", "all"), "The ports whose answers are checked."),
        "arp-all-targets": Choice(("any", "all"), "The number of targets that must answer."),
        "up-delay": interval("The time before a new link is used; a bare number is in milliseconds."),
        "down-delay": interval("The time before a lost link is no longer used; a bare number is in milliseconds."),
        "fail-over-mac-policy": Choice(("none", "active", "follow"), "The MAC address of the bond and its ports."),
        "gratuitous-arp": Integer("The number of ARP packets after a fail-over.", 1, 255),
        "gratuitious-arp": Integer("An old spelling of `gratuitous-arp`.", 1, 255),
        "packets-per-member": Integer("The number of packets before the next port is used (balance-rr).", 0, 65535),
        "packets-per-slave": Integer("The old name of `packets-per-member`.", 0, 65535),
        "primary-reselect-policy": Choice(
            ("always", "better", "failure"), "The cases in which the primary port becomes active again."
        ),
        "resend-igmp": Integer("The number of IGMP reports after a fail-over.", 0, 255),
        "learn-packet-interval": interval("The time between two learning packets; a bare number is in seconds."),
        "primary": interface("The preferred port."),
    },
    "The parameters of the bond.",
)

BRIDGE = known_keys(
    {
        "ageing-time": interval("The time for which a MAC address is kept; a bare number is in seconds."),
        "aging-time": interval("Another spelling of `ageing-time`."),
        "forward-delay": interval("The time in the states listening and learning; a bare number is in seconds."),
        "hello-time": interval("The time between two hello packets; a bare number is in seconds."),
        "max-age": interval("The time for which a hello packet is valid; a bare number is in seconds."),
        "priority": Integer("The priority of the bridge; the bridge with the lowest becomes the root.", 0, 65535),
        "stp": Flag("Use the spanning tree protocol. Default: true if any parameter is set."),
        "path-cost": Map(
            Integer("The cost.", 1, 65535), "The cost of the path through a port.", "a port", "network-id"
        ),
        "port-priority": Map(Integer("The priority.", 0, 63), "The priority of a port.", "a port", "network-id"),
    },
    "The parameters of the bridge.",
)

PEER = Record(
    {
        "endpoint": text("The address of the peer.", 'such as "192.0.2.1:51820"', "host-and-port"),
        "allowed-ips": Sequence(
            text("", "a network", "network"),
            "The networks that the peer may send from and that are reached through it.",
        ),
        "keepalive": Integer("The seconds between two packets that keep the path open.", 1, 65535),
        "keys": Record(
            {
                "public": text("Its public key.", "a WireGuard key", "wireguard-key"),
                "shared": text("A key that both ends know.", "a WireGuard key, or the path of one", "wireguard-secret"),
            },
            "The keys of the peer.",
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
        "The type of the tunnel.",
    ),
    "local": ip("The address of this end."),
    "remote": ip("The address of the other end; for a VXLAN also a multicast group."),
    "ttl": Integer("The time to live of its packets.", 0, 255),
    "key": text("Its key in both directions; for WireGuard, the private key.", "a key", "tunnel-key"),
    "keys": Record(
        {
            "input": text("The key of received packets.", "a number or an IPv4 address", "tunnel-key"),
            "output": text("The key of sent packets.", "a number or an IPv4 address", "tunnel-key"),
            "private": text("The private key (WireGuard).", "a WireGuard key, or the path of one", "wireguard-secret"),
        },
        "Its keys, if they differ by direction.",
    ),
    "mark": Integer("The firewall mark of its packets (WireGuard)."),
    "port": Integer("The UDP port that WireGuard listens on or that VXLAN sends to.", 1, 65535),
    "peers": Rows(PEER, "The WireGuard peers.", needs=("keys",)),
    "id": Integer("Its VXLAN id.", 1, 2**24 - 1),
    "link": interface("The device below it (VXLAN)."),
    "mac-learning": Flag("VXLAN: learn MAC addresses."),
    "ageing": Integer("VXLAN: the seconds for which a MAC address is kept."),
    "aging": Integer("Another spelling of `ageing`."),
    "limit": Integer("VXLAN: the most MAC addresses to keep."),
    "arp-proxy": Flag("VXLAN: answer ARP on behalf of others."),
    "notifications": Sequence(String(title="l2-miss or l3-miss", format="vxlan-miss"), "VXLAN: the misses to report."),
    "short-circuit": Flag("VXLAN: the device routes between networks itself."),
    "type-of-service": Integer("VXLAN: the type of service of its packets.", 0, 255),
    "checksums": Sequence(String(title="a kind of checksum", format="vxlan-checksum"), "VXLAN: the checksums to use."),
    "extensions": Sequence(String(title="an extension", format="vxlan-extension"), "VXLAN: the extensions to use."),
    "port-range": Sequence(String(title="two ports", format="port"), "VXLAN: the lowest and the highest source port."),
    "flow-label": Integer("VXLAN: the IPv6 flow label.", 0, 2**20 - 1),
    "do-not-fragment": Flag("VXLAN: packets must not be fragmented."),
}

ACCESS_POINT = Record(
    {
        "password": text("The shared key.", "a password", "free-text"),
        "mode": Choice(("infrastructure", "ap", "adhoc"), "The role in the network. Default: infrastructure."),
        "bssid": text("Use only the access point with this address.", "a MAC address", "mac"),
        "band": Choice(("5GHz", "5G", "2.4GHz", "2.4G"), "Use only this band."),
        "channel": Integer("Use only this channel; needs `band`.", 1, 233),
        "hidden": Flag("The network does not show its name."),
        "auth": AUTH,
    },
    title="the keys of a network",
)

WIFI: dict[str, Shape] = {
    **COMMON,
    **FOUND,
    "access-points": Map(ACCESS_POINT, "The networks to connect to.", "the name of a network (SSID)", "ssid"),
    "wakeonwlan": Sequence(
        text("", "an event that wakes the machine", "wake-on-wlan"), "The events that wake the machine."
    ),
    "regulatory-domain": text("The country whose rules hold.", "a country code such as DE", "country"),
}

MODEM: dict[str, Shape] = {
    **COMMON,
    "apn": text("The access point name of the provider.", "an access point name", "access-point-name"),
    "auto-config": Flag("Find the settings of the provider by its network."),
    "device-id": text("The modem, as `mmcli` shows it.", "a device id", "network-word"),
    "network-id": text("Connect to this network only.", "a number of 5 or 6 digits", "operator"),
    "number": text("The number to dial.", "a number to dial", "free-text"),
    "password": text("The password of the provider.", "a password", "free-text"),
    "pin": text("The PIN of the SIM.", "a PIN", "digits"),
    "sim-id": text("Use it only with this SIM.", "the number of a SIM", "digits"),
    "sim-operator-id": text("Use it only with SIMs of this operator.", "a number of 5 or 6 digits", "operator"),
    "username": text("The user name of the provider.", "a user name", "free-text"),
}

KINDS: dict[str, tuple[dict[str, Shape], str]] = {
    "ethernets": (ETHERNET, "Physical interfaces."),
    "dummy-devices": (COMMON, "Dummy interfaces, which drop all packets."),
    "virtual-ethernets": (
        {**COMMON, "peer": interface("The other end.")},
        "Pairs of virtual interfaces; each names the other.",
    ),
    "bonds": (
        {**COMMON, "interfaces": names("The interfaces that are its ports."), "parameters": BOND},
        "Several interfaces combined into one.",
    ),
    "bridges": (
        {**COMMON, "interfaces": names("The interfaces that are its ports."), "parameters": BRIDGE},
        "Bridges, which connect several interfaces.",
    ),
    "vlans": (
        {**COMMON, "id": Integer("Its VLAN id.", 0, 4094), "link": interface("The device below it.")},
        "VLANs on another device.",
    ),
    "vrfs": (
        {**COMMON, "table": Integer("Its routing table.", 1), "interfaces": names("The devices in it.")},
        "Separate routing domains. A route through a gateway is added to the member that reaches the gateway.",
    ),
    "tunnels": (TUNNEL, "Tunnels."),
    "infiniband-partitions": (
        {
            **COMMON,
            "link": interface("The InfiniBand device below it."),
            "partition-key": Integer("The key of the partition (P_Key).", 1, 0xFFFF),
            "infiniband-mode": INFINIBAND_MODE,
        },
        "IP over partitions of an InfiniBand fabric. netplan does not have them.",
    ),
    "wifis": (WIFI, "Wi-Fi interfaces (NetworkManager)."),
    "modems": (MODEM, "Mobile broadband (NetworkManager)."),
}

HARDWARE = frozenset({"ethernets", "wifis", "modems"})
"""The kinds of device that no renderer creates. Their names are ids, which may differ from the interface names."""

NETWORK = Record(
    {
        "version": Integer("The version of netplan's vocabulary: 2.", 2, 2),
        "renderer": RENDERER,
        **{
            kind: Map(
                known_keys(keys, title="the keys of a device"),
                about,
                "a device" if kind in HARDWARE else "an interface name",
                "network-id" if kind in HARDWARE else "interface",
                {"renderer": RENDERER_OF_KIND},
            )
            for kind, (keys, about) in KINDS.items()
        },
    },
    "Network devices, in the vocabulary of netplan.",
)
