"""The network of the kernel before a repair, and the commands of ip(8) that bring it back.

    KernelNetwork ──take──▶ NetworkSnapshot ──▶ JSON below /run
    NetworkSnapshot, KernelNetwork ──commands──▶ ip …

A repair leads from a generation to the same one, so there is no earlier generation whose files could bring back what an
administrator had set.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from ordain.agent.apply.differences.network_differences import ROUTE_TYPES, WITHOUT_DEVICE
from ordain.agent.system.netlink import KernelAddress, KernelNetwork, KernelRoute, KernelRule

Command = tuple[str, ...]
Words = tuple[str, ...]
"""The arguments of ip(8) that name one address, route or rule."""
OF_KERNEL = frozenset({"local", "broadcast", "anycast", "multicast", "nat"})
"""Types of route that the kernel makes, or no longer knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkBefore:
    """A link: its name, that of the device that it is a port of (``""``: none), and its administrative state."""

    name: str
    master: str = ""
    up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSnapshot:
    """The network of the interfaces ``names``, of which ``links`` existed."""

    names: tuple[str, ...] = ()
    links: tuple[LinkBefore, ...] = ()
    addresses: tuple[Words, ...] = ()
    routes: tuple[Words, ...] = ()
    rules: tuple[Words, ...] = ()


def take(network: KernelNetwork, names: Collection[str]) -> NetworkSnapshot:
    """Return the snapshot of the interfaces ``names``."""
    by_index = {link.index: link.name for link in network.links}
    own = {link.index for link in network.links if link.name in names}
    return NetworkSnapshot(
        names=tuple(sorted(names)),
        links=tuple(
            LinkBefore(name=link.name, master=by_index.get(link.master, ""), up=link.up)
            for link in network.links
            if link.index in own
        ),
        addresses=tuple(
            _address(address, by_index[address.index])
            for address in network.addresses
            if address.index in own and not address.local
        ),
        routes=tuple(
            _route(route, by_index.get(route.index, ""))
            for route in network.routes or ()
            if not route.by_kernel
            and ROUTE_TYPES.get(route.type, "nat") not in OF_KERNEL
            and (route.index in own or ROUTE_TYPES[route.type] in WITHOUT_DEVICE)
        ),
        rules=tuple(map(_rule, network.rules or ())),
    )


def commands(before: NetworkSnapshot, network: KernelNetwork) -> Iterator[Command]:
    """Yield the commands that lead from ``network`` back to ``before``. Each may fail: others act meanwhile."""
    now = take(network, before.names)
    existed = {link.name: link for link in before.links}
    for link in now.links:
        if link.name not in existed:
            yield ("-ip", "link", "delete", "dev", link.name)
    for link in now.links:
        was = existed.get(link.name, link)
        if was.master != link.master:
            yield ("-ip", "link", "set", "dev", link.name, *(("master", was.master) if was.master else ("nomaster",)))
        if was.up != link.up:
            yield ("-ip", "link", "set", "dev", link.name, "up" if was.up else "down")
    present = {_identity(words): words for words in now.addresses}
    wanted = {_identity(words): words for words in before.addresses}
    yield from (("-ip", "address", "replace", *wanted[key]) for key in wanted if key not in present)
    yield from (("-ip", "address", "delete", *key) for key in present if key not in wanted)
    for words in (route for route in before.routes if route not in now.routes):
        yield (*_ip(words), "route", "replace", *words)
    for words in (route for route in now.routes if route not in before.routes):
        yield (*_ip(words), "route", "delete", *words)
    for words in (rule for rule in before.rules if rule not in now.rules):
        yield (*_ip(words), "rule", "add", *words)
    for words in (rule for rule in now.rules if rule not in before.rules):
        yield (*_ip(words), "rule", "delete", *words)


def _ip(words: Words) -> Command:
    return ("-ip", "-6") if any(":" in word for word in words) else ("-ip",)


def _address(address: KernelAddress, name: str) -> Words:
    """Return the words of an address; one from a server ends with its lease."""
    ends = () if address.valid_sec is None else (str(address.valid_sec),)
    lifetime = tuple(word for end in ends for word in ("valid_lft", end, "preferred_lft", end))
    return (address.address, "dev", name, *lifetime)


def _identity(words: Words) -> Words:
    """Return an address without its lifetime, which changes every second."""
    return words[:3]


def _route(route: KernelRoute, name: str) -> Words:
    kind = ROUTE_TYPES[route.type]
    words = (*(() if kind == "unicast" else (kind,)), route.to)
    words += (*(("via", route.via) if route.via else ()), *(("dev", name) if name else ()))
    return (*words, "table", str(route.table), "metric", str(route.metric))


def _rule(rule: KernelRule) -> Words:
    anywhere = "::/0" if rule.version == 6 else "0.0.0.0/0"
    words: Words = ("from", rule.source or anywhere)
    for word, value in (("to", rule.to), ("fwmark", rule.mark), ("tos", rule.tos)):
        words += (word, str(value)) if value else ()
    return (*words, "table", str(rule.table), "priority", str(rule.priority))
