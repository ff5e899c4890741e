"""systemd.netdev(5): the file that makes a virtual device."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

from ordain.transforms.model import Branch, Leaf, Value
from ordain.transforms.render.network.devices import Device, is_secret_text, private_key, texts
from ordain.transforms.render.network.section_file import SectionFile

Write = Callable[[Value], str]
Parameters = Mapping[str, tuple[str, Write]]

GROUP = "systemd-network"
"""The group networkd runs in; nobody else may read a file with a key."""


def plain(value: Value) -> str:
    """A scalar; true and false as yes and no; a list with blanks between."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def milliseconds(value: Value) -> str:
    """A time whose bare number counts milliseconds."""
    return f"{value}ms" if str(value).isdigit() else str(value)


BOND: Parameters = {
    "mode": ("Mode", plain),
    "lacp-rate": ("LACPTransmitRate", plain),
    "mii-monitor-interval": ("MIIMonitorSec", milliseconds),
    "min-links": ("MinLinks", plain),
    "transmit-hash-policy": ("TransmitHashPolicy", plain),
    "ad-select": ("AdSelect", plain),
    "all-members-active": ("AllSlavesActive", plain),
    "all-slaves-active": ("AllSlavesActive", plain),
    "arp-interval": ("ARPIntervalSec", milliseconds),
    "arp-ip-targets": ("ARPIPTargets", plain),
    "arp-validate": ("ARPValidate", plain),
    "arp-all-targets": ("ARPAllTargets", plain),
    "up-delay": ("UpDelaySec", milliseconds),
    "down-delay": ("DownDelaySec", milliseconds),
    "fail-over-mac-policy": ("FailOverMACPolicy", plain),
    "gratuitous-arp": ("GratuitousARP", plain),
    "packets-per-member": ("PacketsPerSlave", plain),
    "packets-per-slave": ("PacketsPerSlave", plain),
    "primary-reselect-policy": ("PrimaryReselectPolicy", plain),
    "resend-igmp": ("ResendIGMP", plain),
    "learn-packet-interval": ("LearnPacketIntervalSec", plain),
}

BRIDGE: Parameters = {
    "ageing-time": ("AgeingTimeSec", plain),
    "aging-time": ("AgeingTimeSec", plain),
    "priority": ("Priority", plain),
    "forward-delay": ("ForwardDelaySec", plain),
    "hello-time": ("HelloTimeSec", plain),
    "max-age": ("MaxAgeSec", plain),
    "stp": ("STP", plain),
}

