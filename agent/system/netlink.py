"""The links, addresses, routes and rules of the kernel, read over rtnetlink(7), because the standard library cannot.

Reading needs no privilege. Nothing is ever changed here.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
DADFAILED, TENTATIVE = 0x8, 0x40
FOREVER = 2**32 - 1
MAIN_TABLE = 254
MOST_MESSAGES = 200_000
"""A router with more routes than these is not read: that would take seconds."""
TIMEOUT_SEC = 5.0

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")
_GETLINK, _GETADDR, _GETROUTE, _GETRULE = 18, 22, 26, 34
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_FAMILIES = {socket.AF_INET: 4, socket.AF_INET6: 6}
_TO_TABLE = 1
_BY_KERNEL = 2
Attributes = Mapping[int, bytes]
"""Attributes of rtnetlink(7) by their numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelLink:
    """A network interface. ``master`` is the index of its bond, bridge or VRF or 0, ``mac`` its permanent address.

    ``address`` is the address that it has now. ``kind`` is that of a virtual device in the words of ip-link(8), with
    its attributes (``data``) by number of rtnetlink(7); ``port_kind`` and ``port`` are those of a port. ``below`` is
    the index of the device below it, or of the other end of a pair, or 0.
    """

    index: int
    name: str
    up: bool
    carrier: bool
    mtu: int
    master: int = 0
    mac: str = ""
    address: str = ""
    below: int = 0
    kind: str = ""
    data: Attributes = field(default_factory=dict)
    port_kind: str = ""
    port: Attributes = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelAddress:
    """An address of an interface with its prefix length; a ``failed`` one is used by another host.

    ``valid_sec`` is the time for which it is valid, None for ever: one that a server has given ends some day.
    """

    index: int
    address: str
    local: bool
    failed: bool = False
    valid_sec: int | None = None

    @property
    def version(self) -> int:
        """Return 4 or 6."""
        return 6 if ":" in self.address else 4


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRoute:
    """A route. ``to`` is a network, ``type`` a number of rtnetlink(7) (rtm_type), ``index`` its interface or 0.

    ``by_kernel``: it came with an address.
    """

    to: str
    via: str
    index: int
    table: int
    metric: int
    type: int
    by_kernel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRule:
    """A rule that selects a routing table. ``source`` and ``to`` are networks, ``""`` for every address."""

    version: int
    table: int
    priority: int
    source: str = ""
    to: str = ""
    mark: int = 0
    tos: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelNetwork:
    """The network of the running kernel; ``routes`` is None if there are too many to read, ``rules`` likewise."""

    links: tuple[KernelLink, ...] = ()
    addresses: tuple[KernelAddress, ...] = ()
    routes: tuple[KernelRoute, ...] | None = ()
    rules: tuple[KernelRule, ...] | None = ()


def read_kernel_network() -> KernelNetwork | None:
    """Return the network of this machine; None if a sandbox forbids the question."""
    try:
        links = tuple(map(_link, _dump(_GETLINK, _LINK)))
        addresses = tuple(map(_address, _dump(_GETADDR, _ADDRESS)))
        return KernelNetwork(
            links=links, addresses=addresses, routes=_all(_GETROUTE, _route), rules=_all(_GETRULE, _rule)
        )
    except (OSError, struct.error, ValueError, OverflowError):
        return None


Message = tuple[tuple[int, ...], dict[int, bytes]]
T = TypeVar("T")


def _all(kind: int, read: Callable[[Message], T | None]) -> tuple[T, ...] | None:
    """Return the routes or rules of the kernel; None if there are too many."""
    try:
        return tuple(value for value in map(read, _dump(kind, _ROUTE)) if value)
    except OverflowError:
        return None


def _dump(kind: int, layout: struct.Struct) -> Iterator[Message]:
    """Yield fields and attributes of each answer to a dump. Raises `OSError`, or `OverflowError` for too many."""
    number = 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as netlink:
        netlink.settimeout(TIMEOUT_SEC)
        netlink.bind((0, 0))
        body = bytes(layout.size)
        netlink.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST_DUMP, 1, 0) + body)
        while True:
            data = netlink.recv(1 << 18)
            at = 0
            while at + _HEADER.size <= len(data):
                length, answer, _, _, _ = _HEADER.unpack_from(data, at)
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    raise OSError(-struct.unpack_from("=i", data, at + _HEADER.size)[0], "rtnetlink")
                number += 1
                if number > MOST_MESSAGES:
                    raise OverflowError
                start = at + _HEADER.size
                yield (
                    layout.unpack_from(data, start),
                    _attributes(data[start + _aligned(layout.size) : at + length]),
                )
                at += _aligned(length)


