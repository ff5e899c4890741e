"""The files of systemd.netdev(5), which create virtual devices."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

from ordain.transforms.model import Leaf
from ordain.transforms.render.network.bond_options import unmonitored, unused_options
from ordain.transforms.render.network.device_kinds import KIND
from ordain.transforms.render.network.devices import Device, is_secret_text, private_key, texts
from ordain.transforms.render.network.section_file import SectionFile
from ordain.transforms.render.network.value_text import Parameters, with_milliseconds, yes_no

GROUP = "systemd-network"
"""The group that networkd runs in. No other user may read a file with a key."""
FIREWALL_MARK = 243
"""The first systemd with FirewallMark=, which was FwMark= before."""
INDEPENDENT = "no device is below it"

BOND: Parameters = {
    "mode": ("Mode", yes_no),
    "lacp-rate": ("LACPTransmitRate", yes_no),
    "mii-monitor-interval": ("MIIMonitorSec", with_milliseconds),
    "min-links": ("MinLinks", yes_no),
    "transmit-hash-policy": ("TransmitHashPolicy", yes_no),
    "ad-select": ("AdSelect", yes_no),
    "all-members-active": ("AllSlavesActive", yes_no),
    "arp-interval": ("ARPIntervalSec", with_milliseconds),
    "arp-ip-targets": ("ARPIPTargets", yes_no),
    "arp-validate": ("ARPValidate", yes_no),
    "arp-all-targets": ("ARPAllTargets", yes_no),
    "up-delay": ("UpDelaySec", with_milliseconds),
    "down-delay": ("DownDelaySec", with_milliseconds),
    "fail-over-mac-policy": ("FailOverMACPolicy", yes_no),
    "gratuitous-arp": ("GratuitousARP", yes_no),
    "packets-per-member": ("PacketsPerSlave", yes_no),
    "primary-reselect-policy": ("PrimaryReselectPolicy", yes_no),
    "resend-igmp": ("ResendIGMP", yes_no),
    "learn-packet-interval": ("LearnPacketIntervalSec", yes_no),
}

BRIDGE: Parameters = {
    "ageing-time": ("AgeingTimeSec", yes_no),
    "priority": ("Priority", yes_no),
    "forward-delay": ("ForwardDelaySec", yes_no),
    "hello-time": ("HelloTimeSec", yes_no),
    "max-age": ("MaxAgeSec", yes_no),
    "stp": ("STP", yes_no),
}

VXLAN: Parameters = {
    "id": ("VNI", yes_no),
    "local": ("Local", yes_no),
    "type-of-service": ("TOS", yes_no),
    "ttl": ("TTL", yes_no),
    "mac-learning": ("MacLearning", yes_no),
    "ageing": ("FDBAgeingSec", yes_no),
    "limit": ("MaximumFDBEntries", yes_no),
    "arp-proxy": ("ReduceARPProxy", yes_no),
    "short-circuit": ("RouteShortCircuit", yes_no),
    "port": ("DestinationPort", yes_no),
    "flow-label": ("FlowLabel", yes_no),
    "do-not-fragment": ("IPDoNotFragment", yes_no),
}
VXLAN_FLAGS = {
    "l2-miss": "L2MissNotification",
    "l3-miss": "L3MissNotification",
    "udp": "UDPChecksum",
    "zero-udp6-tx": "UDP6ZeroChecksumTx",
    "zero-udp6-rx": "UDP6ZeroChecksumRx",
    "remote-tx": "RemoteChecksumTx",
    "remote-rx": "RemoteChecksumRx",
    "group-policy": "GroupPolicyExtension",
    "generic-protocol": "GenericProtocolExtension",
}


def netdev(device: Device, path: str, systemd: int) -> SectionFile | None:
    """Return the file that creates ``device``, None if no file of its own does."""
    kind = KIND.get(device.kind) or device.text("mode")
    if not device.virtual or (kind == "veth" and device.text("peer") < device.name):
        return None  # one file creates both ends of a pair
    file = SectionFile(path=f"{path}.netdev", device=device, program="networkd", kind="netdev", systemd=systemd)
    file.set("NetDev", "Name", device.name, device.place)
    of_kernel = "ip6tnl" if kind in {"ip6ip6", "ipip6"} else kind
    file.set("NetDev", "Kind", of_kernel, device.branch.leaf("mode") or device.place)
    file.set_each("NetDev", device.branch, {"mtu": ("MTUBytes", yes_no)})
    if (mac := device.branch.leaf("macaddress")) and ":" in str(mac.value):
        file.set("NetDev", "MACAddress", str(mac.value), mac)
    _SECTIONS.get(kind, _ip_tunnel)(device, file)
    return file


def _bond(device: Device, file: SectionFile) -> None:
    parameters = device.branch.branch("parameters")
    file.set_each("Bond", parameters, BOND)
    if (policy := parameters.leaf("transmit-hash-policy")) and policy.value == "vlan+srcmac":
        file.unsupported(policy, "transmit-hash-policy: vlan+srcmac")
    for leaf, what, hint in unused_options(parameters, by_networkd=True):
        file.warn(leaf, what, hint)
    if doubt := unmonitored(parameters):
        file.warn(*doubt)


def _bridge(device: Device, file: SectionFile) -> None:
    parameters = device.branch.branch("parameters")
    file.set_each("Bridge", parameters, BRIDGE)
    if "parameters" in device.branch and "stp" not in parameters:
        why = "a bridge with parameters has a spanning tree unless they say otherwise"
        file.set_default("Bridge", "STP", "yes", why)


def _vlan(device: Device, file: SectionFile) -> None:
    file.set_each("VLAN", device.branch, {"id": ("Id", yes_no)})


def _vrf(device: Device, file: SectionFile) -> None:
    file.set_each("VRF", device.branch, {"table": ("Table", yes_no)})


def _veth(device: Device, file: SectionFile) -> None:
    file.set_each("Peer", device.branch, {"peer": ("Name", yes_no)})


def _partition(device: Device, file: SectionFile) -> None:
    branch = device.branch
    file.set_each("IPoIB", branch, {"partition-key": ("PartitionKey", yes_no), "infiniband-mode": ("Mode", yes_no)})


def _dummy(device: Device, file: SectionFile) -> None:
    """Add nothing: a dummy has no section of its own."""


def _vxlan(device: Device, file: SectionFile) -> None:
    branch = device.branch
    file.set_each("VXLAN", branch, VXLAN)
    if remote := branch.leaf("remote"):
        multicast = ipaddress.ip_address(str(remote.value)).is_multicast
        file.set("VXLAN", "Group" if multicast else "Remote", str(remote.value), remote)
    for key in ("notifications", "checksums", "extensions"):
        leaf = branch.leaf(key)
        for name in texts(leaf):
            if leaf:
                file.set("VXLAN", VXLAN_FLAGS[name], "yes", leaf)
    if ports := branch.leaf("port-range"):
        file.set("VXLAN", "PortRange", "-".join(texts(ports)), ports)
    if "link" not in branch:
        file.set_default("VXLAN", "Independent", "yes", INDEPENDENT)


def _ip_tunnel(device: Device, file: SectionFile) -> None:
    branch = device.branch
    file.set_default("Tunnel", "Independent", "yes", INDEPENDENT)
    if device.text("mode") in {"ip6ip6", "ipip6"}:
        file.set("Tunnel", "Mode", device.text("mode"), branch.leaf("mode") or device.place)
    file.set_each("Tunnel", branch, {"local": ("Local", yes_no), "remote": ("Remote", yes_no), "ttl": ("TTL", yes_no)})
    for end, directive in (("input", "InputKey"), ("output", "OutputKey")):
        if leaf := branch.branch("keys").leaf(end) or branch.leaf("key"):
            file.set("Tunnel", directive, str(leaf.value), leaf)


def _wireguard(device: Device, file: SectionFile) -> None:
    file.mode, file.group = 0o640, GROUP
    if key := private_key(device):
        _secret(file, "WireGuard", "PrivateKey", str(key.value), key)
    mark = "FirewallMark" if file.systemd >= FIREWALL_MARK else "FwMark"
    file.set_each("WireGuard", device.branch, {"port": ("ListenPort", yes_no), "mark": (mark, yes_no)})
    for peer in device.peers:
        file.begin("WireGuardPeer")
        file.set("WireGuardPeer", "PublicKey", peer.public, peer.leaf)
        if peer.shared:
            _secret(file, "WireGuardPeer", "PresharedKey", peer.shared, peer.leaf)
        if peer.endpoint:
            file.set("WireGuardPeer", "Endpoint", peer.endpoint, peer.leaf)
        if peer.allowed:
            file.set("WireGuardPeer", "AllowedIPs", ",".join(peer.allowed), peer.leaf)
        if peer.keepalive:
            file.set("WireGuardPeer", "PersistentKeepalive", str(peer.keepalive), peer.leaf)


def _secret(file: SectionFile, section: str, key: str, secret: str, leaf: Leaf) -> None:
    """Add a key, or the path of a file that holds it."""
    file.set(section, key if is_secret_text(secret) else f"{key}File", secret, leaf)


_SECTIONS: Mapping[str, Callable[[Device, SectionFile], None]] = {
    "bond": _bond,
    "bridge": _bridge,
    "vlan": _vlan,
    "vrf": _vrf,
    "veth": _veth,
    "ipoib": _partition,
    "dummy": _dummy,
    "vxlan": _vxlan,
    "wireguard": _wireguard,
}
"""The function that adds the section of a kind; all others are IP tunnels."""
