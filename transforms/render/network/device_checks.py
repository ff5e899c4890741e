"""What holds for a network device whatever renders it: keys that need each other, families, names."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import replace

from ordain.transforms.document import network_formats
from ordain.transforms.errors import Problem, Severity
from ordain.transforms.model import Leaf
from ordain.transforms.render.network.devices import Device, is_secret_text, private_key, problem

WITH_KEYS = frozenset({"gre", "gretap", "ip6gre", "ip6gretap", "vti", "vti6"})
OVER_IPV6 = frozenset({"ip6gre", "ip6gretap", "ip6ip6", "ipip6", "vti6"})


def check(device: Device, devices: tuple[Device, ...]) -> Iterator[Problem]:
    """What is wrong with ``device``, which is one of ``devices``, whatever renders it."""
    if any(found.code == "Schema" for found in device.problems):
        return  # strings that are not what they should be
    branch, here = device.branch, device.here
    if not device.virtual:
        yield from _found(device)
    for key in ("gateway4", "gateway6"):
        if old := branch.leaf(key):
            what = f"{key} is deprecated"
            hint = f"write routes: [{{to: default, via: {old.value}}}]"
            warning = Severity.WARNING
            yield Problem(where=old.where, what=what, hint=hint, code="Deprecated", severity=warning)
    for route in device.routes:
        if route.to == "default":
            yield problem(
                device, route.leaf, "a route to default without `via`: IPv4 or IPv6?", "to: 0.0.0.0/0 or ::/0"
            )
        elif len({network_formats.version(text) for text in (route.to, route.via, route.source) if text}) > 1:
            yield problem(device, route.leaf, "the addresses of a route are of one family", "IPv4 or IPv6")
    for rule in device.rules:
        if len({network_formats.version(text) for text in (rule.to, rule.source) if text}) > 1:
            yield problem(device, rule.leaf, "the addresses of a rule are of one family", "IPv4 or IPv6")
        if not rule.source and not rule.to and not {"mark", "type-of-service"} & rule.options.keys():
            yield problem(device, rule.leaf, "a rule says which packets", "from, to, mark or type-of-service")
    for address in device.addresses:
        if address.label and address.version == 6:
            yield problem(device, address.leaf, "an IPv6 address has no label")
    needs = {"vlans": ("id", "link"), "vrfs": ("table",), "tunnels": ("mode",), "virtual-ethernets": ("peer",)}
    for key in needs.get(device.kind, ()):
        if not branch.leaf(key):
            yield problem(device, here, f"the key {key} is missing")
    if device.kind == "tunnels":
        yield from _tunnel(device)
    if device.kind == "virtual-ethernets":
        peer = next((d for d in devices if d.name == device.text("peer")), None)
        if peer and peer.kind == device.kind and peer.text("peer") != device.name:
            yield problem(device, here, f"{peer.name} does not name it as its `peer`")
        elif peer and peer.kind != device.kind:
            yield problem(device, here, f"{peer.name} is not one of network/virtual-ethernets")


def _found(device: Device) -> Iterator[Problem]:
    """Whether a device that is there can be found."""
    match = device.branch.branch("match")
    if not match:
        try:
            network_formats.interface(device.name)
        except ValueError as error:
            what = f"{device.name!r} is not an interface name, and nothing else says which interface it is"
            yield problem(device, device.here, what, f"{error}; or add `match`")
        if leaf := device.branch.leaf("set-name"):
            yield problem(device, leaf, "set-name needs `match`", "say which interface is to have the name")


def _tunnel(device: Device) -> Iterator[Problem]:
    branch, mode = device.branch, device.text("mode")
    remote, local = branch.leaf("remote"), branch.leaf("local")
    keys = [leaf for leaf in (branch.leaf("key"), *branch.branch("keys").children.values()) if isinstance(leaf, Leaf)]
    if mode == "wireguard":
        if not private_key(device):
            yield problem(device, device.here, "a WireGuard tunnel needs a key", "key, or keys: {private: …}")
        yield from _told(device)
        for peer in device.peers:
            if not peer.public:
                yield problem(device, peer.leaf, "a peer needs its public key", "keys: {public: …}")
        return
    for key in ("peers", "mark", *(() if mode == "vxlan" else ("port",))):
        if leaf := branch.leaf(key):
            yield problem(device, leaf, f"{key} means nothing to a tunnel of mode {mode}")
    if mode == "vxlan":
        if not branch.leaf("id"):
            yield problem(device, device.here, "the key id is missing", "the VXLAN id")
        return
    if not remote:
        yield problem(device, device.here, "the key remote is missing", "the address of the other end")
    for end in (remote, local):
        if end and (network_formats.version(str(end.value)) == 6) != (mode in OVER_IPV6):
            yield problem(device, end, f"a tunnel of mode {mode} has IPv{6 if mode in OVER_IPV6 else 4} ends")
    for leaf in keys:
        if mode not in WITH_KEYS:
            yield problem(device, leaf, f"a tunnel of mode {mode} has no key")
        elif not _number_or_ipv4(str(leaf.value)):
            yield problem(device, leaf, f"the key of a tunnel of mode {mode} is a number or an IPv4 address")


def _told(device: Device) -> Iterator[Problem]:
    """A secret that stands in a document although its renderer reads files."""
    key = private_key(device)
    if device.renderer == "networkd" and key and is_secret_text(str(key.value)):
        what = "whoever reads the documents knows this private key"
        found = problem(device, key, what, "keys: {private: /path/of/a/file}", "Secret")
        yield replace(found, severity=Severity.WARNING)


def _number_or_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text if "." in text else int(text))
    except ValueError:
        return False
    return True
