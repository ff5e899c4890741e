"""Values of a device that its program takes, and that the kernel refuses or that surely mean something else.

Each was tried with systemd-networkd 257 and the kernel (docs/design/systemd.md, fact 45).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Leaf
from ordain.transforms.render.network.devices import Device, problem, texts
from ordain.transforms.systemd.checks.doubtful_values import of_span
from ordain.transforms.systemd.values import INFINITY, timespan

_DSCP = 0x1C
"""The bits of the type of service that a rule may match (fib4_rule_configure() of the kernel)."""
_DSCP_OF_IPV6 = 0xFC
_HOSTS = {"0.0.0.0": "0.0.0.0/0", "::": "::/0"}
_LONGEST_MSEC = 2**31 - 1
"""The longest time of a bond: the kernel has it in an int, in milliseconds."""
_TIMES = ("mii-monitor-interval", "arp-interval", "up-delay", "down-delay", "learn-packet-interval")


def doubts(device: Device, devices: Iterable[Device]) -> Iterator[Problem]:
    """Yield the problems with values of ``device``, which is one of ``devices``."""
    yield from _addresses(device)
    yield from _names(device)
    yield from _routes(device, tuple(devices))
    yield from _rules(device)
    yield from _hardware(device)
    yield from _times(device)


def _warning(device: Device, leaf: Leaf, what: str, hint: str) -> Problem:
    return replace(problem(device, leaf, what, hint, "Doubtful"), severity=Severity.WARNING)


def _addresses(device: Device) -> Iterator[Problem]:
    """Yield the addresses that the kernel refuses, or that belong to no host."""
    for address in device.addresses:
        interface = ipaddress.ip_interface(address.address)
        ip, network = interface.ip, interface.network
        if ip.is_loopback and not device.is_loopback:
            what = f"{address.address} is an address of the loopback device"
            if ip.version == 6:  # else the kernel takes it
                yield problem(device, address.leaf, f"{what}, and the kernel refuses it here", "write it for lo")
            else:
                yield _warning(device, address.leaf, what, "write an address of the network, or write it for lo")
        elif isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            what = f"{address.address} stands for an IPv4 address, and no packet has it"
            yield _warning(device, address.leaf, what, f"write {ip.ipv4_mapped} with its prefix length")
        elif ip == network.network_address and network.prefixlen < network.max_prefixlen - 1:
            kind = "the address of the network" if ip.version == 4 else "the address of all routers of the network"
            what = f"{address.address} is {kind}, and not that of a host"
            hint = f"write the address of this machine, such as {ip + 1}/{network.prefixlen}"
            yield _warning(device, address.leaf, what, hint)
        elif ip.version == 4 and ip == network.broadcast_address and network.prefixlen < 31:
            what = f"{address.address} is the broadcast address of the network, and not that of a host"
            yield _warning(device, address.leaf, what, "write the address of this machine")


def _names(device: Device) -> Iterator[Problem]:
    """Yield servers that no query can be sent to, and addresses in place of names."""
    for key, kind in (("addresses", "server"), ("search", "domain")):
        leaf = device.branch.branch("nameservers").leaf(key)
        for text in texts(leaf):
            ip = _ip(text)
            if leaf and kind == "domain" and ip:
                yield _warning(device, leaf, f"the search domain {text} is an address", "write it in `addresses`")
            elif leaf and kind == "server" and ip and not _is_host(ip):
                yield _warning(device, leaf, f"{text} is not the address of a server", "write the address of one host")
    for key in ("dhcp4-overrides", "dhcp6-overrides"):
        name = device.branch.branch(key).leaf("hostname")
        if name and _ip(str(name.value)):
            what = f"the host name {name.value} is an address"
            yield _warning(device, name, what, "write a name, or remove it: the host name of the machine is sent")


def _routes(device: Device, devices: tuple[Device, ...]) -> Iterator[Problem]:
    """Yield routes to one host that mean all, and source addresses that no device has."""
    for route in device.routes:
        yield from _one_host(device, route.leaf, route.to)
        source = _ip(route.source)
        if source and (not _is_host(source) or not _has_source(source, devices)):
            what = f"no device has the source address {source} of a route, so that the route is never added"
            yield _warning(device, route.leaf, what, "write an address of this machine in `from`, or remove it")


def _has_source(source: ipaddress.IPv4Address | ipaddress.IPv6Address, devices: tuple[Device, ...]) -> bool:
    """Return whether a device has an address, or could get it from a server or a router."""
    for device in devices:
        if device.flag(f"dhcp{source.version}") or device.is_loopback:
            return True
        by_router = source.version == 6 and device.branch.value("accept-ra") is not False
        if by_router or source.is_link_local or source.is_loopback:
            return True
        if any(ipaddress.ip_interface(address.address).ip == source for address in device.addresses):
            return True
    return False


def _rules(device: Device) -> Iterator[Problem]:
    for rule in device.rules:
        for text in (rule.source, rule.to):
            yield from _one_host(device, rule.leaf, text)
        tos = rule.options.get("type-of-service")
        allowed = _DSCP_OF_IPV6 if ":" in (rule.source or rule.to) else _DSCP
        if isinstance(tos, int) and tos & ~allowed:
            what = f"the kernel refuses a rule for the type of service {tos}, and with it the device fails"
            yield problem(device, rule.leaf, what, f"write a number with bits of {allowed} only, such as 16")


def _one_host(device: Device, leaf: Leaf, text: str) -> Iterator[Problem]:
    """Yield a warning for 0.0.0.0 without a prefix length."""
    if text in _HOSTS:
        what = f"{text} without a prefix length is one host, which nobody is"
        yield _warning(device, leaf, what, f"write {_HOSTS[text]} for all")


def _hardware(device: Device) -> Iterator[Problem]:
    leaf = device.branch.branch("match").leaf("macaddress")
    octets = [int(octet, 16) for octet in str(leaf.value).split(":")] if leaf else []
    if leaf and len(octets) == 6 and (octets[0] & 1 or not any(octets)):
        what = f"no interface has the MAC address {leaf.value}: it is a multicast address or zero"
        yield _warning(device, leaf, what, "`ip link` shows those of this machine")
    mtu, most = device.branch.leaf("ipv6-mtu"), device.branch.value("mtu", 65535)
    if mtu and isinstance(mtu.value, int) and isinstance(most, int) and mtu.value > most:
        what = f"the kernel refuses an MTU of IPv6 above that of the device, {most}"
        yield _warning(device, mtu, what, f"write {most} at most")


def _times(device: Device) -> Iterator[Problem]:
    for key in _TIMES:
        leaf = device.branch.branch("parameters").leaf(key)
        if not leaf:
            continue
        text = str(leaf.value)
        usec = timespan(text, 1_000_000 if key == "learn-packet-interval" else 1000)
        what, hint = of_span(key, text)
        if usec == INFINITY or usec // 1000 > _LONGEST_MSEC:
            hint = hint or "write a shorter time"
            yield problem(device, leaf, f"{key} {text} is longer than the kernel takes", hint)
        elif what:
            yield _warning(device, leaf, what, hint)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _is_host(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return not (ip.is_unspecified or ip.is_multicast or str(ip) == "255.255.255.255")
