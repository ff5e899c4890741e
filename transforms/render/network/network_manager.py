"""NetworkManager: a keyfile for each device (nm-settings-keyfile(5), nm-settings(5)), which only root can read.

A key that NetworkManager does not support blocks the device. The files mean the same as those for networkd: a bridge
has no spanning tree unless the document asks for one, and WireGuard peers add no routes.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping

from ordain.transforms.render.network import network_manager_wireless
from ordain.transforms.render.network.bond_options import bond_options, unmonitored, unused_options
from ordain.transforms.render.network.devices import GLOB, Device, is_secret_text, leaf_at, private_key, texts
from ordain.transforms.render.network.network_manager_ip import add_family
from ordain.transforms.render.network.section_file import SectionFile
from ordain.transforms.render.network.value_text import Parameters, keyfile_text, one_zero, seconds, true_false
from ordain.transforms.render.paths import NETWORK_MANAGER

PROGRAM = "NetworkManager"
NAMESPACE = "3f4d9d0c-7b0e-5e5c-9a56-6f7264616e00"
"""The namespace of connection ids, which are made of device names so that they are the same in every rendering."""

LENGTH_OF_MAC = len("00:00:00:00:00:00")
INFINIBAND_MTU = 65520
TYPES = {
    "ethernets": "ethernet",
    "infiniband-partitions": "infiniband",
    "wifis": "wifi",
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
BRIDGE: Parameters = {
    "ageing-time": ("ageing-time", seconds),
    "forward-delay": ("forward-delay", seconds),
    "hello-time": ("hello-time", seconds),
    "max-age": ("max-age", seconds),
    "priority": ("priority", one_zero),
}
VXLAN: Parameters = {
    "local": ("local", one_zero),
    "remote": ("remote", one_zero),
    "port": ("destination-port", one_zero),
    "type-of-service": ("tos", one_zero),
    "ttl": ("ttl", one_zero),
    "ageing": ("ageing", one_zero),
    "limit": ("limit", one_zero),
    "mac-learning": ("learning", true_false),
    "arp-proxy": ("proxy", true_false),
    "short-circuit": ("rsc", true_false),
}
UNSUPPORTED = (
    *("emit-lldp", "neigh-suppress", "port-mac-learning", "ra-overrides"),
    *("checksums", "extensions", "flow-label", "do-not-fragment"),
)
"""Keys without an equivalent in keyfiles."""
IP_KEYS = ("addresses", "dhcp4", "dhcp6", "gateway4", "gateway6", "nameservers", "routes", "routing-policy")
"""Keys that a port cannot have, because a port has no [ipv4] and [ipv6]."""


def render(device: Device) -> tuple[SectionFile, ...]:
    """Return the keyfiles of one device: one, or one for each network of a Wi-Fi."""
    if device.kind != "wifis":
        return (_keyfile(device),)
    return tuple(_keyfile(device, ssid) for ssid, _ in device.branch.branch("access-points").branches())


def _keyfile(device: Device, ssid: str = "") -> SectionFile:
    identity = f"{device.name}/{ssid}" if ssid else device.name
    # The name of a network may hold characters that a file name cannot.
    suffix = f"-{connection_uuid(device.kind, identity)[:8]}" if ssid else ""
    path = f"{NETWORK_MANAGER}/ordain-{device.name}{suffix}.nmconnection"
    file = SectionFile(path=path, device=device, program=PROGRAM, mode=0o600)
    _connection(device, file, identity)
    _hardware(device, file)
    if ssid:
        network_manager_wireless.add_wifi(device, file, ssid)
    else:
        _KINDS[device.kind](device, file)
    _port(device, file)
    _block_unsupported(device, file)
    if not device.master:
        is_access_point = device.branch.branch("access-points").branch(ssid).value("mode") == "ap"
        add_family(device, file, 4, shared=is_access_point)
        add_family(device, file, 6)
    return file


def _block_unsupported(device: Device, file: SectionFile) -> None:
    branch = device.branch
    for key in UNSUPPORTED:
        if leaf := leaf_at(branch, key):
            file.unsupported(leaf, key)
    if (carrier := branch.leaf("ignore-carrier")) and not device.virtual and carrier.value is True:
        file.unsupported(carrier, "ignore-carrier of one device")
    if (optional := branch.leaf("optional")) and optional.value is True:
        file.warn(optional, "NetworkManager-wait-online waits for this device although it is optional")
    if device.master:
        for key in IP_KEYS:
            if (leaf := leaf_at(branch, key)) and leaf.value not in (False, ()):
                file.unsupported(leaf, f"{key} of a port")
        if device.vrf:
            file.unsupported(device.vrf.leaf, "a port that is in a VRF")


def connection_uuid(kind: str, name: str) -> str:
    """Return the UUID of the connection of a device."""
    import uuid  # which imports much more that no other renderer needs

    return str(uuid.uuid5(uuid.UUID(NAMESPACE), f"{kind}/{name}"))


def _set_parent(device: Device, file: SectionFile, section: str) -> None:
    """Add the device below, by the UUID of its connection if `match` finds its interface (nm-settings, vlan.parent)."""
    if parent := device.parent:
        word = connection_uuid(parent.kind, parent.name) if parent.matched else parent.interface
        file.set(section, "parent", word, parent.leaf)


def _type(device: Device) -> str:
    """Return the type of the connection (nm-settings, connection.type)."""
    if device.kind == "ethernets" and "infiniband-mode" in device.branch:
        return "infiniband"
    if device.kind == "modems":
        return network_manager_wireless.modem_type(device)
    if device.is_loopback:
        return "loopback"
    mode = device.text("mode")
    return TYPES.get(device.kind) or (mode if mode in {"wireguard", "vxlan"} else "ip-tunnel")


def _hardware_section(device: Device) -> str:
    """Return the section for the MTU and the hardware address."""
    type = _type(device)
    return type if type in {"infiniband", "wifi", "wireguard", "ip-tunnel", "loopback", "gsm", "cdma"} else "ethernet"


def _connection(device: Device, file: SectionFile, identity: str) -> None:
    place = device.place
    file.set("connection", "id", keyfile_text(f"ordain-{identity}"), place)
    file.set("connection", "uuid", connection_uuid(device.kind, identity), place)
    file.set("connection", "type", _type(device), place)
    name = device.interface
    if name and not set(name) & GLOB:
        file.set("connection", "interface-name", name, place)
    if device.has_pattern:
        why = "`match` may find several interfaces, and a device that names its interface comes first"
        file.set_default("connection", "multi-connect", "3", why)  # NM_CONNECTION_MULTI_CONNECT_MULTIPLE
        file.set_default("connection", "autoconnect-priority", "-1", why)
    if activation := device.branch.leaf("activation-mode"):
        if activation.value == "off":
            file.unsupported(activation, "activation-mode: off")
        file.set("connection", "autoconnect", "false", activation)
    if device.master:
        file.set("connection", "master", device.master.name, device.master.leaf)
        file.set("connection", "slave-type", device.master_kind, device.master.leaf)
    elif device.vrf:
        file.set("connection", "master", device.vrf.name, device.vrf.leaf)
        file.set("connection", "slave-type", "vrf", device.vrf.leaf)


def _hardware(device: Device, file: SectionFile) -> None:
    branch, match, section = device.branch, device.branch.branch("match"), _hardware_section(device)
    if address := match.leaf("macaddress"):
        if (len(str(address.value)) > LENGTH_OF_MAC) != (section == "infiniband"):
            what = "NetworkManager finds InfiniBand by an address of 20 bytes, and other devices by one of 6"
            file.block(address, what, "correct it, or set infiniband-mode", "Renderer")
        file.set(section, "mac-address", str(address.value), address)
    if wake := branch.leaf("wakeonlan"):
        file.set("ethernet", "wake-on-lan", "64" if wake.value is True else "0", wake)  # NM_..._WAKE_ON_LAN_MAGIC
    if mac := branch.leaf("macaddress"):
        if section not in {"ethernet", "wifi"}:
            file.unsupported(mac, "macaddress of this kind of device")
        file.set(section, "cloned-mac-address", one_zero(mac.value), mac)
    if mtu := branch.leaf("mtu"):
        if section == "infiniband" and int(str(mtu.value)) > INFINIBAND_MTU:
            what = f"the MTU of IP over InfiniBand is at most {INFINIBAND_MTU}"
            file.block(mtu, what, "write a smaller number", "Renderer")
        file.set(section, "mtu", str(mtu.value), mtu)
    if functions := branch.leaf("virtual-function-count"):
        file.set("sriov", "total-vfs", one_zero(functions.value), functions)
    if auth := branch.branch("auth"):
        network_manager_wireless.add_login(auth, file)
    if (name := match.leaf("name")) and "set-name" not in branch and set(str(name.value)) & GLOB:
        file.set("match", "interface-name", f"{name.value};", name)
    if drivers := match.leaf("driver"):
        file.set("match", "driver", "".join(f"{driver};" for driver in texts(drivers)), drivers)


def _no_section(device: Device, file: SectionFile) -> None:
    """Add nothing: the kind has no section of its own."""


def _ethernet(device: Device, file: SectionFile) -> None:
    file.set_each("infiniband", device.branch, {"infiniband-mode": ("transport-mode", one_zero)})


def _partition(device: Device, file: SectionFile) -> None:
    """Add a partition of InfiniBand, whose interface name NetworkManager makes of the device below and the key."""
    branch = device.branch
    mode = branch.leaf("infiniband-mode")
    if mode:
        file.set("infiniband", "transport-mode", one_zero(mode.value), mode)
    else:
        file.set_default("infiniband", "transport-mode", "datagram", "NetworkManager needs a mode")
    key, parent = branch.leaf("partition-key"), device.parent
    if not key or not parent:
        return
    number = int(str(key.value)) | 0x8000  # the bit of full members
    name = f"{parent.interface}.{number:04x}"
    if not parent.interface or set(parent.interface) & GLOB:
        file.unsupported(parent.leaf, "a partition of a device without `set-name`, whose interface name is not known")
    elif device.name != name:
        file.block(
            device.place, f"NetworkManager gives the partition the name {name}", f"rename it to {name}", "Renderer"
        )
    file.set("infiniband", "p-key", str(number), key)
    file.set("infiniband", "parent", parent.interface or parent.name, parent.leaf)


def _bond(device: Device, file: SectionFile) -> None:
    parameters = device.branch.branch("parameters")
    for name, value, leaf in bond_options(parameters):
        file.set("bond", name, value, leaf)
    for leaf, what, hint in unused_options(parameters):
        file.block(leaf, f"NetworkManager refuses the bond: {what}", hint, "Renderer")
    if doubt := unmonitored(parameters, by_default=True):  # NetworkManager's miimon is 100
        file.warn(*doubt)
    if primary := parameters.leaf("primary"):
        interface = next((port.interface for port in device.members if port.name == primary.value), "")
        if parameters.value("mode") in {"balance-tlb", "balance-alb"}:
            file.unsupported(primary, "a primary port in a mode other than active-backup")
        elif not interface or set(interface) & GLOB:
            file.unsupported(primary, "a primary port without `set-name`, whose interface name is not known")
        else:
            file.set("bond", "primary", interface, primary)


def _bridge(device: Device, file: SectionFile) -> None:
    parameters = device.branch.branch("parameters")
    file.set_each("bridge", parameters, BRIDGE)
    file.set_each("bridge", parameters, {"stp": ("stp", true_false)})
    if "stp" not in parameters:
        has_parameters = "parameters" in device.branch
        why = f"as netplan does {'with' if has_parameters else 'without'} parameters"
        file.set_default("bridge", "stp", true_false(has_parameters), why)


def _port(device: Device, file: SectionFile) -> None:
    for key, name in (("path-cost", "path-cost"), ("port-priority", "priority")):
        if leaf := device.port.get(key):
            file.set("bridge-port", name, one_zero(leaf.value), leaf)
    if device.master_kind == "bridge":
        file.set_each("bridge-port", device.branch, {"hairpin": ("hairpin-mode", true_false)})


def _vlan(device: Device, file: SectionFile) -> None:
    file.set_each("vlan", device.branch, {"id": ("id", one_zero)})
    _set_parent(device, file, "vlan")


def _vrf(device: Device, file: SectionFile) -> None:
    file.set_each("vrf", device.branch, {"table": ("table", one_zero)})


def _veth(device: Device, file: SectionFile) -> None:
    file.set_each("veth", device.branch, {"peer": ("peer", one_zero)})


def _tunnel(device: Device, file: SectionFile) -> None:
    {"wireguard": _wireguard, "vxlan": _vxlan}.get(device.text("mode"), _ip_tunnel)(device, file)


def _ip_tunnel(device: Device, file: SectionFile) -> None:
    branch = device.branch
    mode = str(TUNNEL_MODES[device.text("mode")])
    file.set("ip-tunnel", "mode", mode, branch.leaf("mode") or device.place)
    file.set_each("ip-tunnel", branch, {key: (key, one_zero) for key in ("local", "remote", "ttl")})
    for end, name in (("input", "input-key"), ("output", "output-key")):
        if leaf := branch.branch("keys").leaf(end) or branch.leaf("key"):
            key = str(leaf.value)
            file.set("ip-tunnel", name, str(int(ipaddress.IPv4Address(key))) if "." in key else key, leaf)


def _vxlan(device: Device, file: SectionFile) -> None:
    file.set_each("vxlan", device.branch, {"id": ("id", one_zero)})
    _set_parent(device, file, "vxlan")
    file.set_each("vxlan", device.branch, VXLAN)
    if misses := device.branch.leaf("notifications"):
        for name in texts(misses):
            file.set("vxlan", name, "true", misses)
    if ports := device.branch.leaf("port-range"):
        for name, port in zip(("source-port-min", "source-port-max"), texts(ports), strict=False):
            file.set("vxlan", name, port, ports)


def _wireguard(device: Device, file: SectionFile) -> None:
    if key := private_key(device):
        if not is_secret_text(str(key.value)):
            file.unsupported(key, "a private key in a separate file")
        file.set("wireguard", "private-key", str(key.value), key)
    file.set_each("wireguard", device.branch, {"port": ("listen-port", one_zero), "mark": ("fwmark", one_zero)})
    why = "the only routes are those of the documents"
    file.set_default("wireguard", "peer-routes", "false", why)
    file.set_default("wireguard", "ip4-auto-default-route", "0", why)
    file.set_default("wireguard", "ip6-auto-default-route", "0", why)
    for peer in device.peers:
        section = f"wireguard-peer.{peer.public}"
        file.begin(section)
        if peer.shared:
            if not is_secret_text(peer.shared):
                file.unsupported(peer.leaf, "a preshared key in a separate file")
            file.set(section, "preshared-key", peer.shared, peer.leaf)
            file.set(section, "preshared-key-flags", "0", peer.leaf)
        if peer.endpoint:
            file.set(section, "endpoint", peer.endpoint, peer.leaf)
        file.set(section, "allowed-ips", "".join(f"{net};" for net in peer.allowed) or ";", peer.leaf)
        if peer.keepalive:
            file.set(section, "persistent-keepalive", str(peer.keepalive), peer.leaf)


_KINDS: Mapping[str, Callable[[Device, SectionFile], None]] = {
    "ethernets": _ethernet,
    "infiniband-partitions": _partition,
    "modems": network_manager_wireless.add_modem,
    "dummy-devices": _no_section,
    "virtual-ethernets": _veth,
    "bonds": _bond,
    "bridges": _bridge,
    "vlans": _vlan,
    "vrfs": _vrf,
    "tunnels": _tunnel,
}
"""The function that adds the section of a kind."""
