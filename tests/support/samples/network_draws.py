"""Random sections ``network``, drawn from the shapes of the language: every key, alone and with others of its kind.

Most draws say nothing sensible. That is their use: a renderer either refuses a device, or writes files that the program
they are for understands whole.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

from ordain.transforms.document.keys.network_keys import ALIASES, COMMON, KINDS
from ordain.transforms.document.keys.network_shapes import Addresses, FlagOr, Rows
from ordain.transforms.document.keys.shapes import Choice, Flag, Integer, Map, Record, Sequence, Shape, String

SHARE = 0.2
"""The probability of each key of a device."""
KEY = "4GgaQCy68nzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8="
TEXTS: dict[str, tuple[str, ...]] = {
    "access-point-name": ("internet",),
    "address-kind": ("ipv4-ll", "dhcp4"),
    "bridge-interval": ("1", "5", "20", "40", "100", "2s", "300ms", "5min"),
    "country": ("DE", "00"),
    "digits": ("1234", "310260"),
    "domain": ("web-1", "example.com"),
    "driver": ("virtio_net", "e1000*"),
    "file": ("/etc/ssl/ca.pem",),
    "free-text": ("secret", " a blank ", "a;b", 'q"uote', "back\\slash", "#hash", "=", "sixteen letters!"),
    "host-and-port": ("192.0.2.7:51820", "[2001:db8::7]:51820", "vpn.example.com:51820"),
    "interface-address": ("192.0.2.2/24", "2001:db8::2/64", "198.51.100.2/32"),
    "interface-glob": ("eth0", "en*"),
    "interface-label": ("eth0:1",),
    "ip": ("192.0.2.9", "2001:db8::9", "198.51.100.9", "224.0.0.5"),
    "ip-family": ("ipv4", "ipv6"),
    "ipv4": ("192.0.2.1", "192.0.2.9"),
    "ipv6": ("2001:db8::1", "::2", "fe80::1"),
    "mac": ("52:54:00:12:34:56",),
    "mac-or-policy": ("52:54:00:12:34:57", "random", "stable", "permanent"),
    "network": ("192.0.2.0/24", "2001:db8::/64", "0.0.0.0/0", "198.51.100.1"),
    "operator": ("25409", "310260"),
    "port": ("42", "4200", "65535"),
    "route-destination": ("default", "198.51.100.0/24", "2001:db8:1::/48", "198.51.100.7", "0.0.0.0/0"),
    "search-domain": ("example.com", "~example.net"),
    "tunnel-key": ("7", "192.0.2.9", KEY),
    "vxlan-checksum": ("udp", "zero-udp6-tx", "remote-rx"),
    "vxlan-extension": ("group-policy",),
    "vxlan-miss": ("l2-miss", "l3-miss"),
    "wake-on-wlan": ("any", "magic_pkt"),
    "wireguard-key": ("M9nt4YujIOmNrRmpIRTmYSfMdrpvE7u6WkG8FY8WjG4=",),
    "wireguard-secret": (KEY, "/etc/wireguard/key"),
    "network-word": ("mschapv2", "da812de91eec16620b06"),
}
"""Values for each format of a string."""
SSIDS = ("home", "a blank", " at an end", "1;2;3", "semi;colon", "back\\slash", "[section]", "a/b")
NAMES = {"ethernets": "eth", "bonds": "bo", "bridges": "br", "vlans": "v", "tunnels": "tu", "vrfs": "vr"}
DEVICE_KEYS = frozenset({"interfaces", "link", "peer", "primary", "path-cost", "port-priority", "renderer", "set-name"})
"""Keys that are not drawn by their shape, because they name devices or concern all of them."""


def section(seed: int, without: Collection[str] = ()) -> dict[str, Any]:
    """Return a section with a device of some kind, and the devices that it needs, none with a key in ``without``."""
    rng = random.Random(seed)
    drawn: dict[str, Any] = _without(_section(rng), frozenset(without))
    return drawn


def _without(value: Any, keys: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner, keys) for key, inner in value.items() if key not in keys}
    return [_without(inner, keys) for inner in value] if isinstance(value, list) else value


def _section(rng: random.Random) -> dict[str, Any]:
    ethernets: dict[str, Any] = {"eth0": _device(rng, "ethernets", SHARE / 4), "eth1": {}}
    if rng.random() < 0.3:
        ethernets["eth1"] = {"match": {"macaddress": "52:54:00:00:00:01"}, "dhcp4": True}
    drawn: dict[str, Any] = {"ethernets": ethernets}
    kind = rng.choice(sorted(KINDS))
    name = f"{NAMES.get(kind, 'x')}0"
    drawn.setdefault(kind, {})[name] = device = _device(rng, kind, SHARE)
    keys = KINDS[kind][0]
    if "link" in keys and (kind != "ethernets") and rng.random() < 0.8:
        device["link"] = rng.choice(("eth0", "eth1"))
    if "interfaces" in keys and rng.random() < 0.8:
        device["interfaces"] = rng.sample(["eth0", "eth1"], rng.randint(1, 2))
        parameters = device.get("parameters", {})
        if kind == "bonds" and rng.random() < 0.3:
            device["parameters"] = {**parameters, "primary": rng.choice(("eth0", "eth1"))}
        if kind == "bridges" and rng.random() < 0.3:
            device["parameters"] = {**parameters, "path-cost": {rng.choice(("eth0", "eth1")): rng.randint(1, 65535)}}
    if kind == "virtual-ethernets":
        device["peer"] = "x1"
        drawn[kind]["x1"] = {"peer": name}
    for key in REQUIRED.get(kind, ()):
        device.setdefault(key, _value(rng, keys[key]))
    if kind == "tunnels" and rng.random() < 0.8:
        _make_sensible(rng, device)
    return drawn


REQUIRED = {
    "vlans": ("id",),
    "vrfs": ("table",),
    "tunnels": ("mode", "remote", "local", "id"),
    "infiniband-partitions": ("partition-key",),
    "wifis": ("access-points",),
}


def _make_sensible(rng: random.Random, tunnel: dict[str, Any]) -> None:
    """Leave out the keys that the mode of ``tunnel`` does not have, and give both ends one family."""
    mode = tunnel["mode"]
    foreign = {"wireguard": VXLAN_KEYS, "vxlan": WIREGUARD_KEYS}.get(mode, VXLAN_KEYS | WIREGUARD_KEYS)
    for key in foreign:
        tunnel.pop(key, None)
    if mode == "wireguard":
        tunnel["keys"] = {"private": KEY}
    elif mode != "vxlan":
        ends = ("2001:db8::2", "2001:db8::3") if "6" in mode else ("192.0.2.2", "192.0.2.3")
        tunnel["local"], tunnel["remote"] = ends
        if rng.random() < 0.3 and mode in {"gre", "gretap", "ip6gre", "ip6gretap", "vti", "vti6"}:
            tunnel["key"] = rng.choice(("7", "192.0.2.9"))


WIREGUARD_KEYS = {"peers", "mark", "keys", "key"}
VXLAN_KEYS = set(
    """
    mac-learning ageing limit arp-proxy notifications short-circuit type-of-service checksums extensions port-range
    flow-label do-not-fragment id link
    """.split()
)


def _device(rng: random.Random, kind: str, share: float) -> dict[str, Any]:
    """Return a device with the keys of its kind, and fewer of those that all devices have."""
    keys = KINDS[kind][0]
    own = {key: shape for key, shape in keys.items() if key not in COMMON}
    return _record(rng, COMMON, share / 2) | _record(rng, own, max(share, 2 * share if own else 0))


def _record(rng: random.Random, keys: dict[str, Shape] | Any, share: float) -> dict[str, Any]:
    chosen = [key for key in keys if key not in DEVICE_KEYS and key not in ALIASES and rng.random() < share]
    return {key: _value(rng, keys[key]) for key in chosen}


def _value(rng: random.Random, shape: Shape) -> Any:
    match shape:
        case Flag():
            return rng.random() < 0.5
        case FlagOr(words=words):
            return rng.choice((True, False, *words))
        case Integer(least=least, most=most):
            return rng.choice((least, rng.randint(least, min(most, least + 40)), rng.randint(least, most)))
        case Choice(words=words):
            return rng.choice(words)
        case String():
            return rng.choice(TEXTS[shape.format])
        case Sequence(item=item):
            return [_value(rng, item) for _ in range(rng.randint(1, 2))]
        case Addresses():
            return rng.sample(TEXTS["interface-address"], rng.randint(1, 2))
        case Rows(of=of, needs=needs):
            row = {key: _value(rng, of.keys[key]) for key in needs} | _record(rng, of.keys, 0.3)
            return [row]
        case Map(of=of):
            return {rng.choice(SSIDS) if shape.format == "ssid" else "x0": _value(rng, of)}
        case Record(keys=keys):
            return _record(rng, keys, 0.4)
    raise AssertionError(shape)
