"""The parameters of virtual network devices and of bridge ports, as documents set them and as the kernel has them.

    keys of a device (transforms/document/keys/network_keys.py), KernelLink ──compare──▶ key, wanted value, actual value

Both values are texts in the words of the documents. The kernel's numbers are those of rtnetlink(7) (linux/if_link.h).
The keys and peers of WireGuard are not read: the kernel tells them only with CAP_NET_ADMIN, which the agent lacks.
"""

from __future__ import annotations

import ipaddress
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ordain.agent.system.netlink import Attributes, KernelLink
from ordain.transforms.render.network.bond_options import unused_keys
from ordain.transforms.systemd.values import timespan

Keys = Mapping[str, object]
"""A device of the documents in canonical form."""
Compared = tuple[str, str, str]
"""The key of a parameter, the value of the documents, and the value of the kernel."""
ROUNDED = ("parameters/up-delay", "parameters/down-delay")
"""Options of a bond that the kernel rounds down to multiples of ``mii-monitor-interval`` (bond_options.c)."""


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A key of a device, and the ``attributes`` of the kernel: the first that it sends has the value.

    ``read`` writes the kernel's value, ``write`` that of the documents. ``member``: the key is a list of switches, of
    which this is one; the kernel sends some of these attributes only if they are on.
    """

    key: str
    attributes: tuple[int, ...]
    read: Callable[[bytes], str]
    write: Callable[[object], str] = str
    member: str = ""

    def compare(self, keys: Keys, data: Attributes) -> Iterator[Compared]:
        value = value_at(keys, self.key)
        sent = next((data[number] for number in self.attributes if number in data), None)
        if self.member:
            if isinstance(value, list | tuple) and self.member in value:
                on = sent is not None and (not sent or any(sent))  # a flag without a value is on
                yield self.key, self.member, self.member if on else f"no {self.member}"
        elif value is not None and sent is not None:
            yield self.key, self.write(value), self.read(sent)


def value_at(keys: Keys, key: str) -> object:
    """Return the value at a pointer below a device, None if it is not set."""
    value: object = keys
    for part in key.split("/"):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


# Values of the kernel, in the words of the documents


def _number(data: bytes) -> str:
    return str(int.from_bytes(data, sys.byteorder))


def _network_number(data: bytes) -> str:
    return str(int.from_bytes(data, "big"))


def _flag(data: bytes) -> str:
    return "true" if any(data) else "false"


def _address(data: bytes) -> str:
    return str(ipaddress.ip_address(data))


def _addresses(data: bytes) -> str:
    """Return the addresses of a list of attributes, each of a header and four bytes."""
    return ", ".join(sorted(_address(data[at + 4 : at + 8]) for at in range(0, len(data) - 7, 8)))


def _ports(data: bytes) -> str:
    return "{}-{}".format(*struct.unpack(">HH", data[:4]))


def _partition_key(data: bytes) -> str:
    return _written_partition_key(_number(data))


def _milliseconds(data: bytes) -> str:
    return f"{_number(data)} ms"


def _seconds(data: bytes) -> str:
    return f"{_number(data)} s"


def _centiseconds(data: bytes) -> str:
    return f"{int(_number(data)) / 100:g} s"


def _choice(*words: str) -> Callable[[bytes], str]:
    """Return the function that reads a number which stands for one of ``words``."""

    def read(data: bytes) -> str:
        number = int(_number(data))
        return words[number] if number < len(words) else str(number)

    return read


# Values of the documents, in the same form


def _written_flag(value: object) -> str:
    return "true" if value is True else "false"


def _written_address(value: object) -> str:
    return str(ipaddress.ip_address(str(value)))


def _written_addresses(value: object) -> str:
    return ", ".join(sorted(map(_written_address, value if isinstance(value, list | tuple) else ())))


def _written_ports(value: object) -> str:
    return "-".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _written_tunnel_key(value: object) -> str:
    """Return the key of a tunnel as a number; documents may write it as an address."""
    text = str(value)
    return str(int(ipaddress.IPv4Address(text)) if "." in text else int(text))


def _written_partition_key(value: object) -> str:
    """Return a P_Key without the bit of full membership, which the kernel adds (ipoib_netlink.c)."""
    return f"{int(str(value)) & 0x7FFF:#06x}"


def _written_milliseconds(value: object) -> str:
    return f"{timespan(str(value), 1000) // 1000} ms"


def _written_seconds(value: object) -> str:
    return f"{timespan(str(value)) // 10_000 / 100:g} s"


# The parameters of each kind of device, in the kernel's names


def _of_bond(key: str, number: int, read: Callable[[bytes], str], write: Callable[[object], str] = str) -> _Parameter:
    return _Parameter(f"parameters/{key}", (number,), read, write)


_BOND = (
    _of_bond(
        *("mode", 1),
        _choice("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"),
    ),
    _of_bond("mii-monitor-interval", 3, _milliseconds, _written_milliseconds),
    _of_bond("up-delay", 4, _milliseconds, _written_milliseconds),
    _of_bond("down-delay", 5, _milliseconds, _written_milliseconds),
    _of_bond("arp-interval", 7, _milliseconds, _written_milliseconds),
    _of_bond("arp-ip-targets", 8, _addresses, _written_addresses),
    _of_bond("arp-validate", 9, _choice("none", "active", "backup", "all")),
    _of_bond("arp-all-targets", 10, _choice("any", "all")),
    _of_bond("primary-reselect-policy", 12, _choice("always", "better", "failure")),
    _of_bond("fail-over-mac-policy", 13, _choice("none", "active", "follow")),
    _of_bond(
        *("transmit-hash-policy", 14),
        _choice("layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"),
    ),
    _of_bond("resend-igmp", 15, _number),
    _of_bond("gratuitous-arp", 16, _number),
    _of_bond("all-members-active", 17, _flag, _written_flag),
    _of_bond("min-links", 18, _number),
    _of_bond("learn-packet-interval", 19, _seconds, _written_seconds),
    _of_bond("packets-per-member", 20, _number),
    _of_bond("lacp-rate", 21, _choice("slow", "fast")),
    _of_bond("ad-select", 22, _choice("stable", "bandwidth", "count")),
)
_BRIDGE = (
    _of_bond("forward-delay", 1, _centiseconds, _written_seconds),
    _of_bond("hello-time", 2, _centiseconds, _written_seconds),
    _of_bond("max-age", 3, _centiseconds, _written_seconds),
    _of_bond("ageing-time", 4, _centiseconds, _written_seconds),
    _of_bond("stp", 5, _flag, _written_flag),
    _of_bond("priority", 6, _number),
)
_GRE = (
    _Parameter("key", (4,), _network_number, _written_tunnel_key),
    _Parameter("key", (5,), _network_number, _written_tunnel_key),
    _Parameter("keys/input", (4,), _network_number, _written_tunnel_key),
    _Parameter("keys/output", (5,), _network_number, _written_tunnel_key),
    _Parameter("local", (6,), _address, _written_address),
    _Parameter("remote", (7,), _address, _written_address),
    _Parameter("ttl", (8,), _number),
)
_IP_TUNNEL = (
    _Parameter("local", (2,), _address, _written_address),
    _Parameter("remote", (3,), _address, _written_address),
    _Parameter("ttl", (4,), _number),
)
_VTI = (
    _Parameter("key", (2,), _network_number, _written_tunnel_key),
    _Parameter("key", (3,), _network_number, _written_tunnel_key),
    _Parameter("keys/input", (2,), _network_number, _written_tunnel_key),
    _Parameter("keys/output", (3,), _network_number, _written_tunnel_key),
    _Parameter("local", (4,), _address, _written_address),
    _Parameter("remote", (5,), _address, _written_address),
)
_VXLAN = (
    _Parameter("id", (1,), _number),
    _Parameter("remote", (2, 16), _address, _written_address),
    _Parameter("local", (4, 17), _address, _written_address),
    _Parameter("ttl", (5,), _number),
    _Parameter("type-of-service", (6,), _number),
    _Parameter("mac-learning", (7,), _flag, _written_flag),
    _Parameter("ageing", (8,), _number),
    _Parameter("limit", (9,), _number),
    _Parameter("port-range", (10,), _ports, _written_ports),
    _Parameter("arp-proxy", (11,), _flag, _written_flag),
    _Parameter("short-circuit", (12,), _flag, _written_flag),
    _Parameter("notifications", (13,), _flag, member="l2-miss"),
    _Parameter("notifications", (14,), _flag, member="l3-miss"),
    _Parameter("port", (15,), _network_number),
    _Parameter("checksums", (18,), _flag, member="udp"),
    _Parameter("checksums", (19,), _flag, member="zero-udp6-tx"),
    _Parameter("checksums", (20,), _flag, member="zero-udp6-rx"),
    _Parameter("checksums", (21,), _flag, member="remote-tx"),
    _Parameter("checksums", (22,), _flag, member="remote-rx"),
    _Parameter("extensions", (23,), _flag, member="group-policy"),
    _Parameter("flow-label", (26,), _network_number),
    _Parameter("extensions", (27,), _flag, member="generic-protocol"),
    _Parameter("do-not-fragment", (29,), _flag, _written_flag),
)
_KINDS: Mapping[str, tuple[_Parameter, ...]] = {
    "bond": _BOND,
    "bridge": _BRIDGE,
    "gre": _GRE,
    "gretap": _GRE,
    "ip6gre": _GRE,
    "ip6gretap": _GRE,
    "ip6tnl": _IP_TUNNEL,
    "ipip": _IP_TUNNEL,
    "ipoib": (
        _Parameter("partition-key", (1,), _partition_key, _written_partition_key),
        _Parameter("infiniband-mode", (2,), _choice("datagram", "connected")),
    ),
    "sit": _IP_TUNNEL,
    "vlan": (_Parameter("id", (1,), _number),),
    "vrf": (_Parameter("table", (1,), _number),),
    "vti": _VTI,
    "vti6": _VTI,
    "vxlan": _VXLAN,
}
_PORT = (
    _Parameter("hairpin", (4,), _flag, _written_flag),
    _Parameter("port-mac-learning", (8,), _flag, _written_flag),
    _Parameter("neigh-suppress", (32,), _flag, _written_flag),
)
"""Keys of a device that is the port of a bridge."""
IN_BRIDGE = {"path-cost": 3, "port-priority": 2}
"""Keys of a bridge with a value for each port, with their attributes in the port."""
_ROOT_ID, _BRIDGE_ID, _TOPOLOGY_CHANGE = 10, 11, 14
"""Attributes of a bridge: the root of its tree, itself, and whether the tree is being changed."""
_ALWAYS_COMPARED = frozenset({"link", "macaddress", "peer"})
"""Keys of devices that are compared with the link itself."""


def compared_keys(kind: str) -> frozenset[str]:
    """Return the keys that are compared of a virtual device of ``kind`` (of ip-link(8)), or of hardware (``""``)."""
    return _ALWAYS_COMPARED | own_keys(kind) | {parameter.key for parameter in _PORT}


def own_keys(kind: str) -> frozenset[str]:
    """Return the keys of the parameters that a virtual device of ``kind`` has from its beginning."""
    return frozenset(parameter.key.partition("/")[0] for parameter in _KINDS.get(kind, ()))


def compare(keys: Keys, link: KernelLink, *, by_networkd: bool = False) -> Iterator[Compared]:
    """Yield the parameters that ``keys`` set and the kernel has told for ``link``, equal or not.

    Options of a bond that have no effect are left out: the compiler has warned of them.
    """
    if link.kind == "bridge" and "parameters" in keys and value_at(keys, "parameters/stp") is None:
        keys = {**keys, "parameters": {"stp": True, **_parameters(keys)}}  # as every renderer does
    left_out = _unused(keys, by_networkd) if link.kind == "bond" else _of_others(link)
    for parameter in _KINDS.get(link.kind, ()):
        for key, wanted, actual in parameter.compare(keys, link.data):
            if key not in left_out:
                yield key, _rounded(keys, wanted) if key in ROUNDED else wanted, actual
    for parameter in _PORT if link.port_kind == "bridge" else ():
        yield from parameter.compare(keys, link.port)


def compare_port(keys: Keys, port: str, link: KernelLink) -> Iterator[Compared]:
    """Yield the parameters that a bridge with ``keys`` sets for its ``port``, which is ``link``."""
    for key, number in IN_BRIDGE.items() if link.port_kind == "bridge" else ():
        wanted = value_at(keys, f"parameters/{key}")
        if isinstance(wanted, Mapping) and port in wanted and number in link.port:
            yield f"parameters/{key}/{port}", str(wanted[port]), _number(link.port[number])


def primary_port(link: KernelLink) -> int:
    """Return the index of the preferred port of a bond, 0 if it has none."""
    return int.from_bytes(link.data.get(11, b""), sys.byteorder)


def _parameters(keys: Keys) -> Keys:
    parameters = keys.get("parameters")
    return parameters if isinstance(parameters, Mapping) else {}


def _unused(keys: Keys, by_networkd: bool) -> frozenset[str]:
    unused = unused_keys(_parameters(keys), by_networkd=by_networkd)
    return frozenset(f"parameters/{key}" for key, _, _ in unused)


def _of_others(link: KernelLink) -> frozenset[str]:
    """Return the parameters of a bridge that are not its own now: those of the root, or of a change of the tree.

    The kernel tells only the values that it uses (br_stp.c, br_stp_timer.c).
    """
    times = set()
    if link.kind == "bridge" and link.data.get(_ROOT_ID) != link.data.get(_BRIDGE_ID):
        times |= {"parameters/forward-delay", "parameters/hello-time", "parameters/max-age"}
    if link.kind == "bridge" and any(link.data.get(_TOPOLOGY_CHANGE, b"")):
        times.add("parameters/ageing-time")
    return frozenset(times)


def _rounded(keys: Keys, wanted: str) -> str:
    """Return a delay of a bond as the kernel rounds it."""
    interval = value_at(keys, "parameters/mii-monitor-interval")
    step = int(_written_milliseconds(interval).split()[0]) if interval is not None else 0
    return f"{int(wanted.split()[0]) // step * step} ms" if step else wanted
