"""Values of network devices that a program takes, and that the kernel refuses or that mean something else, are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ordain.transforms.document.keys import network_keys
from ordain.transforms.document.keys.network_shapes import Addresses, Rows
from ordain.transforms.document.keys.shapes import Choice, Flag, Integer, Map, Record, Sequence, Shape
from ordain.transforms.document.reader import read
from support.network.network_compile import Section, compiled
from support.outputs.golden import compare

GOLDEN = Path(__file__).parents[3] / "golden/silent-network-values.txt"
ADDRESS: dict[str, Any] = {"addresses": ["192.0.2.7/24"]}
BOND: dict[str, Any] = {"interfaces": ["eth0"]}


def told(device: Section, renderer: str = "networkd", kind: str = "ethernets", name: str = "eth0") -> list[str]:
    section: dict[str, Any] = {kind: {name: device}}
    if kind != "ethernets":
        section["ethernets"] = {"eth0": {}}
    return [problem.what for problem in compiled(section, renderer)[1] if problem.code != "Needs"]


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ({"addresses": ["192.0.2.1/024"]}, "is not an address"),
        ({"addresses": ["192.0.2.0/24"]}, "is the address of the network"),
        ({"addresses": ["192.0.2.255/24"]}, "is the broadcast address"),
        ({"addresses": ["2001:db8::/64"]}, "is the address of all routers"),
        ({"addresses": ["127.0.0.1/8"]}, "is an address of the loopback device"),
        ({"addresses": ["::1/128"]}, "the kernel refuses it here"),
        ({"addresses": ["::ffff:192.0.2.1/96"]}, "stands for an IPv4 address"),
        (ADDRESS | {"nameservers": {"addresses": ["0.0.0.0"]}}, "is not the address of a server"),
        (ADDRESS | {"nameservers": {"addresses": ["ff02::1"]}}, "is not the address of a server"),
        (ADDRESS | {"nameservers": {"search": ["192.0.2.1"]}}, "the search domain 192.0.2.1 is an address"),
        ({"dhcp4": True, "dhcp4-overrides": {"hostname": "192.0.2.1"}}, "the host name 192.0.2.1 is an address"),
        (ADDRESS | {"routes": [{"to": "0.0.0.0", "via": "192.0.2.1"}]}, "is one host, which nobody is"),
        (
            ADDRESS | {"routes": [{"to": "198.51.100.0/24", "via": "192.0.2.1", "from": "192.0.2.99"}]},
            "no device has the source address 192.0.2.99",
        ),
        (
            {"dhcp4": True, "routes": [{"to": "198.51.100.0/24", "via": "192.0.2.1", "from": "224.0.0.1"}]},
            "no device has the source address 224.0.0.1",
        ),
        (ADDRESS | {"routing-policy": [{"from": "0.0.0.0", "table": 7}]}, "is one host, which nobody is"),
        (
            ADDRESS | {"routing-policy": [{"from": "192.0.2.0/24", "table": 7, "type-of-service": 1}]},
            "the kernel refuses a rule for the type of service 1",
        ),
        (
            ADDRESS | {"routing-policy": [{"from": "192.0.2.0/24", "table": 7, "type-of-service": 224}]},
            "the kernel refuses a rule for the type of service 224",
        ),
        ({"match": {"macaddress": "ff:ff:ff:ff:ff:ff"}, "dhcp4": True}, "no interface has the MAC address"),
        ({"match": {"macaddress": "00:00:00:00:00:00"}, "dhcp4": True}, "no interface has the MAC address"),
        ({"addresses": ["2001:db8::7/64"], "ipv6-mtu": 9000, "mtu": 1500}, "an MTU of IPv6 above that of the device"),
        (ADDRESS | {"mtu": 300}, "with an MTU below 1280"),
    ],
)
def test_a_value_that_cannot_mean_what_it_says_is_told(device: Section, words: str) -> None:
    (what,) = told(device)

    assert words in what


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("mii-monitor-interval", "1M", "longer than the kernel takes"),
        ("mii-monitor-interval", "infinity", "longer than the kernel takes"),
        ("mii-monitor-interval", "99999999999", "longer than the kernel takes"),
    ],
)
@pytest.mark.parametrize("renderer", ["networkd", "NetworkManager", "ifupdown"])
def test_a_time_of_a_bond_that_cannot_be_meant_is_told(key: str, value: str, words: str, renderer: str) -> None:
    (what,) = told(BOND | {"parameters": {key: value}}, renderer, "bonds", "bond0")

    assert words in what


@pytest.mark.parametrize(
    "device",
    [
        {"addresses": ["192.0.2.0/31", "198.51.100.0/32", "2001:db8::/127", "2001:db8::1/128"]},
        {"addresses": ["169.254.1.1/16", "fe80::1/64"], "nameservers": {"addresses": ["127.0.0.1", "fe80::1"]}},
        {"dhcp4": True, "routes": [{"to": "198.51.100.0/24", "via": "192.0.2.1", "from": "192.0.2.99"}]},
        ADDRESS | {"routes": [{"to": "0.0.0.0/0", "via": "192.0.2.1", "from": "192.0.2.7"}]},
        ADDRESS | {"routing-policy": [{"from": "192.0.2.0/24", "table": 7, "type-of-service": 16}]},
        ADDRESS | {"routing-policy": [{"from": "2001:db8::/64", "table": 7, "type-of-service": 224}]},
        ADDRESS | {"mtu": 300, "link-local": []},
        {"addresses": ["2001:db8::7/64"], "ipv6-mtu": 1400, "mtu": 1500},
        {"match": {"macaddress": "02:00:00:00:00:01"}, "dhcp4": True},
    ],
)
def test_a_value_that_works_is_taken_without_a_word(device: Section) -> None:
    assert told(device) == []


def test_lo_may_have_loopback_addresses() -> None:
    addresses = {"addresses": ["127.0.0.2/8", "::1/128"]}
    assert told(addresses, name="lo") == told({**addresses, "match": {"name": "lo"}}) == []


@pytest.mark.parametrize(
    ("renderer", "line"),
    [
        ("networkd", "Destination=198.51.100.7/24"),
        ("NetworkManager", "route1=198.51.100.7/24,192.0.2.1"),
        ("ifupdown", "up ip route replace 198.51.100.0/24 via 192.0.2.1"),
    ],
)
def test_a_route_to_a_host_in_a_network_is_one_to_the_network(renderer: str, line: str) -> None:
    """The first two take the bits of the host away, and ip(8) refuses them."""
    device = ADDRESS | {"routes": [{"to": "198.51.100.7/24", "via": "192.0.2.1"}]}
    files, problems = compiled({"ethernets": {"eth0": device}}, renderer)

    assert not problems
    assert any(line in text for text in files.values())


def test_a_gateway_may_be_on_a_network_that_is_written_with_bits_of_a_host() -> None:
    routes = [{"to": "198.51.100.7/24", "scope": "link"}, {"to": "default", "via": "198.51.100.1"}]

    assert told(ADDRESS | {"routes": routes}) == []


VALUES = (
    *"-1 0 1 010 0x10 1.5 1e6 300 65536 99999999999 50% 1M 1m 10Q yes off infinity none auto maybe *:80 /x/ x/".split(),
    *"$X 0.0.0.0 0.0.0.0/0 255.255.255.255 127.0.0.1 127.0.0.1/8 192.0.2.0/24 192.0.2.255/24 192.0.2.1".split(),
    *"192.0.2.1/24 192.0.2.1/024 010.0.0.1 224.0.0.1 169.254.1.1/16 :: ::/0 ::1 2001:db8::/64 2001:db8::1/64".split(),
    *"2001:db8::1 fe80::1 ff02::1 ::ffff:192.0.2.1 00:00:00:00:00:00 ff:ff:ff:ff:ff:ff 52:54:00:12:34:56".split(),
    *("52-54-00-12-34-56", "all", "lo", "eth0", "a b", " x", "#x", ""),
)
WIREGUARD: dict[str, Any] = {
    "mode": "wireguard",
    "key": "4GgaQCy68nzNsUE5aJ9fuLzHhB65tAlwbmA72MWnOm8=",
    "peers": [{"keys": {"public": "M9nt4YujIOmNrRmpIRTmYSfMdrpvE7u6WkG8FY8WjG4="}}],
}
BASES: dict[str, Any] = {
    "ethernets": {},
    "dummy-devices": {},
    "virtual-ethernets": {"peer": "ve1"},
    "bonds": {"interfaces": ["eth0"], "parameters": {"mii-monitor-interval": 100}},
    "bridges": {"interfaces": ["eth0"]},
    "vlans": {"id": 5, "link": "eth0"},
    "vrfs": {"table": 100, "interfaces": ["eth0"]},
    "tunnels": {"mode": "vxlan", "id": 5, "local": "192.0.2.1", "remote": "192.0.2.9"},
    "infiniband-partitions": {"link": "ib0", "partition-key": 7},
}
NEEDS: dict[str, Any] = {
    "dhcp4-overrides": {"dhcp4": True},
    "dhcp6-overrides": {"dhcp6": True},
    "routes": {**ADDRESS},
    "gateway4": {**ADDRESS},
    "gateway6": {"addresses": ["2001:db8::7/64"]},
    "ipv6-mtu": {"addresses": ["2001:db8::7/64"]},
    "ttl": {"mode": "gre", "id": None},
    "local": {"mode": "gre", "id": None},
    "remote": {"mode": "gre", "id": None, "local": None},
    "mark": {**WIREGUARD, "id": None, "local": None, "remote": None},
    "endpoint": {**WIREGUARD, "id": None, "local": None, "remote": None},
}
ROWS: dict[str, Any] = {
    "routes": {"to": "198.51.100.0/24", "via": "192.0.2.254"},
    "routing-policy": {"from": "192.0.2.0/24", "table": 7},
    "peers": {**WIREGUARD["peers"][0]},
}


def leaves(shape: Shape, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Shape]]:
    """Yield the path and the shape of each key that takes texts or numbers; ``-`` is an entry of a list."""
    if isinstance(shape, Rows | Addresses | Sequence):
        of = shape.of if isinstance(shape, Rows) else None
        yield from leaves(of, (*path, "-")) if of else [((*path, "-"), shape)]
    elif isinstance(shape, Record):
        for key, below in shape.keys.items():
            yield from leaves(below, (*path, key))
    elif not isinstance(shape, Choice | Flag | Map):
        yield path, shape


def device_with(kind: str, path: tuple[str, ...], value: object) -> Section:
    """Return a device of ``kind`` with ``value`` at ``path``, and the keys that it needs."""
    for key in reversed(path):
        if key == "-":
            value = [value]
        elif isinstance(value, list) and isinstance(value[0], dict) and key in ROWS:
            value = {key: [{**ROWS[key], **value[0]}]}
        else:
            value = {key: value}
    assert isinstance(value, dict)
    base = {**BASES[kind], **NEEDS.get(path[0], {}), **(NEEDS["mark"] if path[0] == "peers" else {})}
    return {key: kept for key, kept in {**base, **value}.items() if kept is not None}


def is_silent(kind: str, device: Section, renderer: str) -> bool:
    name = {"virtual-ethernets": "ve0", "ethernets": "eth0"}.get(kind, "x0")
    section: dict[str, Any] = {kind: {name: device}}
    if kind == "virtual-ethernets":
        section[kind]["ve1"] = {"peer": "ve0"}
    elif kind != "ethernets":
        section["ethernets"] = {"eth0": {}, "ib0": {}}
    return not is_refused(json.dumps(section)) and not compiled(section, renderer)[1]


@cache
def is_refused(network: str) -> bool:
    """Return whether the document is refused as it is read: without a compile for each renderer."""
    text = f'{{"ordain": "v1", "kind": "Layer", "name": "x", "network": {network}}}'
    return bool(read("x.json", text.encode())[1])


@pytest.mark.thorough
def test_the_values_that_each_key_takes_without_a_word_are_known(pytestconfig: pytest.Config) -> None:
    lines = []
    for kind, (keys, _) in network_keys.KINDS.items():
        for path, shape in leaves(Record(keys)) if kind in BASES else ():
            if kind != "ethernets" and path[0] in network_keys.COMMON:
                continue
            number = isinstance(shape, Integer)
            for renderer in ("networkd", "NetworkManager", "ifupdown"):
                silent = [
                    value
                    for value in VALUES
                    if is_silent(
                        kind, device_with(kind, path, int(value) if number and value.isdecimal() else value), renderer
                    )
                ]
                if silent:
                    lines.append(
                        f"{kind} {'/'.join(path)} ({renderer}): {' '.join(map(repr, silent))}".replace("'", "")
                    )

    compare(GOLDEN, "\n".join(lines) + "\n", bool(pytestconfig.getoption("--update")))