VXLAN: Parameters = {
    "id": ("VNI", plain),
    "local": ("Local", plain),
    "type-of-service": ("TOS", plain),
    "ttl": ("TTL", plain),
    "mac-learning": ("MacLearning", plain),
    "ageing": ("FDBAgeingSec", plain),
    "aging": ("FDBAgeingSec", plain),
    "limit": ("MaximumFDBEntries", plain),
    "arp-proxy": ("ReduceARPProxy", plain),
    "short-circuit": ("RouteShortCircuit", plain),
    "port": ("DestinationPort", plain),
    "flow-label": ("FlowLabel", plain),
    "do-not-fragment": ("IPDoNotFragment", plain),
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

KIND = {
    "bonds": "bond",
    "bridges": "bridge",
    "vlans": "vlan",
    "vrfs": "vrf",
    "dummy-devices": "dummy",
    "virtual-ethernets": "veth",
}


def netdev(device: Device, path: str, systemd: int) -> SectionFile | None:
    """The file that makes ``device``; None where nothing is to be made."""
    kind = KIND.get(device.kind) or device.text("mode")
    if not device.virtual or (kind == "veth" and device.text("peer") < device.name):
        return None  # one file makes both ends of a pair
    file = SectionFile(path=f"{path}.netdev", device=device, kind="netdev", systemd=systemd)
    file.set("NetDev", "Name", device.name, device.here)
    file.set(
        "NetDev", "Kind", "ip6tnl" if kind in {"ip6ip6", "ipip6"} else kind, device.branch.leaf("mode") or device.here
    )
    if (mtu := device.branch.leaf("mtu")) is not None:
        file.set("NetDev", "MTUBytes", plain(mtu.value), mtu)
    if (mac := device.branch.leaf("macaddress")) and ":" in str(mac.value):
        file.set("NetDev", "MACAddress", str(mac.value), mac)
    _SECTIONS.get(kind, _tunnel)(device, file)
    return file


def table(file: SectionFile, section: str, branch: Branch, parameters: Parameters) -> None:
    """A line for each key of ``parameters`` that is set."""
    for key, (directive, write) in parameters.items():
        if leaf := branch.leaf(key):
            file.set(section, directive, write(leaf.value), leaf)


def _bond(device: Device, file: SectionFile) -> None:
    table(file, "Bond", device.branch.branch("parameters"), BOND)


def _bridge(device: Device, file: SectionFile) -> None:
    parameters = device.branch.branch("parameters")
    table(file, "Bridge", parameters, BRIDGE)
    if "parameters" in device.branch and "stp" not in parameters:
        file.default("Bridge", "STP", "yes", "a bridge with parameters has a spanning tree unless they say otherwise")


def _vlan(device: Device, file: SectionFile) -> None:
    table(file, "VLAN", device.branch, {"id": ("Id", plain)})


def _vrf(device: Device, file: SectionFile) -> None:
    table(file, "VRF", device.branch, {"table": ("Table", plain)})


def _veth(device: Device, file: SectionFile) -> None:
    table(file, "Peer", device.branch, {"peer": ("Name", plain)})


def _nothing(device: Device, file: SectionFile) -> None:
    """A dummy has no properties."""


def _vxlan(device: Device, file: SectionFile) -> None:
    branch = device.branch
    table(file, "VXLAN", branch, VXLAN)
    if remote := branch.leaf("remote"):
        group = ipaddress.ip_address(str(remote.value)).is_multicast
        file.set("VXLAN", "Group" if group else "Remote", str(remote.value), remote)
    for key in ("notifications", "checksums", "extensions"):
        leaf = branch.leaf(key)
        for name in texts(leaf):
            if leaf:
                file.set("VXLAN", VXLAN_FLAGS[name], "yes", leaf)
    if ports := branch.leaf("port-range"):
        ends = texts(ports)
        if len(ends) != 2 or int(ends[0]) > int(ends[1]):
            file.block(ports, "port-range is the lowest and the highest port", "[42000, 43000]")
        else:
            file.set("VXLAN", "PortRange", "-".join(ends), ports)
    if "link" not in branch:
        file.default("VXLAN", "Independent", "yes", "it stands on no device of its own")


def _tunnel(device: Device, file: SectionFile) -> None:
    branch = device.branch
    file.default("Tunnel", "Independent", "yes", "it stands on no device of its own")
    if device.text("mode") in {"ip6ip6", "ipip6"}:
        file.set("Tunnel", "Mode", device.text("mode"), branch.leaf("mode") or device.here)
    names: Parameters = {"local": ("Local", plain), "remote": ("Remote", plain), "ttl": ("TTL", plain)}
    table(file, "Tunnel", branch, names)
    for end, directive in (("input", "InputKey"), ("output", "OutputKey")):
        if leaf := branch.branch("keys").leaf(end) or branch.leaf("key"):
            file.set("Tunnel", directive, str(leaf.value), leaf)


def _wireguard(device: Device, file: SectionFile) -> None:
    file.mode, file.group = 0o640, GROUP
    if key := private_key(device):
        _secret(file, "WireGuard", "PrivateKey", str(key.value), key)
    mark = "FirewallMark" if file.systemd >= 243 else "FwMark"
    table(file, "WireGuard", device.branch, {"port": ("ListenPort", plain), "mark": (mark, plain)})
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
    file.set(section, key if is_secret_text(secret) else f"{key}File", secret, leaf)


_SECTIONS: Mapping[str, Callable[[Device, SectionFile], None]] = {
    "bond": _bond,
    "bridge": _bridge,
    "vlan": _vlan,
    "vrf": _vrf,
    "veth": _veth,
    "dummy": _nothing,
    "vxlan": _vxlan,
    "wireguard": _wireguard,
}
