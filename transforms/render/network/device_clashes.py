"""Checks of devices against each other: circles, two devices where the kernel allows one, ports that it refuses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ordain.transforms.errors import Problem, Severity, first_few
from ordain.transforms.model import Leaf
from ordain.transforms.render.network.devices import GLOB, Device, problem

WITHOUT_ETHERNET = frozenset({"gre", "ip6gre", "ip6ip6", "ipip", "ipip6", "sit", "vti", "vti6", "wireguard"})
"""Modes of tunnels that carry no Ethernet frames, so that no bridge or bond takes them as a port."""
MAIN_TABLE = 254
MOST_LEVELS = 8
"""MAX_NEST_DEV of the kernel."""


def check(devices: Sequence[Device]) -> dict[str, list[Problem]]:
    """Return the problems that devices have because of each other, by pointer."""
    by_name = {device.name: device for device in devices}
    owners: dict[tuple[str, ...], Device] = {}
    routes: dict[DefaultRoute, Device] = {}
    addresses: dict[tuple[str, str], Device] = {}
    problems: dict[str, list[Problem]] = {}
    for device in sorted(devices, key=lambda device: device.pointer):
        problems[device.pointer] = [
            *_circle(device, by_name),
            *_twins(device, owners),
            *_port(device),
            *_mtu(device, by_name),
            *_default_routes(device, routes),
            *_addresses(device, addresses),
        ]
    return problems


DefaultRoute = tuple[int, int, int | None]
"""IP version, table and metric."""


def _circle(device: Device, by_name: Mapping[str, Device]) -> Iterator[Problem]:
    """Check that the device is not stacked on itself, nor on more devices than the kernel allows."""
    seen: set[str] = set()
    level = {device.name}
    for _ in range(MOST_LEVELS):
        level = {name for above in sorted(level) if above in by_name for name in by_name[above].below} - seen
        if device.name in level:
            others = ", ".join(first_few(sorted(seen), "devices")) or device.name
            yield problem(
                device, device.place, f"it needs itself: it is linked with {others}", "remove a link", "Cycle"
            )
            return
        seen |= level
    if level:
        what = f"it is stacked on more than {MOST_LEVELS} others, which the kernel does not allow"
        yield problem(device, device.place, what, "stack fewer devices")


def _twins(device: Device, owners: dict[tuple[str, ...], Device]) -> Iterator[Problem]:
    """Check that no device in ``owners`` has what the kernel gives only once; add what ``device`` has."""
    for identity, leaf, what in _identities(device):
        other = owners.setdefault(identity, device)
        if other is not device:
            hint = f"change one of them; the other is {other.pointer}"
            yield problem(device, leaf, f"{other.name} {what}", hint, "Clash")


def _identities(device: Device) -> Iterator[tuple[tuple[str, ...], Leaf, str]]:
    """Yield what must be unique about a device, with its leaf and the words about another that has the same."""
    text, branch, place = device.text, device.branch, device.place
    match = branch.branch("match")
    if not device.virtual:
        mac = match.leaf("macaddress")
        if mac and "name" not in match and "driver" not in match:
            yield ("mac", str(mac.value).lower()), mac, "matches the same interface"
        elif device.interface and not set(device.interface) & GLOB and device.kind == "ethernets":
            yield ("name", device.interface), branch.leaf("set-name") or place, "is about the same interface"
    if device.kind == "vlans" and (number := branch.leaf("id")):
        yield ("vlan", text("link"), str(number.value)), number, "has the same id on the same device"
    if device.kind == "infiniband-partitions" and (key := branch.leaf("partition-key")):
        yield ("pkey", text("link"), str(int(str(key.value)) | 0x8000)), key, "has the same key on the same device"
    if device.kind == "vrfs" and (table := branch.leaf("table")):
        yield ("table", str(table.value)), table, "has the same routing table"
    mode = text("mode") if device.kind == "tunnels" else ""
    if mode == "vxlan" and (number := branch.leaf("id")):
        yield ("vxlan", str(number.value), text("link"), text("port")), number, "has the same id"
    elif mode == "wireguard" and (port := branch.leaf("port")):
        yield ("port", str(port.value)), port, "listens on the same port"
    elif mode and mode not in {"vxlan", "wireguard"} and (remote := branch.leaf("remote")):
        keys = branch.branch("keys")
        ends = (text("local"), str(remote.value), text("key"), str(keys.value("input")), str(keys.value("output")))
        yield ("tunnel", mode, *ends), remote, "has the same ends"


def _port(device: Device) -> Iterator[Problem]:
    """Check that the kernel accepts the device as a port of its bond or bridge."""
    if not device.master:
        return
    reason = ""
    if device.kind == "tunnels" and device.text("mode") in WITHOUT_ETHERNET:
        reason = f"a tunnel of mode {device.text('mode')} carries no Ethernet frames"
    elif device.kind == "bridges" and device.master_kind == "bridge":
        reason = "a bridge cannot be a port of a bridge"
    elif device.kind in {"vrfs", "infiniband-partitions", "modems"}:
        reason = f"no device of {device.kind} can be a port"
    if reason:
        what = f"it cannot be a port of {device.master.name}: {reason}"
        yield problem(device, device.master.leaf, what, "remove it from `interfaces`")


def _mtu(device: Device, by_name: Mapping[str, Device]) -> Iterator[Problem]:
    """Check that a VLAN has no larger packets than the device below (the kernel's vlan_dev_change_mtu)."""
    below = by_name.get(device.parent.name) if device.parent else None
    mtu = device.branch.leaf("mtu")
    limit = below.branch.leaf("mtu") if below and device.kind == "vlans" else None
    if below and mtu and limit and int(str(mtu.value)) > int(str(limit.value)):
        what = f"the MTU {mtu.value} is larger than that of {below.name}, {limit.value}"
        yield problem(device, mtu, what, f"write at most {limit.value}")


def _default_routes(device: Device, routes: dict[DefaultRoute, Device]) -> Iterator[Problem]:
    """Warn of two default routes of which the kernel uses only one, as netplan does; add those of ``device``."""
    for route, leaf in _defaults(device):
        other = routes.get(route)
        if other is not None:
            owner = "the device" if other is device else other.name
            another = "another" if other is device else "a"
            what = f"{owner} has {another} default route of IPv{route[0]} with the same metric, in the same table"
            hint = "give one of them another `metric` or `table`"
            yield replace(problem(device, leaf, what, hint), severity=Severity.WARNING)
        routes.setdefault(route, device)


def _addresses(device: Device, owners: dict[tuple[str, str], Device]) -> Iterator[Problem]:
    """Warn of an address that another device has, too, unless they are in different VRFs; add those of ``device``."""
    for address in device.addresses:
        ip = ipaddress.ip_interface(address.address).ip
        if ip.is_link_local:
            continue  # each link has its own
        other = owners.setdefault((str(ip), device.vrf.name if device.vrf else ""), device)
        if other is not device:
            what = f"{other.name} has the address {ip}, too"
            hint = f"change one of them; the other is {other.pointer}"
            yield replace(problem(device, address.leaf, what, hint, "Clash"), severity=Severity.WARNING)


def _defaults(device: Device) -> Iterator[tuple[DefaultRoute, Leaf]]:
    """Yield each default route with its leaf."""
    for route in device.routes:
        if route.to in {"0.0.0.0/0", "::/0"} or (route.to == "default" and route.via):
            yield (route.version, route.options.get("table", MAIN_TABLE), route.options.get("metric")), route.leaf
    for version in (4, 6):
        if leaf := device.branch.leaf(f"gateway{version}"):
            yield (version, MAIN_TABLE, None), leaf