def _attributes(data: bytes) -> dict[int, bytes]:
    """Return the attributes in ``data`` by number."""
    attributes: dict[int, bytes] = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        attributes[kind & 0x3FFF] = data[at + _ATTRIBUTE.size : at + length]
        at += _aligned(length)
    return attributes


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _number(data: bytes | None) -> int:
    number: int = _NUMBER.unpack_from(data)[0] if data else 0
    return number


def _text(data: bytes | None) -> str:
    return (data or b"").rstrip(b"\0").decode(errors="replace")


def _link(message: Message) -> KernelLink:
    (_, _, index, flags, _), attributes = message
    address = attributes.get(1, b"")  # IFLA_ADDRESS
    info = _attributes(attributes.get(18, b""))  # IFLA_LINKINFO
    return KernelLink(
        index=index,
        name=_text(attributes.get(3)),
        up=bool(flags & IFF_UP),
        carrier=bool(flags & IFF_LOWER_UP),
        mtu=_number(attributes.get(4)),
        master=_number(attributes.get(10)),
        mac=(attributes.get(54) or address).hex(":"),  # IFLA_PERM_ADDRESS
        address=address.hex(":"),
        below=0 if 37 in attributes else _number(attributes.get(5)),  # IFLA_LINK_NETNSID: not of this namespace
        kind=_text(info.get(1)),
        data=_attributes(info.get(2, b"")),
        port_kind=_text(info.get(4)),
        port=_attributes(info.get(5, b"")),
    )


def _address(message: Message) -> KernelAddress:
    (_, prefix, short_flags, scope, index), attributes = message
    packed = attributes.get(2) or attributes.get(1) or b""  # IFA_LOCAL, IFA_ADDRESS
    flags = _number(attributes.get(8)) or short_flags
    valid = _number(attributes.get(6, b"")[4:8]) if 6 in attributes else FOREVER  # IFA_CACHEINFO: ifa_valid
    return KernelAddress(
        index=index,
        address=f"{ipaddress.ip_address(packed)}/{prefix}",
        local=scope >= 253,  # RT_SCOPE_LINK, RT_SCOPE_HOST
        failed=bool(flags & DADFAILED),
        valid_sec=None if valid == FOREVER else valid,
    )


def _route(message: Message) -> KernelRoute | None:
    (family, length, _, _, table, protocol, _, kind, flags), attributes = message
    if family not in _FAMILIES or flags & 0x200:  # RTM_F_CLONED: a cached route
        return None
    zero = bytes(4 if family == socket.AF_INET else 16)
    via = attributes.get(5) or attributes.get(18, b"")[2:]  # RTA_GATEWAY, RTA_VIA after its family
    return KernelRoute(
        to=f"{ipaddress.ip_address(attributes.get(1) or zero)}/{length}",
        via=str(ipaddress.ip_address(via)) if via else "",
        index=_number(attributes.get(4)),
        table=_number(attributes.get(15)) or table,
        metric=_number(attributes.get(6)),
        type=kind,
        by_kernel=protocol == _BY_KERNEL,
    )


def _rule(message: Message) -> KernelRule | None:
    (family, to_length, length, tos, table, _, _, action, _), attributes = message
    if family not in _FAMILIES or action != _TO_TABLE:
        return None

    def network(packed: bytes | None, prefix: int) -> str:
        return str(ipaddress.ip_network(f"{ipaddress.ip_address(packed)}/{prefix}", strict=False)) if packed else ""

    return KernelRule(
        version=_FAMILIES[socket.AddressFamily(family)],
        table=_number(attributes.get(15)) or table,
        priority=_number(attributes.get(6)),
        source=network(attributes.get(2), length),  # FRA_SRC
        to=network(attributes.get(1), to_length),
        mark=_number(attributes.get(10)),
        tos=tos,
    )
