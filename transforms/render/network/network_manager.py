"""NetworkManager: a keyfile for each device (nm-settings-keyfile(5), nm-settings(5)), readable by root alone.

What NetworkManager has no word for blocks the device; `_UNKNOWN` lists the keys of which that is always so. What a
document means is the same as under networkd: no spanning tree without a word about it, no routes for WireGuard's peers.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable, Mapping

from ordain.transforms.model import Branch, Leaf, Value
from ordain.transforms.render.network.bond_options import bond, seconds, text
from ordain.transforms.render.network.devices import Device, is_secret_text, private_key, texts
from ordain.transforms.render.network.network_manager_ip import family, no
from ordain.transforms.render.network.section_file import SectionFile
from ordain.transforms.render.paths import NETWORK_MANAGER

NAMESPACE = uuid.UUID("3f4d9d0c-7b0e-5e5c-9a56-6f7264616e00")
"""Connections need identities that survive a new rendering: made of the names of the devices."""

TYPES = {
    "ethernets": "ethernet",
    "bonds": "bond",
    "bridges": "bridge",
    "vlans": "vlan",
    "vrfs": "vrf",
    "dummy-devices": "dummy",
    "virtual-ethernets": "veth",
}
TUNNEL_MODES = {
    "ipip": 1,
    "gre": 2,
    "sit": 3,
    "vti": 5,
    "ip6ip6": 6,
    "ipip6": 7,
    "ip6gre": 8,
    "vti6": 9,
    "gretap": 10,
    "ip6gretap": 11,
}
"""NMIPTunnelMode of libnm."""
BRIDGE: Mapping[str, tuple[str, Callable[[Value], str]]] = {
    "ageing-time": ("ageing-time", seconds),
    "aging-time": ("ageing-time", seconds),
    "forward-delay": ("forward-delay", seconds),
    "hello-time": ("hello-time", seconds),
    "max-age": ("max-age", seconds),
    "priority": ("priority", text),
}
VXLAN = {
    "id": "id",
    "link": "parent",
    "local": "local",
    "remote": "remote",
    "port": "destination-port",
    "type-of-service": "tos",
    "ttl": "ttl",
    "ageing": "ageing",
    "aging": "ageing",
    "limit": "limit",
}
_UNKNOWN = (
    *("emit-lldp", "neigh-suppress", "port-mac-learning", "ra-overrides"),
    *("checksums", "extensions", "flow-label", "do-not-fragment"),
)
_IP = ("addresses", "dhcp4", "dhcp6", "gateway4", "gateway6", "nameservers", "routes", "routing-policy")


def render(device: Device) -> SectionFile:
    """The keyfile of one device."""
    path = f"{NETWORK_MANAGER}/ordain-{device.name}.nmconnection"
    file = SectionFile(path=path, device=device, mode=0o600)
    _connection(device, file)
    _hardware(device, file)
    _KINDS[device.kind](device, file)
    _port(device, file)
    _unknown(device, file)
    if not device.master:
        family(device, file, 4)
        family(device, file, 6)
    return file


def _unknown(device: Device, file: SectionFile) -> None:
    branch = device.branch
    for key in _UNKNOWN:
        if leaf := branch.leaf(key) or _first(branch.branch(key)):
            no(file, leaf, key)
    if (carrier := branch.leaf("ignore-carrier")) and not device.virtual and carrier.value is True:
        no(file, carrier, "ignore-carrier of one device")
    if (optional := branch.leaf("optional")) and optional.value is True:
        file.warn(optional, "NetworkManager-wait-online waits for it all the same")
    if device.master:
        for key in _IP:
            if (leaf := branch.leaf(key) or _first(branch.branch(key))) and leaf.value not in (False, ()):
                no(file, leaf, f"{key} of a port")
        if device.vrf:
            no(file, device.vrf.leaf, "a port that is in a VRF itself")


def _first(branch: Branch) -> Leaf | None:
    return next((leaf for _, leaf in branch.leaves()), None)


def _connection(device: Device, file: SectionFile) -> None:
    mode = device.text("mode")
    kind = TYPES.get(device.kind) or (mode if mode in {"wireguard", "vxlan"} else "ip-tunnel")
    here = device.here
    file.set("connection", "id", f"ordain-{device.name}", here)
    file.set("connection", "uuid", str(uuid.uuid5(NAMESPACE, f"{device.kind}/{device.name}")), here)
    file.set("connection", "type", kind, here)
    name = device.interface
    if name and not set(name) & set("*?["):
        file.set("connection", "interface-name", name, here)
    if activation := device.branch.leaf("activation-mode"):
        if activation.value == "off":
            no(file, activation, "activation-mode: off")
        file.set("connection", "autoconnect", "false", activation)
    if device.master:
        file.set("connection", "master", device.master.name, device.master.leaf)
        file.set("connection", "slave-type", device.master_kind, device.master.leaf)
    elif device.vrf:
        file.set("connection", "master", device.vrf.name, device.vrf.leaf)
        file.set("connection", "slave-type", "vrf", device.vrf.leaf)


def _hardware(device: Device, file: SectionFile) -> None:
    branch, match = device.branch, device.branch.branch("match")
    if leaf := match.leaf("macaddress"):
        file.set("ethernet", "mac-address", str(leaf.value), leaf)
    if wake := branch.leaf("wakeonlan"):
        file.set("ethernet", "wake-on-lan", "64" if wake.value is True else "0", wake)  # NM_..._WAKE_ON_LAN_MAGIC
    if mac := branch.leaf("macaddress"):
        file.set("ethernet", "cloned-mac-address", str(mac.value), mac)
    if mtu := branch.leaf("mtu"):
        mode = device.text("mode")
        of_tunnel = "wireguard" if mode == "wireguard" else "ethernet" if mode in {"", "vxlan"} else "ip-tunnel"
        file.set("ethernet" if device.kind != "tunnels" else of_tunnel, "mtu", text(mtu.value), mtu)
    if (name := match.leaf("name")) and "set-name" not in branch and set(str(name.value)) & set("*?["):
        file.set("match", "interface-name", f"{name.value};", name)
    if drivers := match.leaf("driver"):
        file.set("match", "driver", "".join(f"{driver};" for driver in texts(drivers)), drivers)


def _nothing(device: Device, file: SectionFile) -> None:
    """No more to say of it."""


def _bond(device: Device, file: SectionFile) -> None:
    parameters = device.branch.branch("parameters")
    for name, value, leaf in bond(parameters):
        file.set("bond", name, value, leaf)
    if primary := parameters.leaf("primary"):
        file.set("bond", "primary", str(primary.value), primary)


def _bridge(device: Device, file: SectionFile) -> None:
    parameters = device.branch.branch("parameters")
    for key, (name, write) in BRIDGE.items():
        if leaf := parameters.leaf(key):
            file.set("bridge", name, write(leaf.value), leaf)
    if stp := parameters.leaf("stp"):
        file.set("bridge", "stp", "true" if stp.value else "false", stp)
    else:
        said = "parameters" in device.branch
        why = "with parameters, unless they say otherwise" if said else "without parameters"
        file.default("bridge", "stp", "true" if said else "false", f"as netplan has it {why}")


def _port(device: Device, file: SectionFile) -> None:
    for key, name in (("path-cost", "path-cost"), ("port-priority", "priority")):
        if leaf := device.port.get(key):
            file.set("bridge-port", name, text(leaf.value), leaf)
    if hairpin := device.branch.leaf("hairpin"):
        file.set("bridge-port", "hairpin-mode", "true" if hairpin.value else "false", hairpin)


def _vlan(device: Device, file: SectionFile) -> None:
    for key, name in (("id", "id"), ("link", "parent")):
        if leaf := device.branch.leaf(key):
            file.set("vlan", name, text(leaf.value), leaf)


def _vrf(device: Device, file: SectionFile) -> None:
    if leaf := device.branch.leaf("table"):
        file.set("vrf", "table", text(leaf.value), leaf)


def _veth(device: Device, file: SectionFile) -> None:
    if leaf := device.branch.leaf("peer"):
        file.set("veth", "peer", str(leaf.value), leaf)


def _tunnel(device: Device, file: SectionFile) -> None:
    branch, mode = device.branch, device.text("mode")
    if mode == "wireguard":
        _wireguard(device, file)
        return
    if mode == "vxlan":
        _vxlan(device, file)
        return
    file.set("ip-tunnel", "mode", str(TUNNEL_MODES[mode]), branch.leaf("mode") or device.here)
    for key in ("local", "remote", "ttl"):
        if leaf := branch.leaf(key):
            file.set("ip-tunnel", key, text(leaf.value), leaf)
    for end, name in (("input", "input-key"), ("output", "output-key")):
        if leaf := branch.branch("keys").leaf(end) or branch.leaf("key"):
            key = str(leaf.value)
            file.set("ip-tunnel", name, str(int(ipaddress.IPv4Address(key))) if "." in key else key, leaf)


def _vxlan(device: Device, file: SectionFile) -> None:
    branch = device.branch
    for key, name in VXLAN.items():
        if leaf := branch.leaf(key):
            file.set("vxlan", name, text(leaf.value), leaf)
    for key, name in (("mac-learning", "learning"), ("arp-proxy", "proxy"), ("short-circuit", "rsc")):
        if leaf := branch.leaf(key):
            file.set("vxlan", name, "true" if leaf.value else "false", leaf)
    if misses := branch.leaf("notifications"):
        for name in texts(misses):
            file.set("vxlan", name, "true", misses)
    if ports := branch.leaf("port-range"):
        for name, port in zip(("source-port-min", "source-port-max"), texts(ports), strict=False):
            file.set("vxlan", name, port, ports)


def _wireguard(device: Device, file: SectionFile) -> None:
    if key := private_key(device):
        if not is_secret_text(str(key.value)):
            no(file, key, "a private key in a file of its own")
        file.set("wireguard", "private-key", str(key.value), key)
    for name, directive in (("port", "listen-port"), ("mark", "fwmark")):
        if leaf := device.branch.leaf(name):
            file.set("wireguard", directive, text(leaf.value), leaf)
    why = "routes are those of the documents"
    file.default("wireguard", "peer-routes", "false", why)
    file.default("wireguard", "ip4-auto-default-route", "0", why)
    file.default("wireguard", "ip6-auto-default-route", "0", why)
    for peer in device.peers:
        section = f"wireguard-peer.{peer.public}"
        file.begin(section)
        if peer.shared:
            if not is_secret_text(peer.shared):
                no(file, peer.leaf, "a preshared key in a file of its own")
            file.set(section, "preshared-key", peer.shared, peer.leaf)
            file.set(section, "preshared-key-flags", "0", peer.leaf)
        if peer.endpoint:
            file.set(section, "endpoint", peer.endpoint, peer.leaf)
        file.set(section, "allowed-ips", "".join(f"{net};" for net in peer.allowed) or ";", peer.leaf)
        if peer.keepalive:
            file.set(section, "persistent-keepalive", str(peer.keepalive), peer.leaf)


_KINDS: Mapping[str, Callable[[Device, SectionFile], None]] = {
    "ethernets": _nothing,
    "dummy-devices": _nothing,
    "virtual-ethernets": _veth,
    "bonds": _bond,
    "bridges": _bridge,
    "vlans": _vlan,
    "vrfs": _vrf,
    "tunnels": _tunnel,
}
