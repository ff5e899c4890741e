"""The kernel's own words for bonds, which NetworkManager and ip(8) share (Documentation/networking/bonding.rst)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ordain.transforms.model import Branch, Leaf, Value
from ordain.transforms.systemd.values import timespan


def text(value: Value) -> str:
    """A scalar; true and false as 1 and 0; a list with commas between."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def milliseconds(value: Value) -> str:
    """A time in whole milliseconds, which a bare number counts."""
    return str(timespan(str(value), 1000) // 1000)


def seconds(value: Value) -> str:
    """A time in whole seconds, which a bare number counts."""
    return str(timespan(str(value)) // 1_000_000)


BOND: Mapping[str, tuple[str, Callable[[Value], str]]] = {
    "mode": ("mode", text),
    "lacp-rate": ("lacp_rate", text),
    "mii-monitor-interval": ("miimon", milliseconds),
    "min-links": ("min_links", text),
    "transmit-hash-policy": ("xmit_hash_policy", text),
    "ad-select": ("ad_select", text),
    "all-members-active": ("all_slaves_active", text),
    "all-slaves-active": ("all_slaves_active", text),
    "arp-interval": ("arp_interval", milliseconds),
    "arp-ip-targets": ("arp_ip_target", text),
    "arp-validate": ("arp_validate", text),
    "arp-all-targets": ("arp_all_targets", text),
    "up-delay": ("updelay", milliseconds),
    "down-delay": ("downdelay", milliseconds),
    "fail-over-mac-policy": ("fail_over_mac", text),
    "gratuitous-arp": ("num_grat_arp", text),
    "packets-per-member": ("packets_per_slave", text),
    "packets-per-slave": ("packets_per_slave", text),
    "primary-reselect-policy": ("primary_reselect", text),
    "resend-igmp": ("resend_igmp", text),
    "learn-packet-interval": ("lp_interval", seconds),
}


def bond(parameters: Branch) -> Iterator[tuple[str, str, Leaf]]:
    """The options of a bond but ``primary``: name, value, cause."""
    for key, (name, write) in BOND.items():
        if leaf := parameters.leaf(key):
            yield name, write(leaf.value), leaf
